"""Every promise of the store port on PostgreSQL."""

from typing import Any

import asyncpg
from tests.conformance.joined import OnPostgres

from sagabus.testing.conformance import StoreConformance


class TestPostgresStore(OnPostgres, StoreConformance):
    """Joined through the driver that the store itself uses; `test_joined_postgres` has all the others."""

    placeholder = "$1"

    async def native_connection(self) -> Any:
        return await asyncpg.connect(self.dsn)

    async def strange_connection(self) -> Any:
        connection = await asyncpg.connect(self.strange_dsn)
        await connection.execute("BEGIN")
        return connection

    async def execute(self, connection: Any, sql: str, parameters: Any = ()) -> None:
        if isinstance(connection, asyncpg.Connection):
            await connection.execute(sql, *parameters)
        else:
            await super().execute(connection, sql, parameters)
