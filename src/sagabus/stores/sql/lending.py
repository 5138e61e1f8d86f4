"""The open transaction in a handler's hands, as the type that it asked for.

Whatever the type, the commit is the bus's: a handle commits and rolls back savepoints only. Another savepoint is around
all of it. If that is gone when the handler has returned, the handler has ended the transaction or left it unable to
commit, and has failed.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from sagabus.errors import StoreError, TransactionLost, UnsupportedCapability
from sagabus.store.connection import AsyncConnection, is_of_the_database
from sagabus.stores.sql.guard import GuardedLink
from sagabus.stores.sql.link import Link
from sagabus.stores.sql.steps import Query, causes

_OPEN = Query("savepoint")
_RELEASE = Query("release_savepoint")


class Loan:
    """The guarded handle; it keeps its own books of errors. See `sagabus.store.Lent`."""

    def __init__(self, handle: GuardedLink) -> None:
        self._guarded = handle

    @property
    def handle(self) -> Any:
        """What the handler is given."""
        return self._guarded

    async def begin(self) -> None:
        """Make the handle."""

    async def settle(self) -> None:
        """Take the handle away. If the transaction is broken, its commit reports it."""
        self._guarded.close()

    async def close(self) -> None:
        """Whatever happened, leave nothing of it on the connection, in the open transaction; twice is harmless."""
        self._guarded.close()

    def store_error(self, error: BaseException) -> StoreError | None:
        """The guarded handle has noted for what the transaction was given up, whatever was made of it since."""
        broken_by = self._guarded.broken_by
        return broken_by if is_of_the_database(broken_by) else None


class NativeLoan(Loan):
    """A handle of another library's on the same transaction."""

    def __init__(self, handle: GuardedLink, link: Link) -> None:
        super().__init__(handle)
        self._link = link
        self._settled = False

    async def begin(self) -> None:
        """Make the handle, inside a savepoint that stands for the transaction."""
        await self._link.answer(_OPEN)
        await self._give()

    async def settle(self) -> None:
        """Have the handle write what it holds back; then see that the transaction is still the same, and able."""
        await self._take()
        await super().settle()
        self._settled = True
        try:
            await self._link.answer(_RELEASE)
        except StoreError as error:
            if error.is_transient:
                raise
            raise TransactionLost(
                "the handler has ended its transaction, or a statement failed in it without a rollback to a savepoint: "
                f"it cannot commit: {error}"
            ) from error

    async def close(self) -> None:
        """Whatever happened, take the handle away."""
        await super().close()
        if not self._settled:
            self._settled = True
            await self._drop()

    def store_error(self, error: BaseException) -> StoreError | None:
        """The store's error where the database as a whole is behind it."""
        found = self._link.store_error(error)
        if not is_of_the_database(found) or any(_is_of_another(each, found) for each in causes(error)):
            return None
        if found is not error:
            found.__cause__ = error
        return found

    @abstractmethod
    async def _give(self) -> None:
        """Make the handle."""

    @abstractmethod
    async def _take(self) -> None:
        """Write what it holds back, and take it away; errors are the handler's."""

    @abstractmethod
    async def _drop(self) -> None:
        """Take it away, and nothing more."""


def _is_of_another(error: BaseException, found: StoreError) -> bool:
    """Whether another store than the one of `found` has raised it: drivers' errors do not say of which they are."""
    return isinstance(error, StoreError) and error.store != found.store


class Gate:
    """Between a handle and the transaction: closed when the transaction is not the handle's any more."""

    def __init__(self) -> None:
        self.is_open = True

    def check(self) -> None:
        """Raise TransactionLost for a handle that user code kept."""
        if not self.is_open:
            raise TransactionLost("the transaction of this handle has ended")


class Lender:
    """Knows what a store can lend; an adapter adds its driver's types."""

    kinds: tuple[str, ...] = ("sagabus.AsyncConnection",)
    """What a handler may annotate a parameter with."""

    def check(self, kind: type | None, adapter: str) -> None:
        """Raise UnsupportedCapability for a type that cannot be lent."""
        if not self.can(kind):
            raise UnsupportedCapability(
                f"lending its transaction as {class_name(kind)}; it lends {', '.join(self.kinds)}", adapter
            )

    def can(self, kind: type | None) -> bool:
        """Whether the type can be lent."""
        return kind in (None, AsyncConnection, GuardedLink)

    def loan(self, kind: type | None, link: Link, handle: GuardedLink) -> Loan:
        """The open transaction of a connection as that type, to be begun."""
        return Loan(handle)


def class_name(kind: type | None) -> str:
    """What to call a type in a message."""
    return "its own type" if kind is None else f"{kind.__module__}.{kind.__qualname__}"
