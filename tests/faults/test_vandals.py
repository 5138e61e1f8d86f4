"""Handlers that reach for what is not theirs: refused, at their own cost only, with nothing half committed."""

import sqlite3
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path

import apsw
import pytest
from tests.faults.files import prepare, query
from tests.support.waiting import until

from sagabus import Bus, Connection, Context, Linear, RetryPolicy, Settings, event, handler
from sagabus.errors import StatementRefused, TransactionLost

TABLES = """
CREATE TABLE ledger (step TEXT, number INTEGER);
CREATE TABLE strict (number INTEGER PRIMARY KEY);
CREATE TABLE trapped (number INTEGER);
CREATE TABLE fatal (number INTEGER);
INSERT INTO strict VALUES (7);
"""
TRAPS = """
CREATE TRIGGER trap AFTER INSERT ON trapped BEGIN DELETE FROM sagabus_inbox; END;
CREATE TRIGGER fatal AFTER INSERT ON fatal BEGIN SELECT RAISE(ROLLBACK, 'enough'); END;
"""
STEP = "INSERT INTO ledger VALUES (?, ?)"
BAD = 7
TWICE = RetryPolicy(attempts=2, backoff=Linear(timedelta(milliseconds=1)), jitter=False)
ONCE = RetryPolicy(attempts=1)

REFUSED = [
    "COMMIT",
    "END TRANSACTION",
    "/* just a comment */ COMMIT",
    "ROLLBACK",
    "BEGIN",
    "SAVEPOINT mine",
    "RELEASE sagabus_outcomes",
    "ROLLBACK TO sagabus_outcomes",
    "CREATE TABLE mine (x)",
    "CREATE TEMP TABLE mine (x)",
    "CREATE INDEX mine ON ledger (step)",
    "CREATE VIEW mine AS SELECT 1",
    "CREATE TRIGGER mine AFTER INSERT ON ledger BEGIN SELECT 1; END",
    "ALTER TABLE ledger ADD COLUMN x",
    "DROP TABLE ledger",
    "PRAGMA synchronous = OFF",
    "PRAGMA journal_mode = DELETE",
    "ATTACH ':memory:' AS other",
    "DETACH main",
    "ANALYZE",
    "REINDEX",
    "DELETE FROM sagabus_envelope",
    "UPDATE SagaBus_Instance SET version = 99",
    "INSERT INTO sagabus_inbox VALUES ('a', 'b', 'c', 1)",
    "SELECT * FROM sagabus_dead_letter",
    "DELETE FROM sqlite_sequence",
    "INSERT INTO trapped VALUES (1)",
    "EXPLAIN COMMIT",
]
"""`trapped` has a trigger of the user's that reaches for our tables."""

pytestmark = pytest.mark.faults


@event("vandals.task")
class Task:
    number: int


@pytest.fixture
def store(tmp_path: Path) -> Path:
    prepare(tmp_path / "vandals.db", TABLES)
    return tmp_path / "vandals.db"


async def run(store: Path, *handlers: object, numbers: int = 10) -> Bus:
    """Publish ten tasks, the eighth of which is the bad one, in one flush, and see them through."""
    bus = Bus(f"sqlite:///{store}", *handlers, settings=Settings(lanes=1, grace=timedelta(seconds=1)))
    await bus.open(worker=False)
    with_traps = apsw.Connection(str(store))
    with_traps.execute(TRAPS)
    with_traps.close()
    await bus.publish_many([(Task(number=n), f"t{n}") for n in range(numbers)])
    await bus.close()

    async def is_empty() -> bool:
        await bus.idle()
        return not query(store, "SELECT * FROM sagabus_envelope")

    async with bus:
        await until(is_empty)
    return bus


