"""On MySQL and MariaDB as on PostgreSQL: the open transaction as the type a handler names, its commit the bus's."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import asyncmy
import pytest
import sqlalchemy.ext.asyncio as sa
from asyncmy.cursors import DictCursor
from sqlalchemy import Integer, String, func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, mapped_column
from tests.scenarios.shop import Ended, Noted
from tests.support.databases import Database

from sagabus import Bus, Context, Linear, RetryPolicy, Settings, StatementRefused, handler

TWICE = RetryPolicy(attempts=2, backoff=Linear(timedelta(milliseconds=1)), jitter=False)
ONCE = RetryPolicy(attempts=1)


class Shop:
    """A ledger of the user's, and a class mapped to it."""

    def __init__(self, database: Any) -> None:
        self.database = database
        database.make("CREATE TABLE ledger (id VARCHAR(100) PRIMARY KEY, amount INTEGER CHECK (amount >= 0))")
        self.insert = database.sql("INSERT INTO ledger VALUES (?, ?)")

        class Base(DeclarativeBase):
            pass

        class Entry(Base):
            __tablename__ = f"users_{database.name}_ledger"
            id = mapped_column(String(100), primary_key=True)
            amount = mapped_column(Integer)

        self.entry: Any = Entry

    async def run(self, definition: object, *numbers: int) -> list[str]:
        """Handle a message for each number; the errors of those that were dead-lettered."""
        async with Bus(self.database.url, definition, settings=Settings(grace=timedelta(seconds=1))) as bus:
            await bus.publish_many([Noted(key=f"K{number}", number=number) for number in numbers])
            await bus.idle(20)
            return sorted(str(letter.error_type) for letter in await bus.dead_letters.list())

    def rows(self) -> list[tuple[Any, ...]]:
        return self.database.rows()


@pytest.fixture
def shop(take: Callable[[str], Database]) -> Shop:
    return Shop(take("mysql"))


def by_asyncmy(shop: Shop) -> Any:
    @handler("driver", retry=ONCE)
    async def driver(message: Noted, db: asyncmy.Connection) -> None:
        async with db.cursor(DictCursor) as cursor:
            await cursor.execute(shop.insert, (message.key, message.number))
            await cursor.execute(shop.database.sql("SELECT amount FROM ledger WHERE id = ?"), (message.key,))
            assert await cursor.fetchone() == {"amount": message.number}
        if message.number == 13:
            raise ValueError(message.number)

    return driver


def by_session(shop: Shop) -> Any:
    @handler("session", retry=ONCE)
    async def session(message: Noted, session: sa.AsyncSession) -> None:
        session.add(shop.entry(id=message.key, amount=message.number))
        if message.number == 13:
            raise ValueError(message.number)

    return session


def by_core(shop: Shop) -> Any:
    @handler("core", retry=ONCE)
    async def core(message: Noted, connection: sa.AsyncConnection) -> None:
        await connection.execute(shop.entry.__table__.insert().values(id=message.key, amount=message.number))
        assert (await connection.execute(select(func.count()).select_from(shop.entry))).scalar_one() > 0
        if message.number == 13:
            raise ValueError(message.number)

    return core


every_kind = pytest.mark.parametrize("kind", [by_asyncmy, by_session, by_core])


@every_kind
async def test_its_rows_share_the_commit_of_the_message(shop: Shop, kind: Callable[[Shop], Any]) -> None:
    assert await shop.run(kind(shop), 1, 2, 13, 3) == ["ValueError"]
    assert shop.rows() == [("K1", 1), ("K2", 2), ("K3", 3)]


@every_kind
async def test_a_broken_constraint_is_the_handlers_failure(shop: Shop, kind: Callable[[Shop], Any]) -> None:
    assert len(await shop.run(kind(shop), 1, -2, 3)) == 1
    assert shop.rows() == [("K1", 1), ("K3", 3)]


@pytest.mark.parametrize("fails", [False, True])
async def test_a_commit_of_the_sessions_own_is_a_savepoint(shop: Shop, fails: bool) -> None:
    @handler("session", retry=ONCE)
    async def session(message: Noted, session: sa.AsyncSession) -> None:
        session.add(shop.entry(id="committed", amount=1))
        await session.commit()
        session.add(shop.entry(id="rolled back", amount=1))
        await session.flush()
        await session.rollback()
        with suppress(SQLAlchemyError):
            async with session.begin_nested():
                session.add(shop.entry(id="refused", amount=-1))
        session.add(shop.entry(id="added", amount=1))
        if fails:
            raise ValueError

    assert await shop.run(session, 1) == (["ValueError"] if fails else [])
    assert [name for name, _ in shop.rows()] == ([] if fails else ["added", "committed"])


