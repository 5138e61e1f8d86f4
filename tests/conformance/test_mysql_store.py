"""Every promise of the store port on MySQL or MariaDB."""

import asyncio
import os
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncmy
import pytest

from sagabus.clock import Clock
from sagabus.store import Store
from sagabus.stores.mysql import MysqlStore
from sagabus.testing.conformance import StoreConformance

URL = os.environ.get("SAGABUS_TEST_MYSQL", "mysql://root@127.0.0.1:3306/test")
_PARTS = urlsplit(URL)


async def connect(database: str | None = None) -> Any:
    return await asyncmy.connect(
        host=_PARTS.hostname,
        port=_PARTS.port or 3306,
        user=_PARTS.username,
        password=_PARTS.password or "",
        database=database,
        autocommit=True,
    )


class MysqlDatabase:
    """A database of its own for each test, and how its user gets at it."""

    insert_row = "INSERT INTO ledger (id) VALUES (%s)"

    database: str
    url: str

    @pytest.fixture(autouse=True)
    def own_database(self) -> Any:
        self.database = f"conformance_{uuid4().hex[:12]}"
        self.url = _PARTS._replace(path=f"/{self.database}").geturl()
        try:
            asyncio.run(self.run(f"CREATE DATABASE {self.database}", database=None))
        except OSError as error:
            absent(error)
        except asyncmy.errors.OperationalError as error:
            absent(error)
        yield
        asyncio.run(self.run(f"DROP DATABASE {self.database}"))

    async def make_store(self, clock: Clock) -> Store:
        return MysqlStore(self.url, clock=clock)

    async def same_store(self, clock: Clock) -> Store:
        return MysqlStore(self.url, clock=clock)

    async def make_user_table(self) -> None:
        await self.run("CREATE TABLE ledger (id VARCHAR(100) PRIMARY KEY)")

    async def user_rows(self) -> list[str]:
        return [row[0] for row in await self.run("SELECT id FROM ledger ORDER BY id")]

    async def run(self, sql: str, *, database: str | None = "") -> list[Any]:
        connection = await connect(self.database if database == "" else database)
        try:
            cursor = connection.cursor()
            await cursor.execute(sql)
            return list(await cursor.fetchall())
        finally:
            await connection.ensure_closed()


def absent(error: Exception) -> None:
    if os.environ.get("CI"):
        raise error
    pytest.skip(f"no server at {_PARTS.hostname}:{_PARTS.port}: {error}")


class TestMysqlStore(MysqlDatabase, StoreConformance):
    pass
