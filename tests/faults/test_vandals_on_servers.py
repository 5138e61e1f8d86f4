"""The same on servers, which have no authorizer: the text is looked at before anything runs. What ends a transaction of
SQLite's by a constraint or a trigger has no counterpart there.
"""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.faults.oracle import found_in
from tests.faults.tasks import FAST, ONCE, Step, Task, emptied
from tests.support.databases import SERVERS, Database

from sagabus import AsyncConnection, Bus, Context, RetryPolicy, Saga, Settings, handler, starts

RECORD = "INSERT INTO ledger (id, amount) VALUES (?, ?)"
PLACED = "INSERT INTO placed (id) VALUES (?)"
BAD = 7
REFUSED = [
    *("COMMIT", "COMMIT AND CHAIN", "/* nothing */ COMMIT", "-- nothing\nCOMMIT", "ROLLBACK", "BEGIN", "END"),
    *("START TRANSACTION", "SAVEPOINT mine", "RELEASE SAVEPOINT sagabus_outcomes", "PREPARE TRANSACTION 'mine'"),
    "ROLLBACK TO SAVEPOINT sagabus_outcomes",
    *("CREATE TABLE mine (x INT)", "ALTER TABLE ledger ADD COLUMN x INT", "DROP TABLE ledger", "TRUNCATE ledger"),
    *("SET autocommit = 1", "SET TRANSACTION READ ONLY", "LOCK TABLES ledger WRITE", "LOCK TABLE ledger", "XA END 'x'"),
    *(
        "ANALYZE ledger",
        "ANALYZE TABLE ledger",
        "GRANT ALL ON ledger TO PUBLIC",
        "COPY ledger TO STDOUT",
        "DISCARD ALL",
    ),
    *(
        "DO $$ BEGIN COMMIT; END $$",
        "CALL mine()",
        "EXECUTE mine",
        "EXPLAIN ANALYZE DELETE FROM ledger",
        "FLUSH TABLES",
    ),
    *("/*! COMMIT */", "/*M! COMMIT */", "DELETE FROM ledger; COMMIT", "LISTEN mine", "UNLOCK TABLES", "KILL 1"),
]

pytestmark = pytest.mark.faults


@pytest.fixture
def place(database: Database) -> Database:
    database.make(
        "CREATE TABLE ledger (id VARCHAR(20), amount INTEGER)", "CREATE TABLE placed (id INTEGER PRIMARY KEY)"
    )
    database.run(PLACED, [BAD])
    return database


def buffered(place: Database, statement: Callable[[int], tuple[str, tuple[object, ...]] | None]) -> Any:
    @handler("vandal", retry=ONCE)
    def vandal(message: Task, ctx: Context) -> None:
        ctx.execute(place.sql(RECORD), ("before", message.number))
        if (given := statement(message.number)) is not None:
            ctx.execute(*given)
        ctx.execute(place.sql(RECORD), ("after", message.number))

    return vandal


def lent(place: Database, statement: Callable[[int], tuple[str, tuple[object, ...]] | None]) -> Any:
    @handler("vandal", retry=ONCE)
    async def vandal(message: Task, connection: AsyncConnection) -> None:
        await connection.execute(place.sql(RECORD), ("before", message.number))
        if (given := statement(message.number)) is not None:
            await connection.execute(*given)
        await connection.execute(place.sql(RECORD), ("after", message.number))

    return vandal


async def run(place: Database, count: int, *definitions: Any) -> Bus:
    """Publish first, so that all are in one flush if they may be."""
    bus = Bus(place.url, *definitions, settings=Settings(lanes=1, grace=timedelta(seconds=1)))
    await bus.open(worker=False)
    await bus.publish_many([(Task(number=number), f"t{number}") for number in range(count)])
    await bus.close()
    async with bus:
        await emptied(bus, place)
    return bus


def only_the_bad_ones_suffered(place: Database, bad: list[int], innocent: list[int]) -> set[str]:
    """The kinds of error that they were told."""
    assert place.rows() == sorted((step, number) for step in ("before", "after") for number in innocent)
    dead = found_in(place, "dead_letter", "message_id, error_type, attempts")
    assert sorted((message_id, attempts) for message_id, _, attempts in dead) == sorted((f"t{n}", 1) for n in bad)
    return {error_type for _, error_type, _ in dead}


@pytest.mark.parametrize("kind", list(SERVERS), indirect=True)
@pytest.mark.parametrize("how", [buffered, lent])
async def test_statements_that_are_not_theirs_cost_their_messages_only(how: Any, place: Database) -> None:
    """Every other message tries one of them."""
    theirs = [
        *REFUSED,
        f"DELETE FROM {place.own('envelope')}",
        f"UPDATE {place.own('instance').upper()} SET version = 9",
    ]
    count = 2 * len(theirs)

    await run(place, count, how(place, lambda number: (theirs[number // 2], ()) if number % 2 else None))

    told = only_the_bad_ones_suffered(place, list(range(1, count, 2)), list(range(0, count, 2)))
    assert told == {"sagabus.errors.StatementRefused"}


@pytest.mark.parametrize("kind", list(SERVERS), indirect=True)
@pytest.mark.parametrize("how", [buffered, lent])
async def test_a_unique_violation_of_their_own_is_no_duplicate(how: Any, place: Database) -> None:
    bus = await run(place, 10, how(place, lambda number: (place.sql(PLACED), (BAD,)) if number == BAD else None))

    (told,) = only_the_bad_ones_suffered(place, [BAD], [number for number in range(10) if number != BAD])
    assert told in ("asyncpg.exceptions.UniqueViolationError", "asyncmy.errors.IntegrityError")
    assert bus.statistics["vandal", "completed"] == 9


@pytest.mark.parametrize("kind", list(SERVERS), indirect=True)
async def test_order_within_a_key_holds_when_a_flush_is_taken_apart(place: Database) -> None:
    """All ten have one key and one flush; the bad one fails once, so those behind it have to wait for it."""

    class Walk(Saga, name="walks", key="key", retry=RetryPolicy(attempts=2, **FAST)):
        key: str
        numbers: tuple[int, ...] = ()

        @starts
        def step(self, message: Step, ctx: Context) -> None:
            self.numbers = (*self.numbers, message.number)
            ctx.execute(place.sql(PLACED), (BAD if message.number == 3 and ctx.attempt == 1 else 100 + message.number,))

    bus = Bus(place.url, Walk, settings=Settings(lanes=1))
    await bus.open(worker=False)
    await bus.publish_many([Step(key="one", number=number) for number in range(10)])
    await bus.close()
    async with bus:
        await emptied(bus, place)

    ((state, version),) = place.of_bus("instance", "i.state, i.version", "AS i")
    assert (json.loads(state)["numbers"], version) == (list(range(10)), 10)
    assert place.rows("id", "placed") == [(BAD,), *((100 + number,) for number in range(10))]
    assert bus.statistics["walks", "retried"] == 1
