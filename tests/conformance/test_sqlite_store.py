"""Every promise of the store port on a SQLite file, joined through both drivers that speak SQLite."""

import sqlite3
from pathlib import Path

import apsw
import pytest

from sagabus.clock import Clock
from sagabus.store import Store
from sagabus.stores.sqlite import SqliteStore
from sagabus.testing.conformance import StoreConformance
from sagabus.testing.conformance.joining import JoinConformance


class SqliteFile:
    """A new file for each test, and how its user gets at it."""

    path: Path

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "bus.db"

    async def make_store(self, clock: Clock) -> Store:
        return SqliteStore(self.path, clock=clock)

    async def same_store(self, clock: Clock) -> Store:
        return SqliteStore(self.path, clock=clock)

    async def make_user_table(self) -> None:
        with apsw.Connection(str(self.path)) as connection:
            connection.execute("CREATE TABLE ledger (id TEXT PRIMARY KEY)")
        connection.close()

    async def user_rows(self) -> list[str]:
        connection = apsw.Connection(str(self.path))
        rows = [row[0] for row in connection.execute("SELECT id FROM ledger ORDER BY id")]
        connection.close()
        return rows

    async def native_connection(self) -> object:
        return apsw.Connection(str(self.path))

    async def strange_connection(self) -> object:
        connection = apsw.Connection(str(self.path.with_name("other.db")))
        connection.execute("BEGIN")
        return connection


class TestSqliteStore(SqliteFile, StoreConformance):
    pass


class TestSqliteStoreJoinedByTheStandardLibrary(SqliteFile, JoinConformance):
    """The caller's transaction on a `sqlite3.Connection`."""

    async def native_connection(self) -> object:
        return sqlite3.connect(self.path, isolation_level=None)

    async def strange_connection(self) -> object:
        connection = sqlite3.connect(self.path.with_name("other.db"), isolation_level=None)
        connection.execute("BEGIN")
        return connection
