"""Transactions on PostgreSQL joined through each driver and library that has them."""

from typing import Any

import asyncpg
import psycopg
from psycopg.rows import dict_row
from tests.conformance.joined import (
    ByAsyncConnection,
    ByAsyncSession,
    ByConnection,
    ByDjango,
    ByDjangoProxy,
    BySession,
    OnPostgres,
)

from sagabus.testing.conformance.joining import JoinConformance


class TestJoinedByPsycopg(OnPostgres, JoinConformance):
    """With autocommit, a transaction begun by SQL, and rows that are dictionaries."""

    async def native_connection(self) -> Any:
        return psycopg.connect(self.dsn, autocommit=True, row_factory=dict_row)

    async def strange_connection(self) -> Any:
        return psycopg.connect(self.strange_dsn)


class TestJoinedByPsycopgThatBeginsByItself(TestJoinedByPsycopg):
    begins_by_itself = True

    async def native_connection(self) -> Any:
        return psycopg.connect(self.dsn, cursor_factory=psycopg.RawCursor)

    async def begin_native(self, connection: Any) -> None:
        pass

    async def end_native(self, connection: Any, *, commits: bool) -> None:
        (connection.commit if commits else connection.rollback)()

    placeholder = "$1"


class TestJoinedByPsycopgAsync(OnPostgres, JoinConformance):
    async def native_connection(self) -> Any:
        return await psycopg.AsyncConnection.connect(self.dsn, autocommit=True, row_factory=dict_row)

    async def strange_connection(self) -> Any:
        return await psycopg.AsyncConnection.connect(self.strange_dsn)


class Odd(asyncpg.Record):  # type: ignore[misc]  # the driver has no types
    def __getitem__(self, item: object) -> str:
        return "odd"


class TestJoinedByAsyncpg(OnPostgres, JoinConformance):
    """With a record class and codecs of the user's."""

    placeholder = "$1"

    async def native_connection(self) -> Any:
        connection = await asyncpg.connect(self.dsn, record_class=Odd)
        for kind in ("json", "jsonb"):
            await connection.set_type_codec(
                kind, schema="pg_catalog", encoder=lambda _: '"encoded"', decoder=lambda _: "decoded"
            )
        return connection

    async def strange_connection(self) -> Any:
        connection = await asyncpg.connect(self.strange_dsn)
        await connection.execute("BEGIN")
        return connection

    async def execute(self, connection: Any, sql: str, parameters: Any = ()) -> None:
        await connection.execute(sql, *parameters)


class TestJoinedByAsyncpgPool(TestJoinedByAsyncpg):
    """A connection out of a pool, in a transaction of the driver's."""

    async def native_connection(self) -> Any:
        self.pool = await asyncpg.create_pool(self.dsn, min_size=1, max_size=1)
        return await self.pool.acquire()

    async def begin_native(self, connection: Any) -> None:
        self.transaction = connection.transaction(isolation="repeatable_read")
        await self.transaction.start()

    async def end_native(self, connection: Any, *, commits: bool) -> None:
        await (self.transaction.commit if commits else self.transaction.rollback)()

    async def disconnect(self, connection: Any) -> None:
        if hasattr(self, "pool"):
            await connection.close()
            await self.pool.close()
        else:
            await connection.close()


class OnPsycopg(OnPostgres):
    @property
    def engine_url(self) -> str:
        return self.dsn.replace("postgresql:", "postgresql+psycopg:")

    @property
    def strange_engine_url(self) -> str:
        return self.strange_dsn.replace("postgresql:", "postgresql+psycopg:")


class OnAsyncpg(OnPostgres):
    placeholder = "$1"

    @property
    def engine_url(self) -> str:
        return self.dsn.replace("postgresql:", "postgresql+asyncpg:")

    @property
    def strange_engine_url(self) -> str:
        return self.strange_dsn.replace("postgresql:", "postgresql+asyncpg:")


class TestJoinedBySession(BySession, OnPsycopg, JoinConformance):
    pass


class TestJoinedByConnection(ByConnection, OnPsycopg, JoinConformance):
    pass


class TestJoinedByAsyncSession(ByAsyncSession, OnAsyncpg, JoinConformance):
    pass


class TestJoinedByAsyncConnection(ByAsyncConnection, OnAsyncpg, JoinConformance):
    pass


class TestJoinedByAsyncSessionOverPsycopg(ByAsyncSession, OnPsycopg, JoinConformance):
    pass


class TestJoinedByDjango(ByDjango, OnPostgres, JoinConformance):
    pass


class TestJoinedByDjangoProxy(ByDjangoProxy, OnPostgres, JoinConformance):
    pass
