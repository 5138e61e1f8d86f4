"""psycopg 3, plain and awaited."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from sagabus.stores.sql.connections.native import POSTGRES, AwaitedNative, PlainNative, failed, no_transaction
from sagabus.stores.sql.dialect import PERCENTS
from sagabus.stores.sql.steps import Answer


def _check_psycopg(native: Any) -> None:
    if native.closed:
        raise no_transaction("the psycopg connection", "it is closed")
    status: str = native.info.transaction_status.name
    if status == "INERROR":
        raise failed("the psycopg connection")
    if status == "IDLE" and native.autocommit:
        raise no_transaction("the psycopg connection", "use `with connection.transaction():`, or turn autocommit off")


class PsycopgConnection(PlainNative):
    """A `psycopg.Connection`; without autocommit it begins by itself."""

    classes = frozenset({("psycopg", "Connection")})
    database = POSTGRES
    style = PERCENTS

    def __init__(self, native: Any) -> None:
        super().__init__(native)
        self._driver: Any = sys.modules["psycopg"]

    def check(self) -> None:
        _check_psycopg(self._native)

    def run(self, sql: str, parameters: Sequence[Any], *, gives: bool) -> Answer:
        with self._driver.Cursor(self._native, row_factory=self._driver.rows.tuple_row) as cursor:
            cursor.execute(sql, parameters)
            return Answer(cursor.fetchall() if gives else (), cursor.rowcount)


class PsycopgAsyncConnection(AwaitedNative):
    """A `psycopg.AsyncConnection`; without autocommit it begins by itself."""

    classes = frozenset({("psycopg", "AsyncConnection")})
    database = POSTGRES
    style = PERCENTS

    def __init__(self, native: Any) -> None:
        super().__init__(native)
        self._driver: Any = sys.modules["psycopg"]

    def check(self) -> None:
        _check_psycopg(self._native)

    async def run(self, sql: str, parameters: Sequence[Any], *, gives: bool) -> Answer:
        async with self._driver.AsyncCursor(self._native, row_factory=self._driver.rows.tuple_row) as cursor:
            await cursor.execute(sql, parameters)
            return Answer(await cursor.fetchall() if gives else (), cursor.rowcount)
