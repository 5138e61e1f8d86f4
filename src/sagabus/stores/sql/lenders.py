"""The lender of a store on a server: its driver's connection, SQLAlchemy's types, and our own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sagabus.stores.sql.guard import GuardedLink
from sagabus.stores.sql.lending import Gate, Lender, Loan, NativeLoan
from sagabus.stores.sql.link import Link
from sagabus.stores.sql.sessions import CONNECTION, SESSION, Engines, SqlalchemyLoan, is_sqlalchemy


class DriverLoan(NativeLoan):
    """The driver's connection, behind a gate."""

    def __init__(self, handle: GuardedLink, link: Link, guarded: Callable[[Link, Gate], Any]) -> None:
        super().__init__(handle, link)
        self._gate = Gate()
        self._lent = guarded(link, self._gate)

    @property
    def handle(self) -> Any:
        """What the handler is given."""
        return self._lent

    async def _give(self) -> None:
        """It is there."""

    async def _take(self) -> None:
        self._gate.is_open = False

    async def _drop(self) -> None:
        self._gate.is_open = False


class DriverLender(Lender):
    """`driver` is the package, `classes` are those that a handler may name; `guarded` makes what it gets instead."""

    def __init__(
        self, driver: str, classes: tuple[str, ...], guarded: Callable[[Link, Gate], Any], engines: Engines
    ) -> None:
        self._driver = driver
        self._classes = classes
        self._guarded = guarded
        self._engines = engines
        self.kinds = (*Lender.kinds, f"{driver}.Connection", SESSION, CONNECTION)

    def can(self, kind: type | None) -> bool:
        """Whether the type can be lent."""
        return super().can(kind) or (kind is not None and (self._is_drivers(kind) or is_sqlalchemy(kind)))

    def loan(self, kind: type | None, link: Link, handle: GuardedLink) -> Loan:
        """The open transaction of a connection as that type, to be begun."""
        if kind is not None and is_sqlalchemy(kind):
            return SqlalchemyLoan(handle, link, kind, self._engines)
        if kind is not None and self._is_drivers(kind):
            return DriverLoan(handle, link, self._guarded)
        return super().loan(kind, link, handle)

    def _is_drivers(self, kind: type) -> bool:
        return kind.__module__.partition(".")[0] == self._driver and kind.__qualname__ in self._classes