def check_only_the_bad_one_suffers(store: Path, error_type: str) -> None:
    innocent = [number for number in range(10) if number != BAD]
    assert sorted(query(store, "SELECT * FROM ledger")) == sorted(
        (step, number) for step in ("before", "after") for number in innocent
    )
    dead = query(store, "SELECT message_id, error_type, attempts FROM sagabus_dead_letter")
    assert dead == [(f"t{BAD}", error_type, 1)]
    assert query(store, "SELECT * FROM sagabus_envelope") == []
    assert len(query(store, "SELECT * FROM sagabus_inbox")) == 10
    assert query(store, "PRAGMA journal_mode") == [("wal",)]


@pytest.mark.parametrize("statement", REFUSED)
async def test_a_buffered_statement_that_is_not_theirs(statement: str, store: Path) -> None:
    @handler("vandal", retry=ONCE)
    def vandal(message: Task, ctx: Context) -> None:
        ctx.execute(STEP, ("before", message.number))
        if message.number == BAD:
            ctx.execute(statement)
        ctx.execute(STEP, ("after", message.number))

    await run(store, vandal)

    check_only_the_bad_one_suffers(store, "sagabus.errors.StatementRefused")


@pytest.mark.parametrize("statement", REFUSED)
async def test_a_statement_on_the_open_transaction_that_is_not_theirs(statement: str, store: Path) -> None:
    @handler("vandal", retry=ONCE)
    def vandal(message: Task, connection: Connection) -> None:
        connection.execute(STEP, ("before", message.number))
        if message.number == BAD:
            connection.execute(statement)
        connection.execute(STEP, ("after", message.number))

    await run(store, vandal)

    check_only_the_bad_one_suffers(store, "sagabus.errors.StatementRefused")


async def test_who_ignores_the_refusal_commits_wholly_all_the_same(store: Path) -> None:
    refused = []

    @handler("vandal", retry=ONCE)
    def vandal(message: Task, connection: Connection) -> None:
        connection.execute(STEP, ("before", message.number))
        for statement in REFUSED:
            try:
                connection.execute(statement)
            except StatementRefused as error:
                refused.append(error)
        connection.execute(STEP, ("after", message.number))

    await run(store, vandal, numbers=1)

    assert len(refused) == len(REFUSED)
    assert query(store, "SELECT * FROM ledger") == [("before", 0), ("after", 0)]
    assert query(store, "SELECT * FROM sagabus_dead_letter") == []


@pytest.mark.parametrize("statement", ["INSERT INTO ledger VALUES ('x', 1); COMMIT", "SELECT 1; DROP TABLE ledger"])
async def test_a_second_statement_behind_the_first(statement: str, store: Path) -> None:
    @handler("buffered", retry=ONCE)
    def buffered(message: Task, ctx: Context) -> None:
        ctx.execute(statement)

    @handler("open", retry=ONCE)
    def with_connection(message: Task, connection: Connection) -> None:
        connection.execute(statement)

    await run(store, buffered, with_connection, numbers=1)

    assert query(store, "SELECT * FROM ledger") == []
    assert sorted(query(store, "SELECT channel, error_type FROM sagabus_dead_letter")) == [
        ("buffered", "sagabus.errors.StatementRefused"),
        ("open", "sagabus.errors.StatementRefused"),
    ]


UNIQUE = "INSERT INTO strict VALUES (?)"
ENDING = ["INSERT OR ROLLBACK INTO strict VALUES (?)", "INSERT INTO fatal VALUES (?)"]
"""SQL with which a constraint or a trigger ends the whole transaction, not only the statement."""


@pytest.mark.parametrize("statement", [UNIQUE, *ENDING])
async def test_a_unique_violation_of_their_own_is_a_failure_and_no_duplicate(statement: str, store: Path) -> None:
    @handler("colliding", retry=ONCE)
    def colliding(message: Task, ctx: Context) -> None:
        ctx.execute(STEP, ("before", message.number))
        if message.number == BAD:
            ctx.execute(statement, (message.number,))
        ctx.execute(STEP, ("after", message.number))

    bus = await run(store, colliding)

    check_only_the_bad_one_suffers(store, "apsw.ConstraintError")
    assert bus.statistics["colliding", "completed"] == 9


