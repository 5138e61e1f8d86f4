"""The drivers of SQLite: sqlite3 and apsw, aiosqlite. They speak to one file through copies of SQLite of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sagabus.stores.sql.connections.native import SQLITE, AwaitedNative, PlainNative, no_transaction
from sagabus.stores.sql.dialect import QUESTION_MARKS
from sagabus.stores.sql.steps import Answer

_BEGIN = "execute BEGIN IMMEDIATE on it first"


class Sqlite3Connection(PlainNative):
    """A `sqlite3.Connection`."""

    classes = frozenset({("sqlite3", "Connection")})
    database = SQLITE
    style = QUESTION_MARKS

    def check(self) -> None:
        if not self._native.in_transaction:
            raise no_transaction("the sqlite3 connection", _BEGIN)

    def run(self, sql: str, parameters: Sequence[Any], *, gives: bool) -> Answer:
        cursor = self._native.cursor()
        try:
            cursor.row_factory = None
            cursor.execute(sql, tuple(parameters))
            return Answer(cursor.fetchall(), cursor.rowcount)
        finally:
            cursor.close()


class ApswConnection(PlainNative):
    """An `apsw.Connection`."""

    classes = frozenset({("apsw", "Connection")})
    database = SQLITE
    style = QUESTION_MARKS

    def check(self) -> None:
        if not self._native.in_transaction:
            raise no_transaction("the apsw connection", _BEGIN)

    def run(self, sql: str, parameters: Sequence[Any], *, gives: bool) -> Answer:
        cursor = self._native.cursor()
        cursor.row_trace = None
        rows = cursor.execute(sql, tuple(parameters)).fetchall()
        return Answer(rows, self._native.changes())


class AiosqliteConnection(AwaitedNative):
    """An `aiosqlite.Connection`."""

    classes = frozenset({("aiosqlite", "Connection")})
    database = SQLITE
    style = QUESTION_MARKS

    def check(self) -> None:
        if not self._native.in_transaction:
            raise no_transaction("the aiosqlite connection", _BEGIN)

    async def run(self, sql: str, parameters: Sequence[Any], *, gives: bool) -> Answer:
        async with self._native.cursor() as cursor:
            cursor.row_factory = None
            await cursor.execute(sql, tuple(parameters))
            return Answer(list(await cursor.fetchall()), cursor.rowcount)
