"""What is asked of a connection that the user opened, whatever made it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from sagabus.errors import NoOpenTransaction, TransactionLost
from sagabus.stores.sql.dialect import Style
from sagabus.stores.sql.steps import Answer

POSTGRES = "PostgreSQL"
MYSQL = "MySQL"
SQLITE = "SQLite"


class Native(ABC):
    """A user's connection. Its row factories and cursor classes stay the user's and do not reach what we run."""

    classes: ClassVar[frozenset[tuple[str, str]]]
    """(package, class) of what it takes: recognised by name, so that no driver is imported that the user has not."""

    database: str
    """The kind of database at its other end."""
    style: Style
    """How it wants parameters."""

    def __init__(self, native: Any) -> None:
        self._native = native

    @abstractmethod
    def check(self) -> None:
        """NoOpenTransaction when what is written now would commit by itself; TransactionLost in one that has failed."""


class PlainNative(Native):
    """One that answers at once."""

    @abstractmethod
    def run(self, sql: str, parameters: Sequence[Any], *, gives: bool) -> Answer:
        """Run one statement; the driver's errors come through. `gives`: it gives rows."""


class AwaitedNative(Native):
    """One that has to be awaited."""

    @abstractmethod
    async def run(self, sql: str, parameters: Sequence[Any], *, gives: bool) -> Answer:
        """Run one statement; the driver's errors come through. `gives`: it gives rows."""


def no_transaction(what: str, way_out: str) -> NoOpenTransaction:
    """The error for a connection on which nothing would be held back."""
    return NoOpenTransaction(f"{what} has no open transaction: {way_out}")


def failed(what: str) -> TransactionLost:
    """The error for a transaction that can only be rolled back."""
    return TransactionLost(f"the transaction of {what} has failed before; roll it back, nothing of it can commit")
