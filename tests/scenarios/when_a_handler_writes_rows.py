"""The user's own rows in the commit of the message: buffered statements, and the open transaction."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from inspect import isawaitable
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.conftest import MakeHarness, table
from tests.scenarios.shop import Ended, Noted
from tests.support.databases import Database

from sagabus import (
    AsyncConnection,
    Bus,
    Context,
    RetryPolicy,
    Saga,
    StatementRefused,
    UnsupportedCapability,
    handler,
    starts,
)
from sagabus.testing import Harness

INSERT = "INSERT INTO ledger VALUES (?, ?)"
ONCE = RetryPolicy(attempts=1)


def writer(database: Database) -> Callable[..., None]:
    @handler("writer", retry=ONCE)
    def write(message: Noted, ctx: Context) -> None:
        ctx.execute(database.sql(INSERT), (message.key, message.number))
        ctx.publish(Ended(key=message.key))

    return write


def lender(database: Database) -> Callable[..., Awaitable[None]]:
    @handler("lender", retry=ONCE)
    async def lend(message: Noted, ctx: Context, connection: AsyncConnection) -> None:
        await database.execute(connection, INSERT, (message.key, message.number))
        ((count,),) = await database.execute(connection, "SELECT count(*) FROM ledger")
        ctx.publish(Ended(key=message.key, number=count))
        if message.number == 13:
            raise ValueError(message.number)

    return lend


async def test_buffered_statements_join_the_commit(on_database: MakeHarness, database: Database) -> None:
    async with on_database(writer(database)) as bus:
        await bus.bus.publish_many([Noted(key="A", number=n) for n in range(50)])
        await bus.idle()

    assert database.rows() == [("A", n) for n in range(50)]


async def test_of_a_failed_run_no_statement_remains(on_database: MakeHarness, database: Database) -> None:
    @handler("writer", retry=ONCE)
    def fail(message: Noted, ctx: Context) -> None:
        ctx.execute(database.sql(INSERT), ("A", 1))
        raise ValueError

    async with on_database(fail) as bus:
        await bus.publish(Noted(key="A"))

    assert database.rows() == []


async def test_a_statement_that_fails_in_the_commit_costs_its_message_only(
    on_database: MakeHarness, database: Database
) -> None:
    async with on_database(writer(database)) as bus:
        await bus.bus.publish_many([Noted(key=f"K{n}", number=n) for n in (1, -2, 3)])
        await bus.idle()

        (letter,) = await bus.dead_letters()
        assert letter.envelope.body == b'{"key":"K-2","number":-2,"text":""}'
        assert "check" in (letter.error_text or "").lower() or "constraint" in (letter.error_text or "").lower()
        assert sorted(ended.key for ended in bus.published.of(Ended)) == ["K1", "K3"]  # keys have no order among them
    assert database.rows() == [("K1", 1), ("K3", 3)]


async def test_a_failing_statement_counts_as_an_attempt(on_database: MakeHarness, database: Database) -> None:
    @handler("writer", retry=RetryPolicy(attempts=3))
    def insist(message: Noted, ctx: Context) -> None:
        ctx.execute(database.sql(INSERT), ("A", -1 if ctx.attempt < 3 else 1))

    async with on_database(insist) as bus:
        await bus.publish(Noted(key="A"))
        await bus.advance(timedelta(minutes=1))

    assert database.rows() == [("A", 1)]


REFUSED = [
    "COMMIT",
    "rollback",
    "  /* x */ BEGIN",
    "SAVEPOINT s",
    "CREATE TABLE x (y)",
    "DROP TABLE ledger",
    "the session",
    "the bus's own",
]


@pytest.mark.parametrize("sql", REFUSED)
@pytest.mark.parametrize("lent", [False, True])
async def test_what_belongs_to_the_bus_is_refused_at_the_call(
    on_database: MakeHarness, database: Database, sql: str, lent: bool
) -> None:
    session = "SET search_path = x" if database.is_server else "PRAGMA synchronous = OFF"
    sql = {"the session": session, "the bus's own": f"DELETE FROM {database.own('envelope')}"}.get(sql, sql)
    caught: list[type[BaseException]] = []

    async def attempt(call: Any) -> None:
        try:
            found = call(sql)
            if isawaitable(found):
                await found
        except Exception as error:  # noqa: BLE001  # looked at below
            caught.append(type(error))

    @handler("writer")
    async def buffered(message: Noted, ctx: Context) -> None:
        await attempt(ctx.execute)
        ctx.execute(database.sql(INSERT), ("A", 1))

    @handler("writer")
    async def direct(message: Noted, connection: AsyncConnection) -> None:
        await attempt(connection.execute)
        await database.execute(connection, INSERT, ("A", 1))

    async with on_database(direct if lent else buffered) as bus:
        await bus.publish(Noted(key="A"))

    assert caught == [StatementRefused]
    assert database.rows() == [("A", 1)]


@pytest.mark.parametrize("sql", ["INSERT INTO nowhere VALUES (1)", "INSRT", "DELETE FROM ledger; COMMIT"])
async def test_a_statement_that_cannot_be_prepared_costs_its_message(
    on_database: MakeHarness, database: Database, sql: str
) -> None:
    """On a file it fails on its line, on a server perhaps in the commit only."""

    @handler("writer", retry=ONCE)
    def wrong(message: Noted, ctx: Context) -> None:
        ctx.execute(database.sql(INSERT), (message.key, message.number))
        if message.number == 1:
            ctx.execute(database.sql(sql))

    async with on_database(wrong) as bus:
        await bus.bus.publish_many([Noted(key="A", number=n) for n in range(3)])
        await bus.idle()

        assert len(await bus.dead_letters()) == 1
    assert database.rows() == [("A", 0), ("A", 2)]


@pytest.mark.parametrize("sql", ["INSERT INTO nowhere VALUES (1)", "INSRT", "DELETE FROM ledger; COMMIT"])
async def test_on_a_file_it_fails_on_its_line(on_file: MakeHarness, file: Path, sql: str) -> None:
    table(file)
    lines: list[str] = []

    @handler("writer", retry=ONCE)
    def wrong(message: Noted, ctx: Context) -> None:
        lines.append("before")
        ctx.execute(sql)
        lines.append("after")

    async with on_file(wrong) as bus:
        await bus.publish(Noted(key="A"))

        assert lines == ["before"]
        assert len(await bus.dead_letters()) == 1


async def test_the_open_transaction_reads_its_own_writes(on_database: MakeHarness, database: Database) -> None:
    async with on_database(lender(database)) as bus:
        for number in range(5):
            await bus.publish(Noted(key="A", number=number))

        assert [ended.number for ended in bus.published.of(Ended)] == [1, 2, 3, 4, 5]
    assert database.rows() == [("A", n) for n in range(5)]


async def test_the_open_transaction_rolls_back_with_its_message(on_database: MakeHarness, database: Database) -> None:
    async with on_database(lender(database)) as bus:
        await bus.bus.publish_many([Noted(key=f"K{n}", number=n) for n in (1, 13, 2)])
        await bus.idle()

        assert len(await bus.dead_letters()) == 1
        assert len(bus.published) == 2
    assert database.rows() == [("K1", 1), ("K2", 2)]


@pytest.mark.parametrize("breaking", [INSERT, "INSERT INTO nowhere VALUES (?, ?)"])
async def test_an_error_that_the_handler_hides_leaves_all_or_nothing(
    on_database: MakeHarness, database: Database, breaking: str
) -> None:
    """A file undoes the one statement. A server may have undone all: then nothing of the run may commit."""

    @handler("careful", retry=ONCE)
    async def careful(message: Noted, connection: AsyncConnection) -> None:
        await database.execute(connection, INSERT, ("before", 1))
        with pytest.raises(Exception, match=r"(?i)check|constraint|nowhere"):
            await database.execute(connection, breaking, ("A", -1))
        with suppress(Exception):
            await database.execute(connection, INSERT, ("after", 1))

    async with on_database(careful) as bus:
        await bus.publish(Noted(key="A"))

        assert len(await bus.dead_letters()) == int(database.is_server)
    assert database.rows() == ([] if database.is_server else [("after", 1), ("before", 1)])


async def test_a_saga_method_may_ask_for_it_too(on_database: MakeHarness, database: Database) -> None:
    class Account(Saga, name="account", key="key"):
        key: str
        balance: int = 0

        @starts
        async def noted(self, message: Noted, ctx: Context, connection: AsyncConnection) -> None:
            await database.execute(connection, INSERT, (self.key, message.number))
            sum_up = "SELECT sum(amount) FROM ledger WHERE id = ?"
            ((balance,),) = await database.execute(connection, sum_up, (self.key,))
            self.balance = int(balance)

    async with on_database(Account) as bus:
        await bus.bus.publish_many([Noted(key=key, number=n) for n in range(1, 6) for key in ("A", "B")])
        await bus.idle()

        assert await bus.saga(Account, "A") == Account(key="A", balance=15)
        assert await bus.saga(Account, "B") == Account(key="B", balance=15)


async def test_kept_after_the_handler_the_handle_is_dead(on_database: MakeHarness, database: Database) -> None:
    kept: list[AsyncConnection] = []

    @handler("keeper")
    async def keep(message: Noted, connection: AsyncConnection) -> None:
        kept.append(connection)

    async with on_database(keep) as bus:
        await bus.publish(Noted(key="A"))

        with pytest.raises(Exception, match="ended"):
            await database.execute(kept[0], INSERT, ("late", 1))


async def test_the_effect_is_once_though_the_worker_dies_in_the_transaction(
    on_database: MakeHarness, database: Database
) -> None:
    lend = lender(database)
    async with on_database(lend) as bus:
        await bus.bus.publish_many([Noted(key="A", number=n) for n in range(5)])
        await bus.crash()
    async with on_database(lend) as bus:
        await bus.advance(timedelta(minutes=1))

    assert database.rows() == [("A", n) for n in range(5)]


async def test_in_memory_both_are_refused() -> None:
    caught: list[BaseException] = []

    @handler("writer", retry=ONCE)
    def attempt(message: Noted, ctx: Context) -> None:
        try:
            ctx.execute("SELECT 1")
        except UnsupportedCapability as error:
            caught.append(error)

    async with Harness(attempt) as bus:
        await bus.publish(Noted(key="A"))

        assert len(caught) == 1


async def test_readers_outside_see_all_of_a_message_or_nothing(on_database: MakeHarness, database: Database) -> None:
    seen: list[int] = []

    @handler("pair")
    def pair(message: Noted, ctx: Context) -> None:
        seen.append(len(database.rows()))
        ctx.execute(database.sql(INSERT), ("debit", 1))
        ctx.execute(database.sql(INSERT), ("credit", 1))

    async with on_database(pair) as bus:
        for number in range(5):
            await bus.publish(Noted(key="A", number=number))

    assert seen == [0, 2, 4, 6, 8]


async def test_the_first_of_two_statements_has_not_happened_when_the_second_is_refused(
    on_database: MakeHarness, database: Database
) -> None:
    @handler("clever")
    async def clever(message: Noted, connection: AsyncConnection) -> None:
        with suppress(StatementRefused):
            await database.execute(connection, "INSERT INTO ledger VALUES ('torn', 1); COMMIT")

    async with on_database(clever) as bus:
        await bus.publish(Noted(key="A"))

    assert database.rows() == []


async def test_another_bus_that_is_down_is_a_dependency_and_reported_as_such(
    on_database: MakeHarness, database: Database
) -> None:
    other = Bus("memory:")  # is not open

    @handler("bridge", retry=RetryPolicy(attempts=1, transient_for=timedelta(minutes=1)))
    async def bridge(message: Noted, connection: AsyncConnection) -> None:
        await database.execute(connection, INSERT, (message.key, 1))
        await other.publish(message)

    async with on_database(bridge) as bus:
        await bus.publish(Noted(key="A"))
        await bus.advance(timedelta(minutes=5))
        (letter,) = await bus.dead_letters()

    assert letter.error_type == "sagabus.errors.StoreUnavailable"
    assert database.rows() == []
