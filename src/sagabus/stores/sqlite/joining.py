"""The way in through a transaction that the caller opened on this file: the transactional outbox is this, nothing else.

Takes an `apsw.Connection` or a `sqlite3.Connection`; both speak to the same file through their own copy of SQLite.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import apsw

from sagabus.clock import Clock
from sagabus.envelope import Envelope
from sagabus.errors import NoOpenTransaction, StoreError, UnsupportedCapability, WrongDatabase
from sagabus.outcome import Admission
from sagabus.store import Routing
from sagabus.stores.sql import appending, registering
from sagabus.stores.sql.asking import drive
from sagabus.stores.sqlite.driver import Driver, Statements
from sagabus.stores.sqlite.sets import Executor
from sagabus.stores.sqlite.statements import STATEMENTS


class JoinedTransaction:
    """See `sagabus.store.Joined`."""

    waits: ClassVar[Literal[False]] = False

    def __init__(self, native: object, path: str, clock: Clock) -> None:
        self._clock = clock
        self._connection, self._in_transaction = _adopt(native)
        self._execute = Executor(self._connection, STATEMENTS)
        self._check_file(path)
        self._check_open()

    def routing(self) -> Routing:
        """The subscriptions as this transaction sees them."""
        self._check_open()
        return drive(registering.read(), self._execute)

    def append(self, envelopes: Sequence[Envelope]) -> list[Admission]:
        """Accept envelopes inside the caller's transaction."""
        self._check_open()
        return drive(appending.append(envelopes, self._clock.now()), self._execute)

    def _check_open(self) -> None:
        if not self._in_transaction():
            raise NoOpenTransaction("the connection has no open transaction: execute BEGIN IMMEDIATE on it first")

    def _check_file(self, path: str) -> None:
        theirs: str = next((row[2] for row in self._connection.execute("PRAGMA database_list") if row[1] == "main"), "")
        if not theirs or not Path(theirs).exists() or not Path(theirs).samefile(path):
            raise WrongDatabase(
                f"the connection is to {theirs or 'a database in memory'}, the bus keeps its rows in {path}"
            )


def _adopt(native: object) -> tuple[Statements, Callable[[], bool]]:
    if isinstance(native, apsw.Connection):
        return cast("Driver", native), lambda: native.in_transaction
    if isinstance(native, sqlite3.Connection):
        return _Adapted(native), lambda: native.in_transaction
    raise UnsupportedCapability(
        f"joining a {type(native).__module__}.{type(native).__qualname__} "
        "(an apsw.Connection or a sqlite3.Connection is needed)",
        "the SQLite store",
    )


class _Adapted:
    """A `sqlite3.Connection` with what appending needs of apsw's, whatever row factory the caller has set."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._changes = 0

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> Any:
        cursor = self._connection.cursor()
        cursor.row_factory = None
        try:
            cursor.execute(sql, tuple(parameters))
        except sqlite3.Error as error:
            raise StoreError(f"in the joined transaction: {type(error).__name__}: {error}") from error
        self._changes = cursor.rowcount
        return cursor

    def changes(self) -> int:
        return self._changes
