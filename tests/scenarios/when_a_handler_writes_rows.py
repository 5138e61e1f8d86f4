"""The user's own rows in the commit of the message: buffered statements, and the open transaction."""

import sqlite3
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.conftest import MakeHarness, rows, table
from tests.scenarios.shop import Ended, Noted

from sagabus import Connection, Context, RetryPolicy, Saga, StatementRefused, UnsupportedCapability, handler, starts
from sagabus.testing import Harness

INSERT = "INSERT INTO ledger VALUES (?, ?)"
ONCE = RetryPolicy(attempts=1)


@handler("writer", retry=ONCE)
def write(message: Noted, ctx: Context) -> None:
    ctx.execute(INSERT, (message.key, message.number))
    ctx.publish(Ended(key=message.key))


@handler("lender", retry=ONCE)
async def lend(message: Noted, ctx: Context, connection: Connection) -> None:
    connection.execute(INSERT, (message.key, message.number))
    ((count,),) = connection.execute("SELECT count(*) FROM ledger")
    ctx.publish(Ended(key=message.key, number=count))
    if message.number == 13:
        raise ValueError(message.number)


@pytest.fixture(autouse=True)
def ledger(file: Path) -> None:
    table(file)


async def test_buffered_statements_join_the_commit(on_file: MakeHarness, file: Path) -> None:
    async with on_file(write) as bus:
        await bus.bus.publish_many([Noted(key="A", number=n) for n in range(50)])
        await bus.idle()

    assert rows(file) == [("A", n) for n in range(50)]


async def test_of_a_failed_run_no_statement_remains(on_file: MakeHarness, file: Path) -> None:
    @handler("writer", retry=ONCE)
    def fail(message: Noted, ctx: Context) -> None:
        ctx.execute(INSERT, ("A", 1))
        raise ValueError

    async with on_file(fail) as bus:
        await bus.publish(Noted(key="A"))

    assert rows(file) == []


async def test_a_statement_that_fails_in_the_commit_costs_its_message_only(on_file: MakeHarness, file: Path) -> None:
    async with on_file(write) as bus:
        await bus.bus.publish_many([Noted(key=f"K{n}", number=n) for n in (1, -2, 3)])
        await bus.idle()

        (letter,) = await bus.dead_letters()
        assert letter.envelope.body == b'{"key":"K-2","number":-2,"text":""}'
        assert "CHECK" in (letter.error_text or "")
        assert [ended.key for ended in bus.published.of(Ended)] == ["K1", "K3"]
    assert rows(file) == [("K1", 1), ("K3", 3)]


async def test_a_failing_statement_counts_as_an_attempt(on_file: MakeHarness, file: Path) -> None:
    @handler("writer", retry=RetryPolicy(attempts=3))
    def insist(message: Noted, ctx: Context) -> None:
        ctx.execute(INSERT, ("A", -1 if ctx.attempt < 3 else 1))

    async with on_file(insist) as bus:
        await bus.publish(Noted(key="A"))
        await bus.advance(timedelta(minutes=1))

    assert rows(file) == [("A", 1)]


REFUSED = [
    "COMMIT",
    "rollback",
    "  /* x */ BEGIN",
    "SAVEPOINT s",
    "CREATE TABLE x (y)",
    "DROP TABLE ledger",
    "PRAGMA synchronous = OFF",
    "ATTACH 'x' AS y",
    "DELETE FROM sagabus_envelope",
]


@pytest.mark.parametrize("sql", REFUSED)
@pytest.mark.parametrize("lent", [False, True])
async def test_what_belongs_to_the_bus_is_refused_at_the_call(
    on_file: MakeHarness, file: Path, sql: str, lent: bool
) -> None:
    caught: list[type[BaseException]] = []

    def attempt(call: Any) -> None:
        try:
            call(sql)
        except Exception as error:  # noqa: BLE001  # looked at below
            caught.append(type(error))

    @handler("writer")
    def buffered(message: Noted, ctx: Context) -> None:
        attempt(ctx.execute)
        ctx.execute(INSERT, ("A", 1))

    @handler("writer")
    def direct(message: Noted, connection: Connection) -> None:
        attempt(connection.execute)
        connection.execute(INSERT, ("A", 1))

    async with on_file(direct if lent else buffered) as bus:
        await bus.publish(Noted(key="A"))

    assert caught == [StatementRefused]
    assert rows(file) == [("A", 1)]


