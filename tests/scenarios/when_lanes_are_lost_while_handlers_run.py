"""A worker that was away for longer than its lease: others may have had its lanes, and its keys keep their order."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import field
from datetime import timedelta
from typing import Any, ClassVar

from tests.scenarios.conftest import until
from tests.scenarios.shop import Noted

from sagabus import Bus, Context, Saga, StoreUnavailable, starts
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


async def test_lanes_won_again_are_begun_anew_in_order(clock: ManualClock) -> None:
    async with worker_that_was_away(clock) as (bus, store):
        await store.release("thief")
        await until(lambda: len(SlowTally.runs) > 1)
        await turns()

        SlowTally.gate.set()
        await turns()

        assert SlowTally.runs == [1, 1, 2, 3]
        assert await numbers(bus) == [1, 2, 3]


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
