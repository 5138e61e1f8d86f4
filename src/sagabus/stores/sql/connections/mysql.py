"""The drivers of MySQL and MariaDB: pymysql and MySQLdb, asyncmy."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from sagabus.stores.sql.connections.native import MYSQL, AwaitedNative, PlainNative, no_transaction
from sagabus.stores.sql.dialect import PERCENTS
from sagabus.stores.sql.steps import Answer

_IN_TRANSACTION = 1
_BEGIN = "call its `begin()`, or turn autocommit off"


class PymysqlConnection(PlainNative):
    """A connection of pymysql or MySQLdb; without autocommit it begins by itself."""

    classes = frozenset({("pymysql", "Connection"), ("MySQLdb", "Connection")})
    database = MYSQL
    style = PERCENTS

    def __init__(self, native: Any) -> None:
        super().__init__(native)
        packages = {cls.__module__.partition(".")[0] for cls in type(native).__mro__}
        self._driver = "pymysql" if "pymysql" in packages else "MySQLdb"

    def check(self) -> None:
        what = f"the {self._driver} connection"
        if not self._native.open:
            raise no_transaction(what, "it is closed")
        if self._native.get_autocommit():
            # MySQLdb does not show the server's state: with autocommit, an open transaction is invisible.
            status: int | None = getattr(self._native, "server_status", None)
            if status is None:
                raise no_transaction(what, "turn autocommit off; with it there may be one, but the driver does not say")
            if not status & _IN_TRANSACTION:
                raise no_transaction(what, _BEGIN)

    def run(self, sql: str, parameters: Sequence[Any], *, gives: bool) -> Answer:
        plain: Any = sys.modules[f"{self._driver}.cursors"].Cursor
        cursor = self._native.cursor(plain)
        try:
            cursor.execute(sql, tuple(parameters))
            return Answer(cursor.fetchall() if gives else (), cursor.rowcount)
        finally:
            cursor.close()


class AsyncmyConnection(AwaitedNative):
    """A connection of asyncmy; without autocommit it begins by itself."""

    classes = frozenset({("asyncmy", "Connection")})
    database = MYSQL
    style = PERCENTS

    def check(self) -> None:
        if not self._native.connected:
            raise no_transaction("the asyncmy connection", "it is closed")
        if self._native.get_autocommit() and not self._native.get_transaction_status():
            raise no_transaction("the asyncmy connection", _BEGIN)

    async def run(self, sql: str, parameters: Sequence[Any], *, gives: bool) -> Answer:
        plain: Any = sys.modules["asyncmy.cursors"].Cursor
        cursor = self._native.cursor(plain)
        try:
            await cursor.execute(sql, tuple(parameters))
            return Answer(await cursor.fetchall() if gives else (), cursor.rowcount)
        finally:
            await cursor.close()
