"""What is needed of a connection of our own to SQLite.

The driver's hints name types that the oldest supported Python does not have, so checkers do not know half of each. The
modules of this package use this protocol instead, and what a statement returns stays the driver's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import apsw.ext

from sagabus.outcome import Parameters

_ext: Any = apsw.ext


class Driver(Protocol):
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

    def changes(self) -> int:
        """How many rows the last statement changed."""
        ...

    def last_insert_rowid(self) -> int:
        """The key of the row inserted last."""
        ...

    def set_progress_handler(self, handler: Callable[[], bool] | None, steps: int, /) -> None:
        """Ask this again and again while a statement runs, after so many steps of it; true cuts the statement short."""
        ...

    def interrupt(self) -> None:
        """Cut short what runs on it now, from any thread; its transaction is rolled back if it was writing."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


def described(connection: Driver, sql: str) -> Any:
    """What a statement is (`apsw.ext.QueryDetails`), found out by preparing it only."""
    return _ext.query_info(connection, sql)
