"""One connection to a server, as the shared parts see it; each driver has one class for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from sagabus.errors import StoreError
from sagabus.outcome import Parameters
from sagabus.stores.sql.steps import Answer, Query, UserQuery


class Link(Protocol):
    """Errors come out as `StoreError` and its kinds, or as StatementFailed for a user's statement at fault."""

    @property
    def native(self) -> Any:
        """The driver's own connection."""
        ...

    @property
    def usable(self) -> bool:
        """Whether it is connected and in no transaction: fit for the next user."""
        ...

    async def answer(self, ask: Query | UserQuery) -> Answer:
        """Run one statement."""
        ...

    async def query(self, sql: str, parameters: Parameters) -> Sequence[tuple[Any, ...]]:
        """Run one statement of the user's on the open transaction; its rows. The driver's errors come through, but
        for those of the connection.
        """
        ...

    async def run_script(self, script: str) -> None:
        """Run several statements without parameters: a migration."""
        ...

    async def begin(self) -> None:
        """Begin a transaction."""
        ...

    async def commit(self) -> None:
        """Commit, and make sure of it; TransactionLost when the database rolled back instead."""
        ...

    async def rollback(self) -> None:
        """Roll back."""
        ...

    def store_error(self, error: BaseException) -> StoreError | None:
        """The store's error for a driver error that concerns the database as a whole, or that a library made from such
        a one. The same for any error after the connection has ended. None for any other.
        """
        ...

    async def now(self) -> int:
        """The database's clock, in microseconds since 1970."""
        ...

    async def oldest_transaction(self) -> int | None:
        """How long the oldest open transaction of the database has lasted, in microseconds; None where the server does
        not tell this user.
        """
        ...

    def terminate(self) -> None:
        """Cut the connection at once, whatever it is doing."""
        ...

    async def end(self, cut: Link) -> None:
        """Have the server end a connection that was cut. It ends only a connection that is surely this one, and not
        while its COMMIT waits for a replica.
        """
        ...

    async def close(self) -> None:
        """Say goodbye."""
        ...
