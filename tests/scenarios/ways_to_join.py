"""Transactions of a user's, opened by each driver and library, with a row in the ledger and a message in each."""

import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncmy
import asyncpg
import psycopg
import pymysql
from sqlalchemy import NullPool, create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from tests.scenarios.shop import Noted
from tests.support.databases import MYSQL, POSTGRES

from sagabus import Bus, Receipt

Way = Callable[[Any, Bus, str, bool], Awaitable[Receipt]]
"""Writes a row and a message of a key, and commits both or rolls them back."""

MARKS = {"sqlite": "?", "postgres": "%s", "mysql": "%s"}


def insert(database: Any, mark: str | None = None) -> str:
    """A row of the user's, on a connection that is not told where the user's tables are."""
    tables = {"sqlite": "ledger", "postgres": "{name}.ledger", "mysql": "users_{name}_ledger"}
    table = tables[database.kind].format(name=getattr(database, "name", ""))
    return f"INSERT INTO {table} VALUES ({mark or MARKS[database.kind]}, 1)"


def mysql_place() -> dict[str, Any]:
    parts = urlsplit(MYSQL)
    return {
        "host": parts.hostname,
        "port": parts.port or 3306,
        "user": parts.username,
        "password": parts.password or "",
        "database": parts.path[1:],
    }


def engine_url(database: Any, **drivers: str) -> str:
    url = {"sqlite": database.url, "mysql": MYSQL, "postgres": POSTGRES}[database.kind]
    scheme, _, rest = url.partition(":")
    return f"{scheme}+{drivers[database.kind]}:{rest}"


@contextmanager
def begun(database: Any) -> Iterator[Any]:
    """A connection of the user's own in an open transaction, which it commits unless the block raises."""
    opened = {
        "sqlite": lambda: sqlite3.connect(database.path, isolation_level=None),
        "postgres": lambda: psycopg.connect(POSTGRES),
        "mysql": lambda: pymysql.connect(**mysql_place()),
    }[database.kind]()
    with closing(opened) as connection:
        connection.cursor().execute(
            {"sqlite": "BEGIN IMMEDIATE", "postgres": "SELECT 1", "mysql": "BEGIN"}[database.kind]
        )
        yield connection
        connection.commit()


async def by_psycopg(database: Any, bus: Bus, key: str, commits: bool) -> Receipt:
    with psycopg.connect(POSTGRES) as connection:
        connection.execute(insert(database), (key,))
        receipt = bus.join(connection).publish(Noted(key=key))
        if not commits:
            connection.rollback()
    return receipt


async def by_psycopg_async(database: Any, bus: Bus, key: str, commits: bool) -> Receipt:
    async with await psycopg.AsyncConnection.connect(POSTGRES) as connection:
        await connection.execute(insert(database), (key,))
        receipt = await bus.join(connection).publish(Noted(key=key))
        if not commits:
            await connection.rollback()
    return receipt


async def by_asyncpg(database: Any, bus: Bus, key: str, commits: bool) -> Receipt:
    connection = await asyncpg.connect(POSTGRES)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(insert(database, "$1"), key)
    receipt: Receipt = await bus.join(connection).publish(Noted(key=key))
    await (transaction.commit if commits else transaction.rollback)()
    await connection.close()
    return receipt


async def by_pymysql(database: Any, bus: Bus, key: str, commits: bool) -> Receipt:
    with closing(pymysql.connect(**mysql_place())) as connection:
        connection.cursor().execute(insert(database), (key,))
        receipt = bus.join(connection).publish(Noted(key=key))
        (connection.commit if commits else connection.rollback)()
    return receipt


async def by_asyncmy(database: Any, bus: Bus, key: str, commits: bool) -> Receipt:
    connection = await asyncmy.connect(**mysql_place())
    await connection.cursor().execute(insert(database), (key,))
    receipt: Receipt = await bus.join(connection).publish(Noted(key=key))
    await (connection.commit if commits else connection.rollback)()
    await connection.ensure_closed()
    return receipt


async def by_sqlite3(database: Any, bus: Bus, key: str, commits: bool) -> Receipt:
    with closing(sqlite3.connect(database.path)) as connection:
        connection.execute(insert(database), (key,))
        receipt = bus.join(connection).publish(Noted(key=key))
        (connection.commit if commits else connection.rollback)()
    return receipt


async def by_session(database: Any, bus: Bus, key: str, commits: bool) -> Receipt:
    engine = create_engine(
        engine_url(database, postgres="psycopg", mysql="pymysql", sqlite="pysqlite"), poolclass=NullPool
    )
    with Session(engine) as session:
        session.connection().exec_driver_sql(insert(database), (key,))
        receipt = bus.join(session).publish(Noted(key=key))
        (session.commit if commits else session.rollback)()
    return receipt


async def by_async_session(database: Any, bus: Bus, key: str, commits: bool) -> Receipt:
    url = engine_url(database, postgres="asyncpg", mysql="asyncmy", sqlite="aiosqlite")
    async with AsyncSession(create_async_engine(url, poolclass=NullPool)) as session:
        sql = insert(database, "$1" if database.kind == "postgres" else None)
        await (await session.connection()).exec_driver_sql(sql, (key,))
        receipt = await bus.join(session).publish(Noted(key=key))
        await (session.commit if commits else session.rollback)()
    return receipt


SERVERS: dict[str, list[Way]] = {
    "postgres": [by_psycopg, by_psycopg_async, by_asyncpg, by_session, by_async_session],
    "mysql": [by_pymysql, by_asyncmy, by_session, by_async_session],
}
WAYS: list[tuple[str, Way]] = [
    ("sqlite", by_sqlite3),
    ("sqlite", by_session),
    ("sqlite", by_async_session),
    *((kind, way) for kind, ways in SERVERS.items() for way in ways),
]
