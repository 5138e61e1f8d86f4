"""Every promise of the store port on MySQL or MariaDB."""

import asyncio
import os
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import asyncmy
import pytest

from sagabus.clock import Clock
from sagabus.store import Store
from sagabus.stores.mysql import MysqlStore
from sagabus.testing.conformance import StoreConformance
from sagabus.testing.servers import PrivateMariaDB

URL = os.environ.get("SAGABUS_TEST_MYSQL", "mysql://root@127.0.0.1:3306/test")
HOSTILE = {
    "sql_mode": "ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT",
    "transaction_isolation": "REPEATABLE-READ",
    "autocommit": "0",
    "completion_type": "CHAIN",
    "character_set_server": "latin1",
    "collation_server": "latin1_swedish_ci",
    "lower_case_table_names": "1",
    "max_allowed_packet": "1048576",
    "default_time_zone": "+05:30",
}


class MysqlDatabase:
    """A database of its own for each test, and how its user gets at it."""

    insert_row = "INSERT INTO ledger (id) VALUES (%s)"
    begin = "BEGIN"

    server = URL
    database: str
    url: str

    @pytest.fixture(autouse=True)
    def own_database(self) -> Any:
        self.database = f"conformance_{uuid4().hex[:12]}"
        self.url = urlsplit(self.server)._replace(path=f"/{self.database}").geturl()
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

    async def native_connection(self) -> Any:
        return await self.connect(self.database)

    async def strange_connection(self) -> Any:
        connection = await self.connect("mysql")
        await connection.begin()
        return connection

    async def execute(self, connection: Any, sql: str, parameters: Any = ()) -> None:
        if hasattr(connection, "execute"):  # the guarded one
            await connection.execute(sql, parameters)
        else:
            await connection.cursor().execute(sql, parameters)

    async def connect(self, database: str | None) -> Any:
        place = urlsplit(self.server)
        return await asyncmy.connect(
            host=place.hostname,
            port=place.port or 3306,
            user=unquote(place.username or ""),
            password=unquote(place.password or ""),
            database=database,
            autocommit=True,
            init_command="SET completion_type = 'NO_CHAIN', lock_wait_timeout = 10",
        )

    async def run(self, sql: str, *, database: str | None = "") -> list[Any]:
        connection = await self.connect(self.database if database == "" else database)
        try:
            cursor = connection.cursor()
            await cursor.execute(sql)
            return list(await cursor.fetchall())
        finally:
            await connection.ensure_closed()


def absent(error: Exception) -> None:
    if os.environ.get("CI"):
        raise error
    pytest.skip(f"no server: {error}")


class TestMysqlStore(MysqlDatabase, StoreConformance):
    pass


@pytest.mark.slow
class TestMysqlStoreOnAServerSetAgainstIt(MysqlDatabase, StoreConformance):
    """Everything that an administrator may have set otherwise."""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def private_server(cls) -> Any:
        if not PrivateMariaDB.available():
            absent(RuntimeError("no programs of MariaDB's"))
        with PrivateMariaDB(HOSTILE) as server:
            cls.server = server.url
            yield
