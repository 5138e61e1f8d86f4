"""The application's own tables in a database of MySQL or MariaDB."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from sagabus.cli.demonstration.app_table import Words
from sagabus.stores.mysql.connecting import arguments, lasting_arguments
from sagabus.stores.mysql.driver import asyncmy, asyncmy_errors
from sagabus.stores.mysql.errors import BROKEN, of_our_own
from sagabus.stores.sql.address import Address
from sagabus.stores.sql.dialect import quoted
from sagabus.url import with_option

_TIMEOUT = 30.0
_BUS = "sagabus_"
_QUIET = "SET SESSION sql_notes = 0"
_FOUND = (
    "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND LEFT(table_name, %s) = %s"
)


class MysqlDatabase:
    """See `stage.Database`. With a bus at the prefix `shop_sagabus_`, the application's tables begin with `shop_`."""

    def __init__(self, url: str) -> None:
        self._address = Address.of(url)
        lasting_arguments(self._address)  # what is wrong with it is said at once
        schema, prefix = self._address.schema, self._address.prefix
        self.words = Words(
            placeholder=lambda _: "%s",
            number="INTEGER AUTO_INCREMENT PRIMARY KEY",
            count_run=("INSERT INTO demo_run (seed) VALUES (?)", "SELECT LAST_INSERT_ID()"),
            place=(f"{quoted(schema, '`')}." if schema else "")
            + (prefix[: -len(_BUS)] if prefix.endswith(_BUS) else ""),
            table_options=" ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            lock=" FOR UPDATE",
        )
        self._connection: Any = None

    async def query(self, sql: str, parameters: Sequence[object] = ()) -> Sequence[Sequence[Any]]:
        """Run one statement; its rows."""
        try:
            async with asyncio.timeout(_TIMEOUT):
                if self._connection is None:
                    self._connection = asyncmy.Connection(**await arguments(self._address), connect_timeout=_TIMEOUT)
                    await self._connection.connect()
                    await self._run(_QUIET, ())
                return await self._run(sql, parameters)
        except (asyncmy_errors.MySQLError, *BROKEN) as error:
            await self.close()
            raise of_our_own(error, self._address.place) from error

    async def close(self) -> None:
        """Disconnect, without waiting for a server that may be gone."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _run(self, sql: str, parameters: Sequence[object]) -> Sequence[Sequence[Any]]:
        cursor = self._connection.cursor()
        await cursor.execute(sql, parameters or None)
        rows: Sequence[Sequence[Any]] = await cursor.fetchall() if cursor.description else ()
        return rows


class MysqlRoom:
    """See `stage.Room`: all tables whose names begin alike. A database of its own would take more rights."""

    def __init__(self, url: str, name: str) -> None:
        self._prefix = f"{name}_"
        self.url = with_option(url, "prefix", self._prefix + _BUS)

    def __str__(self) -> str:
        return f"the tables that begin with {self._prefix}"

    async def clear(self) -> None:
        """Drop the tables."""
        database = MysqlDatabase(self.url)
        try:
            for (table,) in await database.query(_FOUND, (len(self._prefix), self._prefix)):
                await database.query(f"DROP TABLE {quoted(table, '`')}")
        finally:
            await database.close()
