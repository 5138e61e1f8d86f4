"""What is needed of a connection to SQLite: apsw's own, or another driver's in its clothes.

The driver's hints name types that the oldest Python here does not have, which leaves half of each unknown to a checker;
so the modules beside this one speak to these protocols, and what a statement gives back stays the driver's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import apsw.ext

from sagabus.outcome import Parameters

_ext: Any = apsw.ext


class Statements(Protocol):
    """Enough to read and to append inside a transaction, whoever opened it."""

    def execute(self, sql: str, parameters: Sequence[object] = ..., /) -> Any:
        """Run one statement; its result has rows to iterate over, and `get` for a single value or row."""
        ...

    def changes(self) -> int:
        """How many rows the last statement changed."""
        ...


class Driver(Statements, Protocol):
    """A connection of our own."""

    authorizer: Any
    """Asked about every action of a statement while it is prepared."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        ...

    def execute(self, sql: str, parameters: Parameters = ..., /, *, can_cache: bool = ...) -> Any:
        """Run one statement, or several without parameters."""
        ...

    def executemany(self, sql: str, parameters: Sequence[Parameters], /, *, can_cache: bool = ...) -> Any:
        """Run one statement once for each set of parameters."""
        ...

    def last_insert_rowid(self) -> int:
        """The key of the row inserted last."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


def described(connection: Driver, sql: str) -> Any:
    """What a statement is (`apsw.ext.QueryDetails`), found out by preparing it only."""
    return _ext.query_info(connection, sql)
