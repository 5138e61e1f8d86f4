"""Transactions on a SQLite file joined through each driver and library that has them."""

import sqlite3
from typing import Any

import aiosqlite
import apsw
from tests.conformance.joined import (
    ByAsyncConnection,
    ByAsyncSession,
    ByConnection,
    ByDjango,
    ByDjangoProxy,
    BySession,
    OnSqlite,
)

from sagabus.testing.conformance.joining import JoinConformance


class TestJoinedBySqlite3(OnSqlite, JoinConformance):
    """With rows that are no tuples."""

    async def native_connection(self) -> Any:
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.row_factory = lambda _, row: {"row": row}
        return connection

    async def strange_connection(self) -> Any:
        connection = sqlite3.connect(self.strange_path, isolation_level=None)
        connection.execute("BEGIN")
        return connection


class TestJoinedByApsw(OnSqlite, JoinConformance):
    """With rows that are no tuples."""

    async def native_connection(self) -> Any:
        connection = apsw.Connection(str(self.path))
        connection.row_trace = lambda _, row: {"row": row}
        return connection

    async def strange_connection(self) -> Any:
        connection = apsw.Connection(str(self.strange_path))
        connection.execute("BEGIN")
        return connection


class TestJoinedByAiosqlite(OnSqlite, JoinConformance):
    async def native_connection(self) -> Any:
        connection = await aiosqlite.connect(self.path, isolation_level=None)
        connection.row_factory = aiosqlite.Row
        return connection

    async def strange_connection(self) -> Any:
        connection = await aiosqlite.connect(self.strange_path, isolation_level=None)
        await connection.execute("BEGIN")
        return connection


class OnPysqlite(OnSqlite):
    @property
    def engine_url(self) -> str:
        return f"sqlite:///{self.path}"

    @property
    def strange_engine_url(self) -> str:
        return f"sqlite:///{self.strange_path}"


class OnAiosqlite(OnSqlite):
    @property
    def engine_url(self) -> str:
        return f"sqlite+aiosqlite:///{self.path}"

    @property
    def strange_engine_url(self) -> str:
        return f"sqlite+aiosqlite:///{self.strange_path}"


class TestJoinedBySession(BySession, OnPysqlite, JoinConformance):
    pass


class TestJoinedByConnection(ByConnection, OnPysqlite, JoinConformance):
    pass


class TestJoinedByAsyncSession(ByAsyncSession, OnAiosqlite, JoinConformance):
    pass


class TestJoinedByAsyncConnection(ByAsyncConnection, OnAiosqlite, JoinConformance):
    pass


class TestJoinedByDjango(ByDjango, OnSqlite, JoinConformance):
    insert_row = "INSERT INTO ledger (id) VALUES (%s)"


class TestJoinedByDjangoProxy(ByDjangoProxy, OnSqlite, JoinConformance):
    insert_row = "INSERT INTO ledger (id) VALUES (%s)"
