"""Order under failure: its own key waits, other keys go on."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast

import pytest
from tests.scenarios.conftest import MakeHarness, until
from tests.scenarios.shop import Noted, Tally
from tests.support.databases import Database

from sagabus import Bus, Context, Linear, ReplayResult, RetryPolicy, handler
from sagabus.clock import Clock
from sagabus.outcome import Completed, Settled
from sagabus.store import Batch, Cursor, Fetched
from sagabus.stores.memory import MemoryStore
from sagabus.testing import Harness, ManualClock

SECOND = timedelta(seconds=1)


def recorder(**options: Any) -> tuple[Any, list[str], set[int]]:
    """A handler that fails for the numbers in a set, and notes the others."""
    seen: list[str] = []
    bad: set[int] = set()

    @handler("recorder", key="key", **{"retry": RetryPolicy(attempts=3), **options})
    def record(message: Noted) -> None:
        if message.number in bad:
            raise ValueError(message.number)
        seen.append(f"{message.key}{message.number}")

    return record, seen, bad


async def test_later_ones_of_its_key_wait_and_other_keys_go_on(harness: MakeHarness) -> None:
    record, seen, bad = recorder()
    bad.add(1)
    async with harness(record) as bus:
        await bus.bus.publish_many([Noted(key=key, number=n) for key, n in [("A", 1), ("A", 2), ("B", 3), ("A", 4)]])
        await bus.idle()
        meanwhile = list(seen)
        await bus.publish(Noted(key="A", number=5))
        bad.clear()
        await bus.advance(SECOND)

        assert meanwhile == ["B3"]
        assert seen == ["B3", "A1", "A2", "A4", "A5"]


class FetchesSlowly(MemoryStore):
    """A fetch that takes long comes back with what it saw when it began."""

    takes: timedelta | None = None

    async def fetch(self, cursors: Sequence[Cursor], limit: int) -> Fetched:
        fetched = await super().fetch(cursors, limit)
        if cursors and self.takes is not None:
            takes, self.takes = self.takes, None
            cast("ManualClock", self._clock).advance(takes)
        return fetched


async def test_the_time_that_a_fetch_takes_is_not_waited_for_again() -> None:
    record, seen, bad = recorder(retry=RetryPolicy(backoff=Linear(timedelta(seconds=10)), jitter=False))
    bad.add(1)
    stores: list[FetchesSlowly] = []

    def slow(clock: Clock) -> FetchesSlowly:
        stores.append(FetchesSlowly(clock=clock))
        return stores[-1]

    async with Harness(record, store=slow) as bus:
        await bus.publish(Noted(key="A", number=1))
        bad.clear()
        stores[0].takes = 10 * SECOND
        bus.clock.advance(SECOND)
        await until(lambda: stores[0].takes is None)
        await bus.idle()

        assert seen == ["A1"]


class AnswersLate(MemoryStore):
    """Between the commit of a retry and its answer, a worker fetches."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched = asyncio.Event()

    async def commit(self, batch: Batch) -> Sequence[Settled]:
        answers = await super().commit(batch)
        if any(type(outcome) is Completed and outcome.envelope.failed_at for outcome in batch.outcomes):
            self.fetched.clear()
            await self.fetched.wait()
        return answers

    async def fetch(self, cursors: Sequence[Cursor], limit: int) -> Fetched:
        fetched = await super().fetch(cursors, limit)
        asyncio.get_running_loop().call_later(0.01, self.fetched.set)
        return fetched


async def test_what_a_fetch_sees_before_the_worker_knows_that_a_key_goes_on_does_not_overtake() -> None:
    record, seen, bad = recorder(retry=RetryPolicy(backoff=Linear(timedelta(milliseconds=50)), jitter=False))
    bad.add(1)
    async with Bus(AnswersLate(), record) as bus:
        await bus.publish_many([Noted(key="A", number=number) for number in (1, 2, 3)])
        await until(lambda: bus.statistics["recorder", "retried"] == 1)
        bad.clear()
        await bus.publish_many([Noted(key="B", number=4), Noted(key="A", number=5)])
        await until(lambda: len(seen) == 5)

    assert [each for each in seen if each[0] == "A"] == ["A1", "A2", "A3", "A5"]


async def test_what_ran_when_one_before_it_was_refused_waits_for_it_too(
    on_database: MakeHarness, database: Database
) -> None:
    @handler("recorder", key="key")
    async def record(message: Noted, ctx: Context) -> None:
        if message.number == 2:
            await until(lambda: bus.bus.statistics["recorder", "lost: refused"] > 0)
        amount = -1 if message.number == 1 and ctx.attempt == 1 else message.number
        ctx.execute(database.sql("INSERT INTO done (number, amount) VALUES (?, ?)"), (message.number, amount))

    kinds = {"sqlite": "INTEGER PRIMARY KEY", "postgres": "SERIAL", "mysql": "INTEGER AUTO_INCREMENT PRIMARY KEY"}
    columns = f"turn {kinds[database.kind]}, number INTEGER, amount INTEGER CHECK (amount > 0)"
    database.make(f"CREATE TABLE done ({columns})")
    async with on_database(record) as bus:
        await bus.bus.publish_many([Noted(key="A", number=number) for number in (1, 2, 3)])
        await bus.advance(timedelta(minutes=5))

    assert [number for _, number in database.rows("turn, number", "done")] == [1, 2, 3]


