"""The way into a database through a transaction that the caller opened: the transactional outbox is this.

The same logic runs on the caller's connection as on our own. What differs is how the connection runs a statement
(`connections`), and what the store says of itself (`JoinTarget`). Nothing here begins or ends the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeVar

from sagabus.envelope import Envelope
from sagabus.errors import SagaBusError, UnsupportedCapability, WrongDatabase
from sagabus.outcome import Admission
from sagabus.store import Routing
from sagabus.stores.sql.connections import MYSQL, POSTGRES, SQLITE, AwaitedNative, Native, PlainNative, adopt
from sagabus.stores.sql.dialect import Style
from sagabus.stores.sql.steps import Answer, Query, Steps, UserQuery, drive, drive_async

T = TypeVar("T")

_SQLALCHEMY = "SQLAlchemy's Session, Connection, AsyncSession and AsyncConnection"
_DJANGO = "Django's connection"
_ACCEPTED = {
    POSTGRES: f"connections of asyncpg and psycopg, {_SQLALCHEMY}, {_DJANGO}",
    MYSQL: f"connections of pymysql, MySQLdb and asyncmy, {_SQLALCHEMY}, {_DJANGO}",
    SQLITE: f"connections of sqlite3, apsw and aiosqlite, {_SQLALCHEMY}, {_DJANGO}",
}


class Part(NamedTuple):
    """One statement as the caller's driver takes it."""

    sql: str
    parameters: Sequence[Any]
    gives: bool


class Words(Protocol):
    """How a store's statements are written for a driver of one style."""

    def parts(self, ask: Query) -> Sequence[Part]:
        """What to run for a question."""
        ...

    def answer(self, ask: Query, answers: Sequence[Answer]) -> Answer:
        """The answer to the question, from those of its parts."""
        ...


class JoinTarget(Protocol):
    """What a store says of itself to those who join. It is the same whether the store is open or not."""

    @property
    def database(self) -> str:
        """The kind of database."""
        ...

    @property
    def place(self) -> str:
        """Where it is, without password."""
        ...

    def words(self, style: Style) -> Words:
        """The statements for drivers of this style."""
        ...

    def enter(self, native: Native) -> Steps[None]:
        """Make sure that the connection is to the tables of this store, else WrongDatabase; the caller's transaction
        goes on in either case.
        """
        ...

    def look(self) -> Steps[tuple[Routing, int]]:
        """The routing, held as it is until the caller's transaction ends; and the time."""
        ...

    def append(self, envelopes: Sequence[Envelope], now: int) -> Steps[list[Admission]]:
        """Accept envelopes."""
        ...

    def translate(self, ask: Query, error: Exception, /) -> Exception:
        """The store's error, or a signal to the shared logic, for what a driver raised when it was asked."""
        ...


def join(native: object, home: JoinTarget) -> JoinedTransaction | AsyncJoinedTransaction:
    """Enter a transaction of the caller's; NoOpenTransaction, WrongDatabase or UnsupportedCapability."""
    adopted = adopt(native)
    if adopted is None:
        kind = type(native)
        raise UnsupportedCapability(
            f"joining a {kind.__module__}.{kind.__qualname__}; it joins {_ACCEPTED[home.database]}",
            f"the {home.database} store",
        )
    if adopted.database != home.database:
        raise WrongDatabase(
            f"the connection is to {adopted.database}, the bus is on {home.database} at {home.place}", store=home.place
        )
    adopted.check()
    return (
        JoinedTransaction(adopted, home) if isinstance(adopted, PlainNative) else AsyncJoinedTransaction(adopted, home)
    )


class JoinSession:
    """What a joined transaction has asked so far, on any kind of connection."""

    def __init__(self, native: Native, home: JoinTarget) -> None:
        self._native = native
        self._home = home
        self._words = home.words(native.style)
        self._entered = False
        self._now: int | None = None

    def enter(self) -> Steps[None]:
        """Come in, once."""
        if not self._entered:
            yield from self._home.enter(self._native)
            self._entered = True

    def routing(self) -> Steps[Routing]:
        """The subscriptions as this transaction sees them."""
        yield from self.enter()
        routing, self._now = yield from self._home.look()
        return routing

    def append(self, envelopes: Sequence[Envelope]) -> Steps[list[Admission]]:
        """Accept envelopes."""
        if self._now is None:
            yield from self.routing()
        now, self._now = self._now or 0, None
        return (yield from self._home.append(envelopes, now))

    def parts(self, ask: Query | UserQuery) -> tuple[Query, Sequence[Part]]:
        """What to run for a question."""
        if isinstance(ask, UserQuery):
            raise TypeError("a joined transaction runs no statements of the user's")
        return ask, self._words.parts(ask)

    def answer(self, ask: Query, answers: Sequence[Answer]) -> Answer:
        """The answer to the question, from those of its parts."""
        return self._words.answer(ask, answers)


class JoinedTransaction:
    """See `sagabus.store.Joined`."""

    waits: ClassVar[Literal[False]] = False

    def __init__(self, native: PlainNative, home: JoinTarget) -> None:
        self._native = native
        self._home = home
        self._visit = JoinSession(native, home)
        self._drive(self._visit.enter())

    def routing(self) -> Routing:
        """The subscriptions as this transaction sees them."""
        return self._drive(self._visit.routing())

    def append(self, envelopes: Sequence[Envelope]) -> list[Admission]:
        """Accept envelopes inside the caller's transaction."""
        return self._drive(self._visit.append(envelopes))

    def _drive(self, steps: Steps[T]) -> T:
        self._native.check()
        return drive(steps, self._answer)

    def _answer(self, question: Query | UserQuery) -> Answer:
        ask, parts = self._visit.parts(question)
        try:
            answers = [self._native.run(part.sql, part.parameters, gives=part.gives) for part in parts]
        except SagaBusError:
            raise
        except Exception as error:
            raise self._home.translate(ask, error) from error
        return self._visit.answer(ask, answers)


class AsyncJoinedTransaction:
    """See `sagabus.store.AsyncJoined`. A connection to another database is found out at the first use."""

    waits: ClassVar[Literal[True]] = True

    def __init__(self, native: AwaitedNative, home: JoinTarget) -> None:
        self._native = native
        self._home = home
        self._visit = JoinSession(native, home)

    async def routing(self) -> Routing:
        """The subscriptions as this transaction sees them."""
        return await self._drive(self._visit.routing())

    async def append(self, envelopes: Sequence[Envelope]) -> list[Admission]:
        """Accept envelopes inside the caller's transaction."""
        return await self._drive(self._visit.append(envelopes))

    async def _drive(self, steps: Steps[T]) -> T:
        self._native.check()
        return await drive_async(steps, self._answer)

    async def _answer(self, question: Query | UserQuery) -> Answer:
        ask, parts = self._visit.parts(question)
        try:
            answers = [await self._native.run(part.sql, part.parameters, gives=part.gives) for part in parts]
        except SagaBusError:
            raise
        except Exception as error:
            raise self._home.translate(ask, error) from error
        return self._visit.answer(ask, answers)
