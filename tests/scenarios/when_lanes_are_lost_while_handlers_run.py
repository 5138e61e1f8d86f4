"""A worker that was away for longer than its lease: others may have had its lanes, and its keys keep their order."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import field
from datetime import timedelta
from typing import Any, ClassVar

from tests.scenarios.conftest import until
from tests.scenarios.shop import Noted

from sagabus import Bus, Context, Saga, StoreUnavailable, handler, starts
from sagabus.settings import Settings
from sagabus.store import Loaded
from sagabus.stores.memory import MemoryStore
from sagabus.testing import ManualClock

LEASE = Settings().lease


class SlowTally(Saga, name="slow-tally", key="key"):
    """Notes the numbers that reach it, in order; its very first run waits to be let go."""

    gate: ClassVar[asyncio.Event]
    runs: ClassVar[list[int]]

    key: str
    numbers: list[int] = field(default_factory=list)

    @starts
    async def noted(self, message: Noted, ctx: Context) -> None:
        self.runs.append(message.number)
        if len(self.runs) == 1:
            await self.gate.wait()
        self.numbers.append(message.number)


@asynccontextmanager
async def worker_that_was_away(clock: ManualClock) -> AsyncIterator[tuple[Bus, MemoryStore]]:
    """Its first run goes on while its lease ends, and `thief` has its lanes now."""
    store = MemoryStore(clock)
    SlowTally.gate, SlowTally.runs = asyncio.Event(), []
    async with Bus(store, SlowTally, clock=clock) as bus:
        await bus.publish_many([Noted(key="A", number=number) for number in (1, 2, 3)])
        await until(lambda: SlowTally.runs == [1])
        clock.advance(LEASE + timedelta(seconds=1))
        await store.lease("thief", ["slow-tally"], duration=LEASE // timedelta(microseconds=1), window=10)
        yield bus, store


async def turns() -> None:
    """Let everything happen that can happen without time passing."""
    for _ in range(500):
        await asyncio.sleep(0)


async def numbers(bus: Bus) -> list[int]:
    record = await bus.sagas.get(SlowTally, "A")
    return [] if record is None else record.state.numbers


async def test_what_ran_meanwhile_does_not_run_again_where_it_does_not_belong(clock: ManualClock) -> None:
    async with worker_that_was_away(clock) as (bus, _):
        await turns()

        SlowTally.gate.set()
        await turns()

        assert SlowTally.runs == [1]
        assert await numbers(bus) == []


async def test_lanes_won_again_start_from_the_beginning_in_order(clock: ManualClock) -> None:
    async with worker_that_was_away(clock) as (bus, store):
        await store.release("thief")
        await until(lambda: len(SlowTally.runs) > 1)
        await turns()

        SlowTally.gate.set()
        await turns()

        assert SlowTally.runs == [1, 1, 2, 3]
        assert await numbers(bus) == [1, 2, 3]


class Away:
    """A store of two workers' that nobody reaches for a while."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.is_away = False

    def __getattr__(self, name: str) -> Any:
        if self.is_away and name in ("lease", "fetch", "commit", "routing"):
            raise StoreUnavailable
        return getattr(self._store, name)


async def test_no_worker_is_taken_for_dead_because_the_store_was_away(clock: ManualClock) -> None:
    """Or whoever is back first has all lanes, and what the others have in hand runs again, one after another."""
    gate, runs = asyncio.Event(), Counter[str]()

    @handler("slow", key="key")
    async def slow(message: Noted) -> None:
        runs[message.key] += 1
        await gate.wait()

    store = Away(MemoryStore(clock))
    async with Bus(store, slow, clock=clock) as first, Bus(store, slow, clock=clock) as second:
        await passed(clock, timedelta(seconds=3))
        await first.publish_many([Noted(key=f"K{n}", number=n) for n in range(40)])
        await until(lambda: len(runs) == 40)
        store.is_away = True
        await passed(clock, 2 * LEASE)
        store.is_away = False
        await passed(clock, 2 * LEASE)
        gate.set()
        await first.idle(20)

        assert set(runs.values()) == {1}
        assert [bus.statistics["slow", "completed"] > 10 for bus in (first, second)] == [True, True]


async def passed(clock: ManualClock, time: timedelta) -> None:
    """Let time pass, a little at a time."""
    for _ in range(time // timedelta(milliseconds=200)):
        clock.advance(timedelta(milliseconds=200))
        for _ in range(20):
            await asyncio.sleep(0)


class Forgetful:
    """A store that is gone between the fetch and the look at the state of what was fetched."""

    def __init__(self, clock: ManualClock, times: int) -> None:
        self._store = MemoryStore(clock)
        self._times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def load(self, saga: str, keys: Sequence[str]) -> Sequence[Loaded]:
        self._times -= 1
        if self._times >= 0:
            raise StoreUnavailable
        return await self._store.load(saga, keys)


async def test_what_was_fetched_runs_though_the_store_was_gone_before_its_state_was_read(clock: ManualClock) -> None:
    SlowTally.gate, SlowTally.runs = asyncio.Event(), []
    SlowTally.gate.set()

    async with Bus(Forgetful(clock, times=3), SlowTally, clock=clock) as bus:
        await bus.publish(Noted(key="A", number=1))
        for _ in range(10):
            await turns()
            clock.advance(timedelta(seconds=1))

        assert await numbers(bus) == [1]
