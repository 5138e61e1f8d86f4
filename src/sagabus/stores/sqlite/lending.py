"""The open transaction on a SQLite file in a handler's hands: guarded, and in one of two manners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sagabus.errors import StoreError, UnsupportedCapability
from sagabus.outcome import Parameters
from sagabus.store.connection import AsyncConnection, Connection, is_of_the_database
from sagabus.stores.sqlite.guard import GuardedConnection


class AwaitedConnection:
    """The guarded handle for handlers that run on a server's database as well: its answers are awaited."""

    def __init__(self, connection: GuardedConnection) -> None:
        self._connection = connection

    async def execute(self, sql: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        """Run one statement in the transaction; its rows."""
        return self._connection.execute(sql, parameters)

    async def executemany(self, sql: str, parameters: Sequence[Parameters]) -> list[tuple[Any, ...]]:
        """Run one statement once for each set of parameters."""
        return self._connection.executemany(sql, parameters)


class SqliteLoan:
    """See `sagabus.store.Lent`."""

    def __init__(self, connection: GuardedConnection, kind: type | None) -> None:
        self._connection = connection
        self.handle = AwaitedConnection(connection) if kind is AsyncConnection else connection

    async def settle(self) -> None:
        """Take the handle away; whether the transaction is still open is seen by its commit."""
        self._connection.close()

    def store_error(self, error: BaseException) -> StoreError | None:
        """The guarded handle has noted for what the database gave the transaction up, whatever was made of it since."""
        ended_by = self._connection.ended_by
        return ended_by if is_of_the_database(ended_by) else None


def check_lending(kind: type | None, place: str) -> None:
    """Raise for a type that cannot be lent. No other library's session would do: they bring a SQLite of their own, in
    which this transaction does not exist.
    """
    if kind not in (None, Connection, GuardedConnection, AsyncConnection):
        raise UnsupportedCapability(
            f"lending its transaction as {kind.__module__}.{kind.__qualname__}; "
            "it lends sagabus.Connection and sagabus.AsyncConnection",
            f"the SQLite store {place}",
        )