REFUSED = [
    "COMMIT",
    "ROLLBACK",
    "BEGIN",
    "START TRANSACTION",
    "CREATE TABLE x (y INT)",
    "SELECT 1; COMMIT",
    "XA END 'x'",
]


async def test_the_driver_refuses_what_is_the_bus_own(shop: Shop) -> None:
    async def execute(db: Any, sql: str) -> None:
        await db.cursor().execute(sql)

    attempts: list[Callable[[Any], Awaitable[object]]] = [
        lambda db: db.commit(),
        lambda db: db.rollback(),
        lambda db: db.begin(),
        lambda db: db.autocommit(True),
        lambda db: db.ensure_closed(),
        lambda db: db.query("COMMIT"),
        lambda db: db.cursor().callproc("anything"),
        *(lambda db, sql=sql: execute(db, sql) for sql in REFUSED),  # type: ignore[misc]
        *(lambda db, sql=sql: db.prepare(sql) for sql in REFUSED),  # type: ignore[misc]
    ]
    refused: list[type[BaseException]] = []

    @handler("vandal", retry=ONCE)
    async def vandalise(message: Noted, db: asyncmy.Connection) -> None:
        await db.cursor().execute(shop.insert, ("A", 1))
        for attempt in attempts:
            try:
                await attempt(db)
            except Exception as error:  # noqa: BLE001  # looked at below
                refused.append(type(error))

    assert await shop.run(vandalise, 1) == []
    assert shop.rows() == [("A", 1)]
    assert refused == [StatementRefused] * len(attempts)


@pytest.mark.parametrize("sql", [*REFUSED, "ROLLBACK TO SAVEPOINT s; COMMIT"])
async def test_the_session_refuses_what_is_the_bus_own(shop: Shop, sql: str) -> None:
    @handler("vandal", retry=ONCE)
    async def vandalise(message: Noted, session: sa.AsyncSession) -> None:
        session.add(shop.entry(id="A", amount=1))
        await session.execute(text(sql))

    assert await shop.run(vandalise, 1) == ["sagabus.errors.StatementRefused"]
    assert shop.rows() == []


async def test_an_implicit_commit_by_the_back_door_is_found_out(shop: Shop) -> None:
    """F07: a change of the schema commits. What was done before is beyond help; nothing of the message commits."""
    runs = 0

    @handler("burglar", retry=TWICE)
    async def burgle(message: Noted, ctx: Context, db: asyncmy.Connection) -> None:
        nonlocal runs
        runs += 1
        native: Any = vars(db)["_native"]
        await native.cursor().execute(f"CREATE TABLE IF NOT EXISTS users_{shop.database.name}_other (id INT)")
        await native.begin()
        await db.cursor().execute(shop.insert, (f"run {runs}", 1))
        ctx.publish(Ended(key="A"))

    failed = await shop.run(burgle, 1)
    shop.database.run(f"DROP TABLE users_{shop.database.name}_other")

    assert (failed, runs) == (["sagabus.errors.TransactionLost"], 2)
    assert shop.rows() == []


@every_kind
async def test_kept_after_its_handler_the_handle_is_dead(shop: Shop, kind: Callable[[Shop], Any]) -> None:
    asked = next(hint for hint in kind(shop).__annotations__.values() if hint not in (Noted, None))
    kept: list[Any] = []

    @handler("keeper", retry=ONCE)
    async def keep(message: Noted, connection: asked) -> None:  # type: ignore[valid-type]
        kept.append(connection)

    @handler("other")
    async def later(message: Ended, session: sa.AsyncSession) -> None:
        with pytest.raises(Exception, match=r"ended|closed|inactive"):
            await (
                kept[0].execute(text("SELECT 1")) if kind is not by_asyncmy else kept[0].cursor().execute("SELECT 1")
            )
        kept.append("tried")

    async with Bus(shop.database.url + "&pool=2", keep, later) as bus:
        await bus.publish(Noted(key="A"))
        await bus.idle(10)
        await bus.publish(Ended(key="A"))
        await bus.idle(10)

    assert kept[1:] == ["tried"]
