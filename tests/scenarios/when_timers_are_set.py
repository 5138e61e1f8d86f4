"""Timers: set, replaced, cancelled, late, after the end, and racing a message."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.scenarios.conftest import MakeHarness, until
from tests.scenarios.shop import Ended, Noted

from sagabus import Context, Saga, Settings, event, handler, handles, starts, timer
from sagabus.middleware import Next
from sagabus.testing import ManualClock

MINUTE = timedelta(minutes=1)


@event("clocks.told")
class Told:
    key: str
    what: str = ""


class Alarm(Saga, name="alarm", key="key"):
    """Does to its timers what it is told."""

    key: str
    fired: int = 0
    seen: str = ""

    @starts
    def noted(self, message: Noted, ctx: Context) -> None:
        ctx.set_timer("ring", after=10 * MINUTE)

    @handles
    def told(self, message: Told, ctx: Context) -> None:
        self.seen += message.what[0]
        if message.what == "replace":
            ctx.set_timer("ring", after=10 * MINUTE)
        elif message.what == "cancel":
            ctx.cancel_timer("ring")
        elif message.what == "complete":
            ctx.complete()
        elif message.what == "both":
            ctx.set_timer("ring", after=MINUTE)
            ctx.cancel_timer("ring")
        elif message.what == "reset":
            ctx.cancel_timer("ring")
            ctx.set_timer("ring", after=MINUTE)

    @timer("ring")
    def ring(self, ctx: Context) -> None:
        self.fired += 1
        self.seen += "!"


async def alarm(bus: Any) -> Alarm:
    state = await bus.saga(Alarm, "A")
    assert isinstance(state, Alarm)
    return state


async def test_it_fires_once_at_its_time(harness: MakeHarness) -> None:
    async with harness(Alarm) as bus:
        await bus.publish(Noted(key="A"))
        await bus.advance(10 * MINUTE - timedelta(milliseconds=1))
        before = (await alarm(bus)).fired
        await bus.advance(timedelta(milliseconds=1))
        after = (await alarm(bus)).fired
        await bus.advance(timedelta(days=1))

        assert (before, after, (await alarm(bus)).fired) == (0, 1, 1)


WHAT: list[tuple[str, list[int]]] = [
    ("replace", [0, 1]),
    ("cancel", [0, 0]),
    ("complete", [0, 0]),
    ("both", [0, 0]),
    ("reset", [1, 1]),
]


@pytest.mark.parametrize(("what", "fired"), WHAT)
@pytest.mark.share(2)
async def test_what_a_later_message_does_to_it_holds(harness: MakeHarness, what: str, fired: list[int]) -> None:
    async with harness(Alarm) as bus:
        await bus.publish(Noted(key="A"))
        await bus.advance(5 * MINUTE)
        await bus.publish(Told(key="A", what=what))
        await bus.advance(5 * MINUTE)
        at_the_old_time = (await alarm(bus)).fired
        await bus.advance(5 * MINUTE)

        assert [at_the_old_time, (await alarm(bus)).fired] == fired
        assert await bus.timers(Alarm, "A") == {}


@pytest.mark.parametrize("what", ["cancel", "replace", "complete"])
async def test_due_and_in_flight_it_still_loses_to_an_earlier_message(harness: MakeHarness, what: str) -> None:
    gate, entered = asyncio.Event(), asyncio.Event()

    async def hold(message: object, ctx: Context, call_next: Next) -> None:
        if isinstance(message, Told):
            entered.set()
            await gate.wait()
        await call_next(message, ctx)

    async with harness(Alarm, middleware=[hold], settings=Settings(timeout=60 * MINUTE)) as bus:
        await bus.publish(Noted(key="A"))
        await bus.publish(Told(key="A", what=what), wait=False)
        await entered.wait()
        bus.clock.advance(10 * MINUTE)
        await until(lambda: len(bus.bus._worker.hand.envelopes) == 2)
        gate.set()
        await bus.idle()

        assert (await alarm(bus)).fired == 0


async def test_fired_in_one_batch_with_the_message_that_cancels_it_order_decides(harness: MakeHarness) -> None:
    async with harness(Alarm) as bus:
        await bus.publish(Noted(key="A"))
        await bus.bus.close()
        bus.clock.advance(10 * MINUTE)
        await bus.bus.open(worker=False)
        await bus.bus.publish(Told(key="A", what="cancel"))
        await bus.bus.close()
        await bus.bus.open()
        await bus.idle()

        state = await alarm(bus)
        assert state.seen in {"!c", "c"}
        assert state.fired == state.seen.count("!")


async def test_it_fires_late_when_no_worker_ran_at_its_time(harness: MakeHarness) -> None:
    async with harness(Alarm) as bus:
        await bus.publish(Noted(key="A"))
        await bus.bus.close()
        bus.clock.advance(timedelta(days=3))
        await bus.bus.open()
        await bus.idle()

        assert (await alarm(bus)).fired == 1


async def test_a_timer_whose_reaction_fails_is_retried(harness: MakeHarness) -> None:
    async with harness(Alarm) as bus:
        await bus.publish(Noted(key="A"))
        bus.fail(Alarm, times=2)
        await bus.advance(10 * MINUTE + timedelta(seconds=10))

        assert (await alarm(bus)).fired == 1


async def test_waiting_for_its_retry_it_can_still_be_cancelled(harness: MakeHarness) -> None:
    async with harness(Alarm) as bus:
        await bus.publish(Noted(key="A"))
        bus.fail(Alarm, times=5)
        await bus.advance(timedelta(days=1))
        (letter,) = await bus.dead_letters()
        await bus.publish(Told(key="A", what="cancel"))
        await bus.bus.dead_letters.replay(letter.id, reason="a test")
        await bus.advance(timedelta(days=1))

        assert (await alarm(bus)).fired == 0


async def test_timers_can_be_listed(harness: MakeHarness) -> None:
    async with harness(Alarm) as bus:
        await bus.publish(Noted(key="A"))
        record = await bus.record(Alarm, "A")

        assert await bus.timers(Alarm, "A") == {"ring": datetime(2030, 1, 1, 0, 10, tzinfo=UTC)}
        assert record is not None
        assert set(record.timers) == {"ring"}


async def test_a_timer_may_set_itself_again(harness: MakeHarness) -> None:
    class Beat(Saga, name="beat", key="key"):
        key: str
        beats: int = 0

        @starts
        def noted(self, message: Noted, ctx: Context) -> None:
            ctx.set_timer("beat", at=datetime(2030, 1, 1, 0, 1, tzinfo=UTC))

        @timer("beat")
        def beat(self, ctx: Context) -> None:
            self.beats += 1
            ctx.set_timer("beat", after=MINUTE)

    async with harness(Beat) as bus:
        await bus.publish(Noted(key="A"))
        await bus.advance(10 * MINUTE)

        assert await bus.saga(Beat, "A") == Beat(key="A", beats=10)


async def test_a_timer_without_a_method_fails_the_message_that_sets_it(harness: MakeHarness) -> None:
    name = Ended.__name__.lower()  # computed: not seen when the bus is built

    class Odd(Saga, name="odd", key="key"):
        key: str

        @starts
        def noted(self, message: Noted, ctx: Context) -> None:
            ctx.set_timer(name, after=MINUTE)

    async with harness(Odd) as bus:
        await bus.publish(Noted(key="A"))
        await bus.advance(timedelta(hours=1))

        (letter,) = await bus.dead_letters()
        assert "'ended'" in letter.reason
        assert await bus.record(Odd, "A") is None


async def test_a_handler_schedules_a_message_instead(harness: MakeHarness, clock: ManualClock) -> None:
    @handler("scheduler")
    def schedule(message: Noted, ctx: Context) -> None:
        ctx.schedule(Told(key=message.key, what="after"), after=5 * MINUTE)
        ctx.schedule(Told(key=message.key, what="moment"), at=datetime(2030, 1, 1, 0, 3, tzinfo=UTC))

    seen: list[tuple[str, int]] = []

    async with harness(schedule, listener(seen, clock.now), clock=clock) as bus:
        begun = bus.clock.now()
        await bus.publish(Noted(key="A"))
        await bus.advance(10 * MINUTE)

        assert [(what, (now - begun) // 1_000_000) for what, now in seen] == [("moment", 180), ("after", 300)]


def listener(seen: list[tuple[str, int]], now: Any) -> Any:
    @handler("told")
    def tell(message: Told) -> None:
        seen.append((message.what, now()))

    return tell


async def test_a_message_published_with_a_delay_waits_in_the_store(harness: MakeHarness, clock: ManualClock) -> None:
    seen: list[tuple[str, int]] = []
    async with harness(listener(seen, clock.now), clock=clock) as bus:
        await bus.publish(Told(key="A", what="later"), delay=timedelta(hours=2), message_id="m1")
        copy = await bus.publish(Told(key="A", what="later"), delay=timedelta(hours=2), message_id="m1")
        await bus.crash()
        await bus.advance(timedelta(hours=1))
        before = list(seen)
        await bus.advance(timedelta(hours=1))

        assert copy.status == "duplicate"
        assert before == []
        assert len(seen) == 1


@pytest.mark.parametrize(("before", "leaves"), [("wait", True), ("cancel", False), ("replace", True)])
async def test_who_ends_without_a_timer_costs_the_store_no_search_for_one(
    harness: MakeHarness, before: str, leaves: bool
) -> None:
    async with harness(Alarm) as bus:
        await bus.publish(Noted(key="A"))
        await bus.publish(Told(key="A", what=before))
        saves: list[Any] = []
        commit = bus.bus.store.commit

        async def noting(batch: Any) -> Any:
            saves.extend(outcome.effects.save for outcome in batch.outcomes)
            return await commit(batch)

        bus.bus.store.commit = noting  # type: ignore[method-assign]
        await bus.publish(Told(key="A", what="complete"))

        assert [(save.completed, save.leaves_timers) for save in saves] == [(True, leaves)]
        bus.clock.advance(timedelta(days=1))
        await bus.idle()
        assert (await alarm(bus)).fired == 0
        assert {count.timers for count in await bus.bus.counts()} == {0}
