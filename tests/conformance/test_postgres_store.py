"""Every promise of the store port on PostgreSQL."""

import asyncio
import os
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from sagabus.clock import Clock
from sagabus.store import Store
from sagabus.stores.postgres import PostgresStore
from sagabus.testing.conformance import StoreConformance

URL = os.environ.get("SAGABUS_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")


class PostgresDatabase:
    """A schema of its own for each test, and how its user gets at it."""

    schema: str
    insert_row: str

    @pytest.fixture(autouse=True)
    def own_schema(self) -> Any:
        self.schema = f"conformance_{uuid4().hex[:12]}"
        self.insert_row = f"INSERT INTO {self.schema}.ledger (id) VALUES ($1)"
        yield
        asyncio.run(self.run(f"DROP SCHEMA IF EXISTS {self.schema} CASCADE"))

    async def make_store(self, clock: Clock) -> Store:
        return PostgresStore(f"{URL}?schema={self.schema}", clock=clock)

    async def same_store(self, clock: Clock) -> Store:
        return PostgresStore(f"{URL}?schema={self.schema}", clock=clock)

    async def make_user_table(self) -> None:
        await self.run(f"CREATE TABLE {self.schema}.ledger (id TEXT PRIMARY KEY)")

    async def user_rows(self) -> list[str]:
        return [row[0] for row in await self.run(f"SELECT id FROM {self.schema}.ledger ORDER BY id")]

    async def run(self, sql: str) -> list[Any]:
        connection = await asyncpg.connect(URL)
        try:
            return await connection.fetch(sql)
        finally:
            await connection.close()


class TestPostgresStore(PostgresDatabase, StoreConformance):
    """Joined through the driver that the store itself uses; `test_joined_postgres` has all the others."""

    begin = "BEGIN"

    async def native_connection(self) -> Any:
        return await asyncpg.connect(URL)

    async def strange_connection(self) -> Any:
        parts = urlsplit(URL)
        connection = await asyncpg.connect(parts._replace(path="/postgres").geturl())
        await connection.execute("BEGIN")
        return connection

    async def execute(self, connection: Any, sql: str, parameters: Any = ()) -> None:
        if isinstance(connection, asyncpg.Connection):
            await connection.execute(sql, *parameters)
        else:
            await super().execute(connection, sql, parameters)
