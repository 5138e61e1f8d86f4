"""The application's own tables in a schema of PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sagabus.cli.demonstration.app_table import Words
from sagabus.errors import StoreError
from sagabus.stores.postgres.driver import asyncpg
from sagabus.stores.postgres.link import translated_error
from sagabus.stores.postgres.options import driver_options, lasting_options
from sagabus.stores.sql.address import Address
from sagabus.stores.sql.dialect import quoted
from sagabus.url import with_option

_TIMEOUT = 30.0


class PostgresDatabase:
    """See `stage.Database`."""

    def __init__(self, url: str) -> None:
        self._address = Address.of(url)
        lasting_options(self._address)  # what is wrong with it is said at once
        schema = self._address.schema
        self.words = Words(
            placeholder="${}".format,
            number="integer GENERATED ALWAYS AS IDENTITY",
            count_run=("INSERT INTO demo_run (seed) VALUES (?) RETURNING number",),
            place=f"{quoted(schema, chr(34))}." if schema else "",
            lock=" FOR UPDATE",
        )
        self._connection: Any = None

    async def query(self, sql: str, parameters: Sequence[object] = ()) -> Sequence[Sequence[Any]]:
        """Run one statement; its rows."""
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await asyncpg.connect(
                    **await driver_options(self._address), timeout=_TIMEOUT, command_timeout=_TIMEOUT
                )
            rows: Sequence[Sequence[Any]] = await self._connection.fetch(sql, *parameters)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            await self.close()
            ours = translated_error(error, self._address.place)
            raise ours or StoreError(f"{self._address.place}: {error}") from error
        return rows

    async def close(self) -> None:
        """Disconnect, without waiting for a server that may be gone."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


class PostgresRoom:
    """See `stage.Room`: a schema."""

    def __init__(self, url: str, name: str) -> None:
        self._schema = name
        self.url = with_option(url, "schema", name)

    def __str__(self) -> str:
        return f"the schema {self._schema}"

    async def clear(self) -> None:
        """Drop the schema."""
        database = PostgresDatabase(self.url)
        try:
            await database.query(f"DROP SCHEMA IF EXISTS {quoted(self._schema, chr(34))} CASCADE")
        finally:
            await database.close()