@pytest.mark.parametrize("statement", [UNIQUE, *ENDING])
async def test_a_violation_on_the_open_transaction_is_a_failure_too(statement: str, store: Path) -> None:
    @handler("colliding", retry=ONCE)
    def colliding(message: Task, connection: Connection) -> None:
        connection.execute(STEP, ("before", message.number))
        if message.number == BAD:
            connection.execute(statement, (message.number,))
        connection.execute(STEP, ("after", message.number))

    await run(store, colliding)

    check_only_the_bad_one_suffers(store, "apsw.ConstraintError")


@pytest.mark.parametrize("statement", ENDING)
async def test_who_ignores_that_the_transaction_has_ended_commits_nothing(statement: str, store: Path) -> None:
    """Without the check, what comes after would commit by itself: a torn effect."""

    @handler("careless", retry=ONCE)
    def careless(message: Task, connection: Connection) -> None:
        connection.execute(STEP, ("before", message.number))
        if message.number == BAD:
            with suppress(apsw.ConstraintError):
                connection.execute(statement, (message.number,))
            with suppress(TransactionLost):
                connection.execute(STEP, ("after", message.number))
        else:
            connection.execute(STEP, ("after", message.number))

    await run(store, careless)

    check_only_the_bad_one_suffers(store, "sagabus.errors.TransactionLost")


async def test_the_handle_is_worth_nothing_after_the_handler(store: Path) -> None:
    kept: list[Connection] = []

    @handler("keeping", retry=ONCE)
    def keeping(message: Task, connection: Connection) -> None:
        kept.append(connection)

    await run(store, keeping, numbers=1)

    with pytest.raises(TransactionLost):
        kept[0].execute(STEP, ("late", 0))
    assert query(store, "SELECT * FROM ledger") == []


@pytest.mark.parametrize("statement", ["VACUUM", "VACUUM INTO 'elsewhere.db'", "SELECT load_extension('mine')"])
async def test_what_the_database_itself_refuses_inside_a_transaction(statement: str, store: Path) -> None:
    @handler("vandal", retry=ONCE)
    def vandal(message: Task, ctx: Context) -> None:
        ctx.execute(STEP, ("before", message.number))
        if message.number == BAD:
            ctx.execute(statement)
        ctx.execute(STEP, ("after", message.number))

    await run(store, vandal)

    check_only_the_bad_one_suffers(store, "apsw.SQLError")


async def test_order_within_a_key_holds_when_a_flush_has_to_be_taken_apart(store: Path) -> None:
    """All ten have one key and one flush; the bad one fails once, so those behind it have to wait for it."""
    failed: list[int] = []

    @handler("ordered", key=lambda message: "one", retry=TWICE)
    def ordered(message: Task, ctx: Context) -> None:
        ctx.execute(STEP, ("before", message.number))
        if message.number == BAD and ctx.attempt == 1:
            failed.append(message.number)
            ctx.execute(ENDING[0], (message.number,))

    await run(store, ordered)

    assert failed == [BAD]
    assert query(store, "SELECT number FROM ledger ORDER BY rowid") == [(number,) for number in range(10)]


async def test_another_connection_to_the_file_waits_its_turn(store: Path) -> None:
    """Nobody commits for anybody else: the stranger meets the lock, and its failure rolls the handler's rows back."""

    @handler("stranger", retry=ONCE)
    def stranger(message: Task, connection: Connection) -> None:
        connection.execute(STEP, ("before", message.number))
        with closing(sqlite3.connect(store, timeout=0)) as other:
            other.execute(STEP, ("elsewhere", message.number))
            other.commit()

    bus = Bus(f"sqlite:///{store}", stranger)
    async with bus:
        await bus.publish(Task(number=0), message_id="t0")
        await bus.idle(20)

    assert query(store, "SELECT step FROM ledger") in ([], [("before",)])
