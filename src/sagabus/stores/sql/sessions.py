"""SQLAlchemy's AsyncSession and AsyncConnection on a transaction that is open already.

An engine is made once for each of our connections, over a stand-in for the driver's connection. To SQLAlchemy it looks
like its own connection, but it begins, commits and rolls back savepoints inside our transaction.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from sagabus.stores.sql.guard import GuardedLink
from sagabus.stores.sql.lending import Gate, NativeLoan
from sagabus.stores.sql.link import Link

SESSION = "sqlalchemy.ext.asyncio.AsyncSession"
CONNECTION = "sqlalchemy.ext.asyncio.AsyncConnection"


def is_sqlalchemy(kind: type) -> bool:
    """Whether it is one of the two, or a session derived from SQLAlchemy's."""
    return is_session(kind) or _names(kind)[0] == ("sqlalchemy", "AsyncConnection")


def is_session(kind: type) -> bool:
    """Whether it is a session."""
    return ("sqlalchemy", "AsyncSession") in _names(kind)


def _names(kind: type) -> list[tuple[str, str]]:
    return [(cls.__module__.partition(".")[0], cls.__qualname__) for cls in kind.__mro__]


class Engines:
    """One engine for each connection of ours, as long as the connection lives."""

    def __init__(
        self, url: str, stand_in: Callable[[Link, Gate], Any], options: Callable[[Link], dict[str, Any]] | None = None
    ) -> None:
        self._url = url
        self._stand_in = stand_in
        self._options = options
        self._known: WeakKeyDictionary[Link, tuple[Any, Gate]] = WeakKeyDictionary()

    def of(self, link: Link) -> tuple[Any, Gate]:
        """The connection's engine, and the gate to what is beneath it."""
        found = self._known.get(link)
        if found is None:
            gate = Gate()
            stand_in = self._stand_in(link, gate)

            async def give(*_: object, **__: object) -> Any:
                return stand_in

            asyncio_of_theirs: Any = sys.modules["sqlalchemy.ext.asyncio"]
            engine = asyncio_of_theirs.create_async_engine(
                self._url,
                async_creator=give,
                poolclass=sys.modules["sqlalchemy"].StaticPool,
                connect_args={} if self._options is None else self._options(link),
            )
            found = self._known[link] = (engine, gate)
        return found

    def forget(self, link: Link) -> None:
        """Have it made again the next time."""
        self._known.pop(link, None)


class SqlalchemyLoan(NativeLoan):
    """An `AsyncConnection`, or a session bound to one."""

    def __init__(self, handle: GuardedLink, link: Link, kind: type, engines: Engines) -> None:
        super().__init__(handle, link)
        self._kind: Any = kind
        self._engines = engines
        self._connection: Any = None
        self._lent: Any = None

    @property
    def handle(self) -> Any:
        """What the handler is given."""
        return self._lent

    async def _give(self) -> None:
        engine, gate = self._engines.of(self._link)
        gate.is_open = True
        self._connection = self._lent = await engine.connect()
        if is_session(self._kind):
            # As SQLAlchemy advises for asyncio: what is read stays readable.
            self._lent = self._kind(bind=self._connection, expire_on_commit=False)

    async def _take(self) -> None:
        await self._lent.commit()  # what was only added is written now
        await self._drop()

    async def _drop(self) -> None:
        _, gate = self._engines.of(self._link)
        try:
            if self._lent is not None:
                await self._lent.close()
            if self._connection is not None:
                await self._connection.close()
        except BaseException:
            self._engines.forget(self._link)
            raise
        finally:
            self._connection = self._lent = None
            gate.is_open = False