@pytest.mark.parametrize("sql", ["INSERT INTO nowhere VALUES (1)", "INSRT", "DELETE FROM ledger; COMMIT"])
async def test_a_statement_that_cannot_be_prepared_fails_on_its_line(on_file: MakeHarness, sql: str) -> None:
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


async def test_the_open_transaction_reads_its_own_writes(on_file: MakeHarness, file: Path) -> None:
    async with on_file(lend) as bus:
        await bus.bus.publish_many([Noted(key="A", number=n) for n in range(5)])
        await bus.idle()

        assert [ended.number for ended in bus.published.of(Ended)] == [1, 2, 3, 4, 5]
    assert rows(file) == [("A", n) for n in range(5)]


async def test_the_open_transaction_rolls_back_with_its_message(on_file: MakeHarness, file: Path) -> None:
    async with on_file(lend) as bus:
        await bus.bus.publish_many([Noted(key=f"K{n}", number=n) for n in (1, 13, 2)])
        await bus.idle()

        assert len(await bus.dead_letters()) == 1
        assert len(bus.published) == 2
    assert sorted(rows(file)) == [("K1", 1), ("K2", 2)]


async def test_a_broken_constraint_caught_by_the_handler_costs_nothing(on_file: MakeHarness, file: Path) -> None:
    @handler("careful")
    def careful(message: Noted, connection: Connection) -> None:
        connection.execute(INSERT, ("before", 1))
        with pytest.raises(Exception, match="CHECK"):
            connection.execute(INSERT, ("A", -1))
        connection.execute(INSERT, ("after", 1))

    async with on_file(careful) as bus:
        await bus.publish(Noted(key="A"))

    assert rows(file) == [("before", 1), ("after", 1)]


async def test_a_saga_method_may_ask_for_it_too(on_file: MakeHarness, file: Path) -> None:
    class Account(Saga, name="account", key="key"):
        key: str
        balance: int = 0

        @starts
        def noted(self, message: Noted, ctx: Context, connection: Connection) -> None:
            connection.execute(INSERT, (self.key, message.number))
            ((self.balance,),) = connection.execute("SELECT sum(amount) FROM ledger WHERE id = ?", (self.key,))

    async with on_file(Account) as bus:
        await bus.bus.publish_many([Noted(key=key, number=n) for n in range(1, 6) for key in ("A", "B")])
        await bus.idle()

        assert await bus.saga(Account, "A") == Account(key="A", balance=15)
        assert await bus.saga(Account, "B") == Account(key="B", balance=15)


async def test_kept_after_the_handler_the_handle_is_dead(on_file: MakeHarness) -> None:
    kept: list[Connection] = []

    @handler("keeper")
    def keep(message: Noted, connection: Connection) -> None:
        kept.append(connection)

    async with on_file(keep) as bus:
        await bus.publish(Noted(key="A"))

        with pytest.raises(Exception, match="ended"):
            kept[0].execute(INSERT, ("late", 1))


async def test_the_effect_is_once_though_the_worker_dies_in_the_transaction(on_file: MakeHarness, file: Path) -> None:
    async with on_file(lend) as bus:
        await bus.bus.publish_many([Noted(key="A", number=n) for n in range(5)])
        await bus.crash()
    async with Harness(lend, store=file) as bus:
        await bus.advance(timedelta(minutes=1))

    assert rows(file) == [("A", n) for n in range(5)]


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


async def test_readers_outside_see_all_of_a_message_or_nothing(on_file: MakeHarness, file: Path) -> None:
    reader = sqlite3.connect(file)
    seen: list[int] = []

    @handler("pair")
    def pair(message: Noted, ctx: Context) -> None:
        seen.append(reader.execute("SELECT count(*) FROM ledger").fetchone()[0])
        ctx.execute(INSERT, ("debit", 1))
        ctx.execute(INSERT, ("credit", 1))

    async with on_file(pair) as bus:
        for number in range(5):
            await bus.publish(Noted(key="A", number=number))
    reader.close()

    assert seen == [0, 2, 4, 6, 8]


async def test_the_first_of_two_statements_has_not_happened_when_the_second_is_refused(
    on_file: MakeHarness, file: Path
) -> None:
    @handler("clever")
    def clever(message: Noted, connection: Connection) -> None:
        with suppress(StatementRefused):
            connection.execute("INSERT INTO ledger VALUES ('torn', 1); COMMIT")

    async with on_file(clever) as bus:
        await bus.publish(Noted(key="A"))

    assert rows(file) == []
