"""`ctx.now` is the clock of the bus, which a test moves; what was reckoned by the machine's clock is pointed out."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from tests.scenarios.shop import Ended, Noted

from sagabus import Context, RetryPolicy, Saga, starts, timer
from sagabus.testing import Harness, RecordingContext

HOUR = timedelta(hours=1)


class Asking(Saga, name="asking", key="key", retry=RetryPolicy(attempts=1)):
    key: str
    began: str = ""
    rang: str = ""

    @starts
    def noted(self, message: Noted, ctx: Context) -> None:
        self.began = ctx.now.isoformat()
        ctx.set_timer("later", at=ctx.now + HOUR)

    @timer("later")
    def later(self, ctx: Context) -> None:
        self.rang = ctx.now.isoformat()


async def test_it_is_the_clock_that_the_test_moves() -> None:
    async with Harness(Asking) as bus:
        await bus.publish(Noted(key="A"))
        await bus.advance(2 * HOUR)
        saga = await bus.saga(Asking, "A")

    assert saga is not None
    assert saga.began == "2030-01-01T00:00:00+00:00"
    assert saga.rang == "2030-01-01T01:00:00+00:00"


def test_a_recording_context_says_it_too() -> None:
    assert RecordingContext().now == datetime(2030, 1, 1, tzinfo=UTC)


def by_the_machine() -> datetime:
    return datetime.now(UTC) + HOUR


CALLS: list[Callable[[Context], None]] = [
    lambda ctx: ctx.set_timer("later", at=by_the_machine()),
    lambda ctx: ctx.schedule(Ended(key="A"), at=by_the_machine()),
]


@pytest.mark.parametrize("call", CALLS)
def test_a_time_by_the_clock_of_the_machine_is_pointed_out(call: Callable[[Context], None]) -> None:
    with pytest.warns(UserWarning, match=r"reckon from ctx\.now"):
        call(RecordingContext())


async def test_the_harness_points_it_out_as_well() -> None:
    class Wrong(Asking, name="wrong", key="key"):
        @starts
        def noted(self, message: Noted, ctx: Context) -> None:
            ctx.set_timer("later", at=by_the_machine())

    async with Harness(Wrong) as bus:
        with pytest.warns(UserWarning, match="timer 'later'"):
            await bus.publish(Noted(key="A"))


@pytest.mark.parametrize("ahead", [-HOUR, HOUR, timedelta(days=3650)])
def test_other_times_are_nobodys_mistake(ahead: timedelta) -> None:
    ctx = RecordingContext()

    ctx.set_timer("later", at=ctx.now + ahead)

    assert list(ctx.timers) == ["later"]
