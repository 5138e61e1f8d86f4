"""PORT: the open transaction in a handler's hands. A part of `store`, where a unit of work lends itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeGuard

from sagabus.errors import StoreError, StoreReadOnly
from sagabus.outcome import Parameters


class Connection(Protocol):
    """The open transaction, for handlers that must read their own writes: annotate a parameter with this.

    It answers at once; lent by stores whose database is in this process (SQLite).
    """

    def execute(self, sql: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        """Run one statement in the transaction of this message; its rows."""
        ...

    def executemany(self, sql: str, parameters: Sequence[Parameters]) -> list[tuple[Any, ...]]:
        """Run one statement once for each set of parameters."""
        ...


class AsyncConnection(Protocol):
    """The open transaction, to be awaited: annotate a parameter of an `async def` with this. Lent by every database."""

    async def execute(self, sql: str, parameters: Parameters = ()) -> Sequence[tuple[Any, ...]]:
        """Run one statement in the transaction of this message; its rows."""
        ...

    async def executemany(self, sql: str, parameters: Sequence[Parameters]) -> object:
        """Run one statement once for each set of parameters."""
        ...


class Lent(Protocol):
    """The open transaction in a handler's hands, as the type that the handler asked for."""

    @property
    def handle(self) -> object:
        """What the handler is given."""
        ...

    async def settle(self) -> None:
        """Write what the handle still holds back, and take it away: all of it is a part of the unit now.

        Raises the database's error, which is the handler's failure. Raises TransactionLost if the handler has ended the
        transaction or left it unable to commit.
        """
        ...

    def store_error(self, error: BaseException) -> StoreError | None:
        """The StoreError behind an error of the handler, if the database of this transaction is at fault as a whole.
        None for any other error, and for those of other stores.
        """
        ...


def is_of_the_database(error: object) -> TypeGuard[StoreError]:
    """Whether the database as a whole is behind an error, and not what was asked of it."""
    # One that is read-only for the time being is so by a failover, and no message is to blame for that either.
    return isinstance(error, StoreReadOnly) or (isinstance(error, StoreError) and error.is_transient)
