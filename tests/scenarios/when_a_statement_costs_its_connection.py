"""A statement of a handler's that ends its connection each time, or never comes to its end, is its message's fault: the
neighbours go on, and it ends in the dead letters. A database that does not answer is nobody's.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.conftest import Take
from tests.scenarios.shop import Ended, Noted
from tests.support.databases import SERVERS, Database, ServerDatabase
from tests.support.waiting import until

from sagabus import (
    AsyncConnection,
    Bus,
    Connection,
    Context,
    RetryPolicy,
    StoreBusy,
    StoreFull,
    StoreUnavailable,
    handler,
)
from sagabus.outcome import Completed, Settled
from sagabus.store import Batch
from sagabus.stores.sqlite import SqliteStore
from sagabus.testing import ManualClock

BAD = 7
MANY = 20
RECORD = "INSERT INTO ledger (id, amount) VALUES (?, ?)"
ONCE = RetryPolicy(attempts=1)
DEADLY = {
    "postgres": "SELECT pg_terminate_backend(pg_backend_pid())",
    "mysql": "SELECT SLEEP(30)",  # longer than a call may take
}


@pytest.fixture(params=SERVERS)
def place(request: pytest.FixtureRequest, take: Take) -> Database:
    database = take(request.param)
    database.make()
    return database


def url(place: Database) -> str:
    assert isinstance(place, ServerDatabase)
    return f"{place.url}&deadline=0.5"


async def worked_off(place: Database, spoiler: Any) -> tuple[list[int], list[tuple[str, int]]]:
    """The numbers whose effect is there, and the dead letters with their attempts."""
    async with Bus(url(place), spoiler) as bus:
        await bus.publish_many([(Noted(key=f"K{n}", number=n), f"m{n}") for n in range(MANY)])

        async def all_are_there() -> bool:
            return len(place.rows()) + len(await bus.dead_letters.list()) == MANY

        await until(all_are_there, 50, every=0.01)
        letters = await bus.dead_letters.list()
    return [amount for _, amount in place.rows("amount, amount")], [
        (x.envelope.message_id, x.attempts) for x in letters
    ]


async def test_buffered_it_is_found_among_its_neighbours(place: Database) -> None:
    @handler("buffered", retry=ONCE)
    def spoil(message: Noted, ctx: Context) -> None:
        ctx.execute(place.sql(RECORD), (message.key, message.number))
        if message.number == BAD:
            ctx.execute(DEADLY[place.kind], ())

    done, dead = await worked_off(place, spoil)

    assert done == [number for number in range(MANY) if number != BAD]
    assert dead == [(f"m{BAD}", 1)]


async def test_on_a_lent_connection_it_does_not_go_on_for_ever(place: Database) -> None:
    @handler("lent", retry=ONCE)
    async def spoil(message: Noted, connection: AsyncConnection) -> None:
        await place.execute(connection, RECORD, (message.key, message.number))
        if message.number == BAD:
            await connection.execute(DEADLY[place.kind], ())

    done, dead = await worked_off(place, spoil)

    assert done == [number for number in range(MANY) if number != BAD]
    assert dead == [(f"m{BAD}", 1)]


class Poisoned:
    """A store that is lost with each commit of a certain statement; and, when told so, can be read but takes none."""

    def __init__(self, path: Path, clock: ManualClock, error: type[Exception]) -> None:
        self._store = SqliteStore(path, clock=clock)
        self._error = error
        self.silent = False
        self.tried = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, batch: Batch) -> Sequence[Settled]:
        done = [outcome for outcome in batch.outcomes if isinstance(outcome, Completed)]
        if self.silent and not any(outcome.envelope.message_id for outcome in batch.outcomes):
            raise StoreUnavailable  # though it may be read all the while
        if any(statement.sql == "SELECT 7" for outcome in done for statement in outcome.effects.statements):
            self.tried += 1
            raise self._error
        return await self._store.commit(batch)


@handler("spoiler", retry=ONCE)
def spoil(message: Noted, ctx: Context) -> None:
    ctx.execute("SELECT 7" if message.number == BAD else "SELECT 1", ())


@pytest.mark.parametrize("error", [StoreUnavailable, StoreBusy])
async def test_it_is_blamed_only_while_the_store_answers(
    tmp_path: Path, clock: ManualClock, error: type[Exception]
) -> None:
    store = Poisoned(tmp_path / "bus.db", clock, error)
    store.silent = True

    async with Bus(store, spoil, clock=clock) as bus:
        await bus.publish_many([Noted(key=f"K{n}", number=n) for n in range(MANY)])
        await passed(clock, lambda: store.tried >= 30)
        before = await bus.dead_letters.list()
        store.silent = False
        await passed(clock, lambda: bus.statistics["spoiler", "dead-lettered"] == 1)
        after = await bus.dead_letters.list()

    assert before == []
    assert [(letter.attempts, letter.error_type) for letter in after] == [(1, "sagabus.errors.TransactionLost")]
    assert bus.statistics["spoiler", "completed"] == MANY - 1


async def passed(clock: ManualClock, holds: Any) -> None:
    """Let time pass until something holds."""

    def passes() -> bool:
        if is_there := holds():
            return bool(is_there)
        clock.advance(timedelta(seconds=5))
        return False

    await until(passes, every=0.001)


class Unlending:
    """A store that lends no transaction for a while, or has no room in any."""

    def __init__(self, path: Path, clock: ManualClock, error: type[Exception]) -> None:
        self._store = SqliteStore(path, clock=clock)
        self._error = error
        self.refused = 0
        self.unit: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Any, None]:
        if self.refused < 40 and self._error is StoreUnavailable:
            self.refused += 1
            raise self._error
        async with self._store.transaction() as self.unit:
            yield self.unit


@pytest.mark.parametrize("error", [StoreUnavailable, StoreFull])
async def test_a_run_that_could_not_begin_or_had_no_room_is_never_counted(
    tmp_path: Path, clock: ManualClock, error: type[Exception]
) -> None:
    store = Unlending(tmp_path / "bus.db", clock, error)
    runs: list[int] = []

    @handler("borrower", retry=ONCE)
    def borrow(message: Noted, connection: Connection) -> None:
        runs.append(message.number)
        if error is StoreFull and len(runs) < 40:
            store.unit._handle.ended_by = StoreFull()
            raise StoreFull

    async with Bus(store, borrow, clock=clock) as bus:
        await bus.publish(Noted(key="K", number=1))
        await passed(clock, lambda: bus.statistics["borrower", "completed"] == 1)
        letters = await bus.dead_letters.list()

    assert letters == []
    assert store.refused + len(runs) > 40 - 1


async def test_an_outcome_that_is_too_much_by_itself_is_refused_in_the_end(tmp_path: Path, clock: ManualClock) -> None:
    class Narrow(Poisoned):
        async def commit(self, batch: Batch) -> Sequence[Settled]:
            if sum(len(o.effects.sent) for o in batch.outcomes if isinstance(o, Completed)) > 50:
                raise StoreUnavailable
            return await super().commit(batch)

    @handler("talker", retry=ONCE)
    def talk(message: Noted, ctx: Context) -> None:
        for number in range(100 if message.number == BAD else 1):
            ctx.publish(Ended(key=message.key, number=number))

    @handler("listener")
    def listen(message: Ended) -> None:
        pass

    store = Narrow(tmp_path / "bus.db", clock, StoreUnavailable)
    async with Bus(store, talk, listen, clock=clock) as bus:
        await bus.publish_many([Noted(key=f"K{n}", number=n) for n in range(MANY)])
        await passed(clock, lambda: bus.statistics["talker", "dead-lettered"] == 1)

    assert bus.statistics["talker", "completed"] == MANY - 1
