"""A handler is given the open transaction as the type it names: it reads its writes, and the commit stays the bus's."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import asyncpg
import psycopg
import pytest
import sqlalchemy.ext.asyncio as sa
from sqlalchemy import JSON, Integer, String, func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Ended, Noted
from tests.support.databases import Database
from tests.support.waiting import until

from sagabus import (
    AsyncConnection,
    Bus,
    ConfigurationError,
    Connection,
    Context,
    Linear,
    RetryPolicy,
    Saga,
    Settings,
    StatementRefused,
    StoreUnavailable,
    handler,
    starts,
    timer,
)

Take = Callable[[str], Database]
ONCE = RetryPolicy(attempts=1)
TWICE = RetryPolicy(attempts=2, backoff=Linear(timedelta(milliseconds=1)), jitter=False)
INSERT = "INSERT INTO ledger VALUES ($1, $2)"


class Base(DeclarativeBase):
    pass


class Entry(Base):
    __tablename__ = "ledger"

    id: Mapped[str] = mapped_column(String, primary_key=True)
    amount: Mapped[int] = mapped_column(Integer)


class Document(Base):
    __tablename__ = "document"

    id: Mapped[str] = mapped_column(String, primary_key=True)
    content: Mapped[Any] = mapped_column(JSON)


@pytest.fixture
def postgres(take: Take) -> Any:
    database = take("postgres")
    database.make("CREATE TABLE ledger (id TEXT PRIMARY KEY, amount INTEGER CHECK (amount >= 0))")
    return database


async def letters(bus: Bus) -> list[str]:
    return sorted(str(letter.error_type) for letter in await bus.dead_letters.list())


async def run(database: Database, definition: object, *numbers: int) -> list[str]:
    """Handle a message for each number; the errors of those that were dead-lettered."""
    bus = Bus(database.url, definition, settings=Settings(grace=timedelta(seconds=1)))
    async with bus:
        await bus.publish_many([Noted(key=f"K{number}", number=number) for number in numbers])
        await bus.idle(20)
        return await letters(bus)


# --- what each is for -------------------------------------------------------------------------------------------------


@handler("awaiting", retry=ONCE)
async def by_async_connection(message: Noted, ctx: Context, connection: AsyncConnection) -> None:
    await connection.execute(INSERT, (message.key, message.number))
    ((count,),) = await connection.execute("SELECT count(*) FROM ledger")
    ctx.publish(Ended(key=message.key, number=count))
    if message.number == 13:
        raise ValueError(message.number)


@handler("driver", retry=ONCE)
async def by_asyncpg(message: Noted, ctx: Context, db: asyncpg.Connection) -> None:
    await db.execute(INSERT, message.key, message.number)
    assert await db.fetchval("SELECT amount FROM ledger WHERE id = $1", message.key) == message.number
    if message.number == 13:
        raise ValueError(message.number)


@handler("session", retry=ONCE)
async def by_session(message: Noted, session: sa.AsyncSession) -> None:
    session.add(Entry(id=message.key, amount=message.number))
    if message.number == 13:
        raise ValueError(message.number)


@handler("flushed", retry=ONCE)
async def by_flushed_session(message: Noted, session: sa.AsyncSession) -> None:
    session.add(Entry(id=message.key, amount=message.number))
    assert (await session.scalars(select(Entry.amount).where(Entry.id == message.key))).one() == message.number
    if message.number == 13:
        raise ValueError(message.number)


@handler("core", retry=ONCE)
async def by_core(message: Noted, connection: sa.AsyncConnection) -> None:
    await connection.execute(Entry.__table__.insert().values(id=message.key, amount=message.number))
    assert (await connection.execute(select(func.count()).select_from(Entry))).scalar_one() > 0
    if message.number == 13:
        raise ValueError(message.number)


ALL = [by_async_connection, by_asyncpg, by_session, by_flushed_session, by_core]
every_kind = pytest.mark.parametrize("definition", ALL, ids=lambda function: function.__name__)


@every_kind
async def test_its_rows_share_the_commit_of_the_message(postgres: Any, definition: Any) -> None:
    failed = await run(postgres, definition, 1, 2, 13, 3)

    assert failed == ["ValueError"]
    assert postgres.rows() == [("K1", 1), ("K2", 2), ("K3", 3)]


@every_kind
async def test_a_broken_constraint_is_the_handlers_failure(postgres: Any, definition: Any) -> None:
    failed = await run(postgres, definition, 1, -2, 3)

    assert len(failed) == 1
    assert postgres.rows() == [("K1", 1), ("K3", 3)]


async def test_a_saga_and_its_timer_may_ask_too(postgres: Any) -> None:
    class Account(Saga, name="account", key="key"):
        key: str
        balance: int = 0

        @starts
        async def noted(self, message: Noted, ctx: Context, session: sa.AsyncSession) -> None:
            session.add(Entry(id=f"{self.key}-{message.number}", amount=message.number))
            self.balance = (await session.scalars(select(func.sum(Entry.amount)))).one()
            ctx.set_timer("end", after=timedelta(milliseconds=1))

        @timer("end")
        async def end(self, ctx: Context, db: asyncpg.Connection) -> None:
            await db.execute(INSERT, f"{self.key}-end", self.balance)

    async with Bus(postgres.url, Account) as bus:
        await bus.publish_many([Noted(key="A", number=number) for number in (1, 2)])
        await until(lambda: ("A-end", 3) in postgres.rows())

    assert postgres.rows() == [("A-1", 1), ("A-2", 2), ("A-end", 3)]


async def test_what_is_read_as_json_is_what_each_library_makes_of_it(postgres: Any) -> None:
    seen: list[object] = []
    postgres.make("CREATE TABLE document (id TEXT PRIMARY KEY, content JSONB, parts JSON[])")

    @handler("session", retry=ONCE)
    async def store(message: Noted, session: sa.AsyncSession) -> None:
        session.add(Document(id=message.key, content={"a": [1]}))
        await session.flush()
        session.expire_all()
        seen.append((await session.get_one(Document, message.key)).content)
        raw = text("SELECT content, ARRAY['1'::json, NULL] FROM document WHERE id = :id")
        seen.append(tuple((await session.execute(raw, {"id": message.key})).one()))
        seen.extend([row[0] async for row in await session.stream(raw, {"id": message.key})])

    @handler("driver", retry=ONCE)
    async def look(message: Ended, db: asyncpg.Connection) -> None:
        seen.append(await db.fetchval("SELECT content FROM document"))

    url = postgres.url + "&pool=2"
    async with Bus(url, store, look) as bus:
        await bus.publish(Noted(key="A"))
        await bus.idle(10)
        await bus.publish(Ended(key="A"))
        await bus.idle(10)

        assert await letters(bus) == []
    assert seen == [{"a": [1]}, ({"a": [1]}, [1, None]), {"a": [1]}, '{"a": [1]}']


# --- who tries to end the transaction (F04, F07) ----------------------------------------------------------------------


Vandal = Callable[[Any], Awaitable[object]]


async def committing_session(session: sa.AsyncSession) -> None:
    session.add(Entry(id="first", amount=1))
    await session.commit()
    session.add(Entry(id="second", amount=2))


async def rolling_back(session: sa.AsyncSession) -> None:
    session.add(Entry(id="lost", amount=1))
    await session.flush()
    await session.rollback()
    session.add(Entry(id="kept", amount=1))


async def nesting(session: sa.AsyncSession) -> None:
    session.add(Entry(id="outer", amount=1))
    with suppress(SQLAlchemyError):
        async with session.begin_nested():
            session.add(Entry(id="inner", amount=-1))


async def committing_core(connection: sa.AsyncConnection) -> None:
    await connection.execute(text("INSERT INTO ledger VALUES ('core', 1)"))
    await connection.commit()


async def nesting_in_the_driver(db: asyncpg.Connection) -> None:
    async with db.transaction():
        await db.execute(INSERT, "outer", 1)
        with suppress(asyncpg.PostgresError):
            async with db.transaction():
                await db.execute(INSERT, "inner", -1)


@pytest.mark.parametrize(
    ("vandal", "rows"),
    [
        (committing_session, ["first", "second"]),
        (rolling_back, ["kept"]),
        (nesting, ["outer"]),
        (committing_core, ["core"]),
        (nesting_in_the_driver, ["outer"]),
    ],
)
@pytest.mark.parametrize("fails", [False, True])
async def test_a_commit_of_its_own_is_a_savepoint(postgres: Any, vandal: Vandal, rows: list[str], fails: bool) -> None:
    (kind,) = [hint for name, hint in vandal.__annotations__.items() if name != "return"]

    @handler("vandal", retry=ONCE)
    async def vandalise(message: Noted, connection: kind) -> None:  # type: ignore[valid-type]
        await vandal(connection)
        if fails:
            raise ValueError

    failed = await run(postgres, vandalise, 1)

    assert failed == (["ValueError"] if fails else [])
    assert [name for name, _ in postgres.rows()] == ([] if fails else rows)


REFUSED = ["COMMIT", "ROLLBACK", "BEGIN", "/* x */ COMMIT", "CREATE TABLE x (y INT)", "SELECT 1; COMMIT", "END"]
BY_DRIVER: list[Callable[[Any], Any]] = [
    lambda db: db.close(),
    lambda db: db.terminate(),
    lambda db: db.reset(),
    lambda db: db.set_type_codec("json", encoder=str, decoder=str),
    lambda db: db.add_listener("x", print),
    lambda db: db.copy_to_table("sagabus_inbox", output=print),
    lambda db: db.transaction(isolation="serializable"),
    *(lambda db, sql=sql: db.execute(sql) for sql in REFUSED),
    *(lambda db, sql=sql: db.fetch(sql) for sql in REFUSED),
    *(lambda db, sql=sql: db.prepare(sql) for sql in REFUSED),
]


async def test_the_driver_refuses_what_is_the_bus_own(postgres: Any) -> None:
    refused: list[type[BaseException]] = []

    @handler("vandal", retry=ONCE)
    async def vandalise(message: Noted, db: asyncpg.Connection) -> None:
        await db.execute(INSERT, "A", 1)
        for attempt in BY_DRIVER:
            try:
                await attempt(db)
            except Exception as error:  # noqa: BLE001  # looked at below
                refused.append(type(error))

    failed = await run(postgres, vandalise, 1)

    assert (failed, postgres.rows()) == ([], [("A", 1)])
    assert refused == [StatementRefused] * len(BY_DRIVER)


@pytest.mark.parametrize("sql", [*REFUSED, "DELETE FROM sagabus_envelope"])
async def test_the_session_refuses_what_is_the_bus_own(postgres: Any, sql: str) -> None:
    @handler("vandal", retry=ONCE)
    async def vandalise(message: Noted, session: sa.AsyncSession) -> None:
        session.add(Entry(id="A", amount=1))
        await session.execute(text(sql))

    assert await run(postgres, vandalise, 1) == ["sagabus.errors.StatementRefused"]
    assert postgres.rows() == []


@pytest.mark.parametrize("by", ["driver", "session", "core"])
async def test_an_error_swallowed_is_no_commit(postgres: Any, by: str) -> None:
    """F04: PostgreSQL answers ROLLBACK to the COMMIT of a transaction in which a statement has failed."""

    @handler("driver", retry=TWICE)
    async def driver(message: Noted, ctx: Context, db: asyncpg.Connection) -> None:
        await db.execute(INSERT, "A", 1)
        with suppress(asyncpg.PostgresError):
            await db.execute(INSERT, "A", 1)
        ctx.publish(Ended(key="A"))

    @handler("session", retry=TWICE)
    async def session(message: Noted, ctx: Context, session: sa.AsyncSession) -> None:
        await session.execute(text("INSERT INTO ledger VALUES ('A', 1)"))
        with suppress(SQLAlchemyError):
            await session.execute(text("INSERT INTO ledger VALUES ('A', 1)"))
        ctx.publish(Ended(key="A"))

    @handler("core", retry=TWICE)
    async def core(message: Noted, ctx: Context, connection: sa.AsyncConnection) -> None:
        await connection.execute(text("INSERT INTO ledger VALUES ('A', 1)"))
        with suppress(SQLAlchemyError):
            await connection.execute(text("INSERT INTO ledger VALUES ('A', 1)"))
        ctx.publish(Ended(key="A"))

    (failed,) = await run(postgres, {"driver": driver, "session": session, "core": core}[by], 1)

    assert failed is not None
    assert postgres.rows() == []


async def test_ending_the_transaction_by_the_back_door_is_found_out(postgres: Any) -> None:
    """F07: whatever way a handler finds round the guard, nothing of its message commits."""
    runs = 0

    @handler("burglar", retry=TWICE)
    async def burgle(message: Noted, ctx: Context, db: asyncpg.Connection) -> None:
        nonlocal runs
        runs += 1
        native: Any = vars(db)["_native"]
        await native.execute("COMMIT")
        await native.execute("BEGIN")
        await db.execute(INSERT, f"run {runs}", 1)
        ctx.publish(Ended(key="A"))

    failed = await run(postgres, burgle, 1)

    assert (failed, runs) == (["sagabus.errors.TransactionLost"], 2)
    assert postgres.rows() == []


@every_kind
async def test_kept_after_its_handler_the_handle_is_dead(postgres: Any, definition: Any) -> None:
    kind = next(hint for hint in definition.__annotations__.values() if hint not in (Noted, Context, None))
    kept: list[Any] = []

    @handler("keeper", retry=ONCE)
    async def keep(message: Noted, connection: kind) -> None:  # type: ignore[valid-type]
        kept.append(connection)

    @handler("other")
    async def later(message: Ended, session: sa.AsyncSession) -> None:
        late: Any = "INSERT INTO ledger VALUES ('late', 1)"
        with pytest.raises(Exception, match=r"ended|closed|inactive"):
            await kept[0].execute(text(late) if isinstance(kept[0], sa.AsyncSession | sa.AsyncConnection) else late)
        kept.append("tried")

    async with Bus(postgres.url + "&pool=2", keep, later) as bus:
        await bus.publish(Noted(key="A"))
        await bus.idle(10)
        await bus.publish(Ended(key="A"))
        await bus.idle(10)

    assert kept[1:] == ["tried"]
    assert postgres.rows() == []


async def test_a_lost_connection_is_no_attempt(postgres: Any) -> None:
    runs = 0

    @handler("driver", retry=ONCE)
    async def driver(message: Noted, db: asyncpg.Connection) -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            postgres.run(f"SELECT pg_terminate_backend({db.get_server_pid()})")
        await db.execute(INSERT, message.key, runs)

    async with Bus(postgres.url, driver) as bus:
        await bus.publish(Noted(key="A"))
        await until(postgres.rows)

        assert await letters(bus) == []
    assert postgres.rows() == [("A", 2)]


async def test_an_error_of_its_own_is_an_attempt_whatever_its_class(postgres: Any) -> None:
    @handler("driver", retry=ONCE)
    async def driver(message: Noted, db: asyncpg.Connection) -> None:
        if message.number == 1:
            raise FileNotFoundError("somebody else's")  # of a class that the driver uses too
        await db.execute(INSERT, message.key, "no number")

    assert await run(postgres, driver, 1, 2) == ["FileNotFoundError", "asyncpg.exceptions.DataError"]


async def test_the_same_driver_under_another_store_is_a_dependency(postgres: Any) -> None:
    @handler("bridge", retry=RetryPolicy(attempts=1, transient_for=timedelta(0)))
    async def bridge(message: Noted, db: asyncpg.Connection) -> None:
        raise StoreUnavailable("another", store="another") from asyncpg.CannotConnectNowError("it begins")

    assert await run(postgres, bridge, 1) == ["sagabus.errors.StoreUnavailable"]


async def test_a_parameter_that_does_not_fit_is_an_attempt(postgres: Any) -> None:
    @handler("awaiting", retry=ONCE)
    async def awaiting(message: Noted, connection: AsyncConnection) -> None:
        await connection.execute(INSERT, (message.key, "no number"))

    assert await run(postgres, awaiting, 1) == ["asyncpg.exceptions.DataError"]


# --- what cannot be lent ----------------------------------------------------------------------------------------------


async def test_what_a_store_cannot_lend_is_refused_when_the_bus_is_built(take: Take, postgres: Any) -> None:
    @handler("one")
    def one(message: Noted, session: Session) -> None: ...

    @handler("two")
    def two(message: Noted, db: psycopg.Connection[Any]) -> None: ...

    @handler("three")
    def three(message: Noted, connection: Connection) -> None: ...

    @handler("four")
    async def four(message: Noted, connection: sa.AsyncConnection) -> None: ...

    refused: list[list[str]] = []
    for url in (take("sqlite").url, postgres.url, "memory:"):
        with pytest.raises(ConfigurationError) as caught:
            Bus(url, one, two, three, four)
        refused.append(list(caught.value.problems))

    sqlite, server, memory = refused
    assert [line.split("'")[1] for line in sqlite] == ["one", "two", "four"]
    assert [line.split("'")[1] for line in server] == ["one", "two", "three"]
    assert [line.split("'")[1] for line in memory] == ["one", "two", "three", "four"]
    assert all("sagabus.AsyncConnection" in line for line in [*sqlite, *server])


def test_what_cannot_be_awaited_or_is_asked_twice_is_refused() -> None:
    @handler("plain")
    def plain(message: Noted, connection: AsyncConnection) -> None: ...

    @handler("greedy")
    async def greedy(message: Noted, connection: AsyncConnection, session: sa.AsyncSession) -> None: ...

    with pytest.raises(ConfigurationError) as caught:
        Bus("memory:", plain, greedy)

    awaited, twice = caught.value.problems
    assert "async def" in awaited
    assert "more than once" in twice


async def test_one_handler_runs_on_every_database(on_database: MakeHarness, database: Database) -> None:
    @handler("awaiting", key="key", retry=ONCE)
    async def awaiting(message: Noted, ctx: Context, connection: AsyncConnection) -> None:
        await connection.execute(database.sql("INSERT INTO ledger VALUES (?, ?)"), (message.key, message.number))
        ((count,),) = await connection.execute(database.sql("SELECT count(*) FROM ledger"))
        ctx.publish(Ended(key=message.key, number=count))

    async with on_database(awaiting) as bus:
        await bus.bus.publish_many([Noted(key="A", number=number) for number in range(3)])
        await bus.idle()

        assert [ended.number for ended in bus.published.of(Ended)] == [1, 2, 3]
    assert database.rows() == [("A", 0), ("A", 1), ("A", 2)]
