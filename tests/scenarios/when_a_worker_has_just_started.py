"""What is wrong with a store when a worker starts is known a second later, and not only after the first purge."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from tests.conftest import Take
from tests.scenarios.conftest import PATIENCE
from tests.scenarios.shop import Noted
from tests.support.databases import SERVERS
from tests.support.waiting import until

from sagabus import Bus, Context, RetryPolicy, Saga, event, handler, starts, timer
from sagabus.engine.housekeeping import FIRST_LOOK
from sagabus.store import Subscription
from sagabus.store.examination import Fault, FaultKind
from sagabus.stores.memory import MemoryStore
from sagabus.testing import Harness, ManualClock

SIGNALS = ("orphan_timers", "oldest_messages", "unowned_lanes", "recent_dead_letters")
NOTHING: Mapping[str, Any] = {name: {} for name in SIGNALS}
MINUTE = timedelta(minutes=1)


@event("starting.ended")
class Ended:
    key: str


class Trips(Saga, name="trips", key="key"):
    key: str

    @starts
    def noted(self, message: Noted, ctx: Context) -> None:
        ctx.set_timer("end", after=timedelta(days=1))

    @timer("end")
    def end(self) -> None: ...


@handler("broken", key="key", retry=RetryPolicy(attempts=1))
def broken(message: Noted) -> None:
    raise ValueError(message.key)


async def turns() -> None:
    """Let the tasks of a bus get to where they wait."""
    for _ in range(20):
        await asyncio.sleep(0)


def signals(bus: Bus) -> Mapping[str, Any]:
    """What `health` says of the store."""
    health = bus.health()
    return {name: dict(getattr(health, name)) for name in SIGNALS}


@pytest.mark.parametrize("kind", ["memory", "sqlite", *SERVERS])
async def test_what_is_wrong_with_a_store_is_known_a_second_after_the_start(kind: str, take: Take) -> None:
    database = None if kind == "memory" else take(kind)
    options: Any = {"store": None if database is None else database.url, "patience": PATIENCE}
    async with Harness(Trips, broken, **options) as harness:
        await harness.publish(Noted(key="gone"))
        await harness.bus.store.register([Subscription(channel="absent", message_type="starting.ended", kind="event")])
        await harness.bus.publish(Ended(key="A"))
        if database is None:
            tap: Any = harness.bus.store
            del tap.store._tables.instances["trips", "gone"]
        else:
            key = "`key`" if database.kind == "mysql" else "key"
            await database.change(f"DELETE FROM {database.own('instance')} WHERE {key} = 'gone'")
        await harness.crash(takeover=False)
        at_first = signals(harness.bus)
        await harness.advance(FIRST_LOOK)
        await until(lambda: all(signals(harness.bus).values()))

        found = signals(harness.bus)
        lanes = {each.channel: each.lanes for each in await harness.bus.store.inspect.lane_counts()}

    assert at_first == NOTHING
    assert found["orphan_timers"] == {"trips": 1}
    assert found["oldest_messages"]["absent"] > timedelta(0)
    assert found["unowned_lanes"] == {"absent": lanes["absent"], "broken": 0, "trips": 0}
    assert found["recent_dead_letters"] == {"absent": 0, "broken": 1, "trips": 0}


async def test_a_bus_without_a_worker_never_looks() -> None:
    clock = ManualClock()
    async with Bus(MemoryStore(clock), clock=clock) as bus:
        await bus.store.register([Subscription(channel="absent", message_type="starting.ended", kind="event")])
        for time in (FIRST_LOOK, MINUTE):
            await turns()
            clock.advance(time)
            await turns()

        assert signals(bus) == NOTHING


async def test_a_first_look_that_lasts_holds_up_neither_the_opening_nor_messages_nor_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks, ran = asyncio.Event(), asyncio.Event()

    async def lasts(kind: FaultKind) -> Sequence[Fault]:
        looks.set()
        await asyncio.Event().wait()
        raise AssertionError

    @handler("quick")
    def quick(message: Noted) -> None:
        ran.set()

    clock = ManualClock()
    store = MemoryStore(clock)
    monkeypatch.setattr(store.inspect, "faults", lasts)
    async with asyncio.timeout(PATIENCE), Bus(store, quick, clock=clock) as bus:
        await turns()
        clock.advance(FIRST_LOOK)
        await looks.wait()
        await bus.publish(Noted(key="A"))
        await ran.wait()

        assert bus.health().is_healthy
