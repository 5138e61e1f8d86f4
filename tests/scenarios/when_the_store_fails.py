"""A busy, full or lost database: nobody's fault, no attempt, nothing lost, nothing twice."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.conftest import MakeHarness, until
from tests.scenarios.shop import Ended, Noted, OrderSaga, OrderSubmitted, Tally, capture

from sagabus import Bus, Context, RetryPolicy, StoreBusy, StoreFull, StoreUnavailable, handler
from sagabus.outcome import Completed, Settled
from sagabus.store import Batch, Cursor, Fetched, Loaded
from sagabus.stores.memory import MemoryStore
from sagabus.stores.sqlite import SqliteStore
from sagabus.testing import ManualClock


@pytest.mark.parametrize("error", [StoreBusy, StoreFull, StoreUnavailable])
@pytest.mark.parametrize("afterwards", [False, True])
async def test_a_commit_that_fails_is_repeated(
    harness: MakeHarness, error: type[BaseException], afterwards: bool
) -> None:
    async with harness(OrderSaga, capture) as bus:
        bus.fail_commit(times=5, error=error, afterwards=afterwards)
        for number in range(10):
            await bus.publish(OrderSubmitted(order_id=f"A{number}", total=number), wait=False)
        await bus.idle()

        records = await bus.bus.sagas.list(OrderSaga)
        assert [(record.status, record.version) for record in records] == [("paid", 2)] * 10
        assert len(bus.sent) == len(bus.published) == 10
        assert await bus.dead_letters() == []


@pytest.mark.parametrize("afterwards", [False, True])
async def test_of_a_chain_on_one_saga_no_link_is_lost_or_doubled(harness: MakeHarness, afterwards: bool) -> None:
    async with harness(Tally) as bus:
        bus.fail_commit(times=3, afterwards=afterwards)
        await bus.bus.publish_many([Noted(key="A", number=n) for n in range(200)])
        await bus.idle()

        assert await bus.saga(Tally, "A") == Tally(key="A", numbers=list(range(200)))


@pytest.mark.parametrize("afterwards", [False, True])
async def test_a_retry_is_counted_once(harness: MakeHarness, afterwards: bool) -> None:
    attempts: list[int] = []

    @handler("counted", retry=RetryPolicy(attempts=4))
    def count(message: Noted, ctx: Context) -> None:
        attempts.append(ctx.attempt)
        raise ValueError

    async with harness(count) as bus:
        bus.fail_commit(afterwards=afterwards)
        await bus.publish(Noted(key="A"))
        await bus.advance(timedelta(hours=1))

        (letter,) = await bus.dead_letters()
        assert attempts == [1, 2, 3, 4]
        assert letter.attempts == 4


async def test_the_store_failing_inside_a_handler_is_not_its_failure(harness: MakeHarness) -> None:
    attempts: list[int] = []

    @handler("unlucky", retry=RetryPolicy(attempts=1))
    def run(message: Noted, ctx: Context) -> None:
        attempts.append(ctx.attempt)
        if len(attempts) < 4:
            raise StoreBusy

    async with harness(run) as bus:
        await bus.publish(Noted(key="A"))
        await bus.advance(timedelta(minutes=1))

        assert attempts == [1, 2, 3, 4]
        assert await bus.dead_letters() == []


async def test_one_broken_outcome_does_not_hold_up_the_others(harness: MakeHarness) -> None:
    class Odd(BaseException):
        pass

    async with harness(Tally) as bus:
        bus.fail_commit(error=RuntimeError("a defect in the store"))
        await bus.bus.publish_many([Noted(key=f"K{n}", number=n) for n in range(10)])
        await bus.idle()
        await bus.advance(timedelta(minutes=1))

        records = await bus.bus.sagas.list(Tally)
        assert [record.version for record in records] == [1] * 10


async def test_a_handler_with_everything_survives_every_kind_of_failure(harness: MakeHarness) -> None:
    @handler("first")
    async def first(message: Noted, ctx: Context) -> None:
        ctx.publish(Ended(key=message.key, number=message.number))

    async with harness(first, Tally, duplicates=True) as bus:
        bus.fail(first, times=2)
        bus.fail(Tally, times=2)
        bus.fail_commit(times=2)
        bus.fail_commit(afterwards=True)
        await bus.bus.publish_many([Noted(key=f"K{n}", number=n) for n in range(10)])
        await bus.advance(timedelta(minutes=5))
        await bus.crash()
        await bus.advance(timedelta(hours=2))

        records = await bus.bus.sagas.list(Tally)
        assert [(record.state.numbers, record.completed) for record in records] == [([n, n], True) for n in range(10)]
        assert sorted(ended.number for ended in bus.published.of(Ended)) == list(range(10))


class Unreachable:
    """A store that has been there, and whose hints go on as those of a server do, which are for looking soon."""

    def __init__(self, clock: ManualClock) -> None:
        self._store = MemoryStore(clock)
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def fetch(self, cursors: Sequence[Cursor], limit: int) -> Fetched:
        self.asked += 1
        raise StoreUnavailable

    async def changed(self, timeout: float | None) -> None:
        await asyncio.sleep(0)


async def test_a_lost_store_is_asked_again_at_growing_intervals(clock: ManualClock) -> None:
    store = Unreachable(clock)
    asked: list[int] = []

    async with Bus(store, capture, clock=clock):
        for seconds in (0, 0.2, 0.2, 0.2, 0.8, 1.6):
            clock.advance(timedelta(seconds=seconds))
            for _ in range(100):
                await asyncio.sleep(0)
            asked.append(store.asked)

    assert asked == [1, 2, 2, 3, 4, 5]


class WaitsBadly(MemoryStore):
    """A store that cannot wait for news the first few times."""

    defects = 3

    def __init__(self, clock: ManualClock, error: Exception) -> None:
        super().__init__(clock)
        self._error = error

    async def changed(self, timeout: float | None) -> None:
        if self.defects:
            self.defects -= 1
            raise self._error
        await super().changed(timeout)


@pytest.mark.parametrize("error", [RuntimeError("a defect"), StoreUnavailable("gone")])
async def test_a_store_that_cannot_wait_for_news_is_asked_again(clock: ManualClock, error: Exception) -> None:
    store = WaitsBadly(clock, error)

    async with Bus(store, Tally, clock=clock) as bus:
        while store.defects:
            clock.advance(timedelta(seconds=1))
            await asyncio.sleep(0)
        await bus.publish(Noted(key="A", number=1))
        while not bus.statistics["tally", "completed"]:
            clock.advance(timedelta(seconds=1))
            await asyncio.sleep(0)
        record = await bus.sagas.get(Tally, "A")

    assert record is not None
    assert record.state.numbers == [1]


class LoadsBadly(MemoryStore):
    """A store with a defect: so many states it does not give."""

    defects = 0

    async def load(self, saga: str, keys: Sequence[str]) -> Sequence[Loaded]:
        if self.defects:
            self.defects -= 1
            raise RuntimeError("a defect")
        return await super().load(saga, keys)


async def test_a_message_whose_run_broke_off_is_not_overtaken() -> None:
    store = LoadsBadly()
    async with Bus(store, Tally) as bus:
        store.defects = 2  # ahead of the run, and by it
        await bus.publish(Noted(key="A", number=1))
        await until(lambda: store.defects == 0)
        await bus.publish(Noted(key="A", number=2))
        await until(lambda: bus.statistics["tally", "completed"] == 2)
        record = await bus.sagas.get(Tally, "A")

    assert record is not None
    assert record.state.numbers == [1, 2]


class Narrow:
    """A store that has time for so many outcomes at once, and no more."""

    def __init__(self, clock: ManualClock) -> None:
        self._store = MemoryStore(clock)
        self.sizes: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, batch: Batch) -> Sequence[Settled]:
        self.sizes.append(len(batch.outcomes))
        if len(batch.outcomes) > 10:
            raise StoreUnavailable
        return await self._store.commit(batch)


async def test_a_flush_that_is_too_much_for_one_call_goes_in_smaller_shares(clock: ManualClock) -> None:
    store = Narrow(clock)

    async with Bus(store, Tally, clock=clock) as bus:
        await bus.publish_many([Noted(key=f"K{n % 4}", number=n) for n in range(200)])
        async with asyncio.timeout(10):
            while not all(await tallied(bus)):
                clock.advance(timedelta(seconds=5))
                await asyncio.sleep(0)

    assert max(store.sizes) > 40


async def tallied(bus: Bus) -> list[bool]:
    """Of each of the four, whether it has heard all that it was to hear, in order."""
    records = {record.key: record.state.numbers for record in await bus.sagas.list(Tally)}
    return [records.get(f"K{n}") == list(range(n, 200, 4)) for n in range(4)]


class Measured:
    """A store that notes how many statements of the user's, and outcomes of runs that failed, each commit has in it."""

    def __init__(self, path: Path, clock: ManualClock) -> None:
        self._store = SqliteStore(path, clock=clock)
        self.statements: list[int] = []
        self.failures: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, batch: Batch) -> Sequence[Settled]:
        done = [outcome for outcome in batch.outcomes if isinstance(outcome, Completed)]
        self.statements.append(sum(len(outcome.effects.statements) for outcome in done))
        self.failures.append(len(batch.outcomes) - len(done))
        return await self._store.commit(batch)


async def test_what_has_gathered_goes_in_commits_that_a_call_has_time_for(tmp_path: Path, clock: ManualClock) -> None:
    """Each statement is a round trip to a server; those of two thousand messages would take a call's whole deadline."""
    store = Measured(tmp_path / "bus.db", clock)

    @handler("writer")
    def write(message: Noted, ctx: Context) -> None:
        for _ in range(300 if message.number == 0 else 2):
            ctx.execute("SELECT 1", ())

    @handler("failure", retry=RetryPolicy(attempts=1))
    def fail(message: Noted) -> None:
        raise ValueError(message.key)

    async with Bus(store, write, fail, clock=clock) as bus:
        await bus.publish_many([Noted(key=f"K{n}", number=n) for n in range(600)])
        await bus.idle(20)

    assert sum(store.statements) == 300 + 2 * 599
    assert sorted(store.statements)[-2] <= 250 < max(store.statements) == 300
    assert sum(store.failures) == 600
    assert 20 < max(store.failures) <= 250 / 3
