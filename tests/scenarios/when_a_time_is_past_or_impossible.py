"""Times at the edges, by every way in: the past is now, and what no store can hold is refused at the call."""

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Do, Noted
from tests.scenarios.ways_to_join import begun
from tests.support.databases import Database

from sagabus import Bus, Context, InvalidTime, Saga, Settings, handler, starts, timer
from sagabus.testing import Harness

PAST = [
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2001, 1, 1, tzinfo=UTC),
]
NAIVE = datetime(2090, 1, 1, tzinfo=UTC).replace(tzinfo=None)
IMPOSSIBLE: list[dict[str, Any]] = [
    *({"delay": wrong} for wrong in (timedelta.max, timedelta(-1), 5, 0.5, "1h")),
    *({"at": wrong} for wrong in (date(2090, 1, 1), NAIVE, 1_900_000_000, "now")),
    {"delay": timedelta(1), "at": datetime(2090, 1, 1, tzinfo=UTC)},
    *({"sent_at": wrong} for wrong in (date(2090, 1, 1), NAIVE, 5)),
]

Way = Callable[[Bus, dict[str, Any]], Awaitable[object]]


async def by_publish(bus: Bus, options: dict[str, Any]) -> object:
    return await bus.publish(Noted(key="it"), **options)


async def by_send(bus: Bus, options: dict[str, Any]) -> object:
    return await bus.send(Do(key="it"), **options)


async def by_transaction(bus: Bus, options: dict[str, Any]) -> object:
    async with bus.transaction() as tx:
        return tx.publish(Noted(key="it"), **options)


WAYS: list[Way] = [by_publish, by_send, by_transaction]


@pytest.mark.parametrize("way", WAYS)
async def test_what_is_due_in_the_past_runs_now(harness: MakeHarness, way: Way) -> None:
    seen: list[str] = []

    @handler("ledger")
    def take(message: Noted | Do) -> None:
        seen.append(message.key)

    async with harness(take) as bus:
        for at in PAST:
            await way(bus.bus, {"at": at})
        await bus.idle()

    assert seen == ["it"] * len(PAST)


async def test_a_joined_transaction_may_publish_for_the_past(database: Database, on_database: MakeHarness) -> None:
    seen: list[str] = []

    @handler("ledger")
    def take(message: Noted) -> None:
        seen.append(message.key)

    async with on_database(take) as bus:
        await join(database, bus, {"at": PAST[0]})
        await bus.idle()

        with pytest.raises(InvalidTime):
            await join(database, bus, {"delay": timedelta.max})

    assert seen == ["it"]


async def join(database: Database, bus: Harness, options: dict[str, Any]) -> None:
    with begun(database) as connection:
        bus.bus.join(connection).publish(Noted(key="it"), **options)


@pytest.mark.parametrize("at", PAST)
async def test_a_handler_may_schedule_and_a_saga_may_set_a_timer_for_the_past(
    harness: MakeHarness, at: datetime
) -> None:
    seen: list[str] = []

    class Clocked(Saga, name="clocked", key="key"):
        key: str

        @starts
        def begin(self, message: Noted, ctx: Context) -> None:
            ctx.set_timer("alarm", at=at)
            ctx.schedule(Do(key=message.key), at=at)

        @timer("alarm")
        def alarm(self, ctx: Context) -> None:
            seen.append("timer")

    @handler("doer")
    def do(message: Do) -> None:
        seen.append(message.key)

    async with harness(Clocked, do) as bus:
        await bus.publish(Noted(key="A"))

    assert sorted(seen) == ["A", "timer"]


@pytest.mark.parametrize("options", IMPOSSIBLE)
@pytest.mark.parametrize("way", WAYS)
async def test_what_is_no_time_is_refused_at_the_call(way: Way, options: dict[str, Any]) -> None:
    @handler("ledger")
    def take(message: Noted | Do) -> None: ...

    async with Harness(take) as bus:
        with pytest.raises(InvalidTime) as caught:
            await way(bus.bus, options)

        assert all(each.waiting == 0 for each in await bus.bus.counts())
    assert caught.value.option in options or len(options) == 2


@pytest.mark.parametrize("name", ["lease", "grace", "retention", "history_retention", "purge_every"])
@pytest.mark.parametrize("wrong", [timedelta.max, timedelta(-1), 30])
def test_a_setting_that_is_no_time_is_refused_by_name(name: str, wrong: Any) -> None:
    with pytest.raises(Exception, match=rf"Settings\.{name}"):
        Settings(**{name: wrong})


@pytest.mark.parametrize("wrong", [timedelta.max, timedelta(-1), 30, None])
async def test_a_look_for_what_has_not_changed_for_an_impossible_time_is_refused(wrong: Any) -> None:
    async with Bus("memory:") as bus:
        with pytest.raises(InvalidTime, match="span"):
            await bus.inspect.unchanged("orders", wrong)


@pytest.mark.parametrize("wrong", [date(2090, 1, 1), NAIVE, 1_900_000_000, "now"])
async def test_a_look_at_timers_refuses_what_is_no_time(wrong: Any) -> None:
    async with Harness() as bus:
        with pytest.raises(InvalidTime, match="due_before"):
            await bus.bus.inspect.timers(due_before=wrong)