async def test_once_it_is_dead_its_key_goes_on(harness: MakeHarness) -> None:
    record, seen, bad = recorder()
    bad.add(1)
    async with harness(record) as bus:
        await bus.bus.publish_many([Noted(key="A", number=1), Noted(key="A", number=2)])
        await bus.advance(timedelta(minutes=5))

        assert seen == ["A2"]
        assert len(await bus.dead_letters()) == 1


async def test_unordered_nothing_waits(harness: MakeHarness) -> None:
    record, seen, bad = recorder(ordered=False)
    bad.add(1)
    async with harness(record) as bus:
        await bus.bus.publish_many([Noted(key="A", number=1), Noted(key="A", number=2)])
        await bus.idle()
        meanwhile = list(seen)
        bad.clear()
        await bus.advance(SECOND)

        assert meanwhile == ["A2"]
        assert seen == ["A2", "A1"]


@pytest.mark.parametrize("fixed", [True, False])
async def test_parked_its_key_waits_for_the_operator(harness: MakeHarness, fixed: bool) -> None:
    record, seen, bad = recorder(parks=True)
    bad.add(1)
    async with harness(record) as bus:
        await bus.bus.publish_many([Noted(key=key, number=n) for key, n in [("A", 1), ("A", 2), ("B", 3)]])
        await bus.advance(timedelta(hours=5))
        parked = list(seen)
        (letter,) = await bus.dead_letters()
        if fixed:
            bad.clear()
            result = await bus.bus.dead_letters.replay(letter.id, reason="a test")
        else:
            result = await bus.bus.dead_letters.discard(letter.id, reason="a test")
        await bus.advance(timedelta(minutes=1))

        assert parked == ["B3"]
        assert result is ReplayResult.DONE
        assert seen == (["B3", "A1", "A2"] if fixed else ["B3", "A2"])


async def test_replayed_and_dead_again_it_parks_again(harness: MakeHarness) -> None:
    record, seen, bad = recorder(parks=True, retry=RetryPolicy(attempts=1))
    bad.add(1)
    async with harness(record) as bus:
        await bus.bus.publish_many([Noted(key="A", number=1), Noted(key="A", number=2)])
        await bus.idle()
        for _ in range(3):
            (letter,) = await bus.dead_letters()
            await bus.bus.dead_letters.replay(letter.id, reason="a test")
            await bus.advance(SECOND)
            assert seen == []
        bad.clear()
        (letter,) = await bus.dead_letters()
        await bus.bus.dead_letters.replay(letter.id, reason="a test")
        await bus.advance(SECOND)

        assert seen == ["A1", "A2"]


async def test_the_state_of_a_saga_is_as_before_the_failed_run(harness: MakeHarness) -> None:
    async with harness(Tally) as bus:
        await bus.publish(Noted(key="A", number=1))
        bus.fail(Tally, times=2)
        await bus.bus.publish_many([Noted(key="A", number=n) for n in (2, 3, 4)])
        await bus.idle()
        meanwhile = await bus.saga(Tally, "A")
        await bus.advance(timedelta(seconds=5))

        assert meanwhile == Tally(key="A", numbers=[1])
        assert await bus.saga(Tally, "A") == Tally(key="A", numbers=[1, 2, 3, 4])


async def test_a_hundred_waiting_ones_keep_their_order_over_many_failures(harness: MakeHarness) -> None:
    record, seen, bad = recorder(retry=RetryPolicy(attempts=50, jitter=False))
    async with harness(record) as bus:
        bad.update(range(0, 100, 10))
        await bus.bus.publish_many([Noted(key="A", number=n) for n in range(100)])
        for number in range(0, 100, 10):
            await bus.advance(SECOND)
            bad.discard(number)
            await bus.advance(timedelta(minutes=5))

        assert seen == [f"A{n}" for n in range(100)]


async def test_its_key_goes_on_waiting_for_it_after_a_crash(harness: MakeHarness) -> None:
    record, seen, bad = recorder(retry=RetryPolicy(attempts=9, jitter=False))
    bad.add(1)
    async with harness(record) as bus:
        await bus.bus.publish_many([Noted(key="A", number=n) for n in (1, 2, 3)])
        await bus.idle()
        await bus.crash()
        await bus.publish(Noted(key="A", number=4))
        bad.clear()
        await bus.advance(timedelta(hours=1))

        assert seen == ["A1", "A2", "A3", "A4"]
