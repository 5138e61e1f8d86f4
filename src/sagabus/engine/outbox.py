"""The transactional outbox: the ways to publish inside a transaction, the bus's own or the caller's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol, TypeAlias, Unpack, overload

from sagabus.engine.publisher import (
    BATCH,
    Addressed,
    OnCollision,
    Outgoing,
    Publisher,
    PublishOptions,
    Receipt,
    all_envelopes,
)
from sagabus.engine.routing import LiveRouting, RoutingTable
from sagabus.errors import Unroutable
from sagabus.message.kinds import Command, Event, wrong_kind
from sagabus.outcome import Admission
from sagabus.store import AsyncJoined, Joined, Routed, Routing, Unit

BLOCK = "bus.transaction()"


class TransactionPublisher:
    """`bus.transaction()`: the user's rows and messages in one commit at the end of the block, or nothing of either."""

    def __init__(self, unit: Unit, publisher: Publisher) -> None:
        self._unit = unit
        self._publisher = publisher
        self._load = publisher.load(BLOCK)
        self.pending: list[Outgoing] = []
        self.is_unsure = False
        """Whether a receiver is missing that another process may have added since this one last looked."""

    @property
    def connection(self) -> Any:
        """The open transaction: a `Connection` on SQLite, an `AsyncConnection` on servers.

        It is guarded against commit, rollback and schema changes.
        """
        return self._unit.connection

    @overload
    @wrong_kind("a command is sent: send(...)")
    def publish(self, message: Command, **options: Unpack[PublishOptions]) -> str: ...
    @overload
    def publish(self, message: object, **options: Unpack[PublishOptions]) -> str: ...
    def publish(self, message: object, **options: Unpack[PublishOptions]) -> str:
        """Publish when the block commits; the message's id. Options as for `bus.publish`."""
        return self._buffer(self._publisher.outgoing(message, "event", **options))

    @overload
    @wrong_kind("an event is published: publish(...)")
    def send(self, message: Event, **options: Unpack[PublishOptions]) -> str: ...
    @overload
    def send(self, message: object, **options: Unpack[PublishOptions]) -> str: ...
    def send(self, message: object, **options: Unpack[PublishOptions]) -> str:
        """Send a command when the block commits; its id."""
        return self._buffer(self._publisher.outgoing(message, "command", **options))

    async def append(self, routing: LiveRouting, store: Routed) -> tuple[list[Addressed], Sequence[Admission]]:
        """Put all that was buffered into the unit, under a routing that the store still has, and what came of it."""
        while self.pending:
            addressed = self._publisher.addressed(None, self.pending, BLOCK)
            answers = await self._unit.append(all_envelopes(addressed), routing.table.version)
            if answers is not None:
                return addressed, answers
            await routing.refresh(store)
        return [], ()

    def _buffer(self, outgoing: Outgoing) -> str:
        self._publisher.check_count(len(self.pending) + 1, BLOCK)
        try:
            self._load.add(outgoing.address())  # what cannot travel is refused on this line, not at the commit
        except Unroutable:
            self.is_unsure = True
        self.pending.append(outgoing)
        return outgoing.stamp.message_id


class AwaitedConnection(Protocol):
    """A connection or session of an asynchronous driver or library."""

    @property
    def execute(self) -> Callable[..., Awaitable[Any]]:
        """Runs a statement; awaited."""
        ...


class AwaitedTransaction(Protocol):
    """A connection of an asynchronous driver whose statements go through cursors."""

    @property
    def commit(self) -> Callable[..., Awaitable[Any]]:
        """Commits; awaited."""
        ...


Awaited: TypeAlias = AwaitedConnection | AwaitedTransaction


class JoinedPublisher:
    """Publishes inside a transaction of the caller's: synchronous, never commits, gone with the caller's rollback."""

    def __init__(self, joined: Joined, publisher: Publisher, table: Callable[[Routing], RoutingTable]) -> None:
        self._joined = joined
        self._publisher = publisher
        self._table = table

    @overload
    @wrong_kind("a command is sent: send(...)")
    def publish(self, message: Command, **options: Unpack[PublishOptions]) -> Receipt: ...
    @overload
    def publish(self, message: object, **options: Unpack[PublishOptions]) -> Receipt: ...
    def publish(self, message: object, **options: Unpack[PublishOptions]) -> Receipt:
        """Publish with the caller's commit. Options as for `bus.publish`; NoOpenTransaction where there is none."""
        return self._append([self._publisher.outgoing(message, "event", **options)])[0]

    @overload
    @wrong_kind("an event is published: publish(...)")
    def send(self, message: Event, **options: Unpack[PublishOptions]) -> Receipt: ...
    @overload
    def send(self, message: object, **options: Unpack[PublishOptions]) -> Receipt: ...
    def send(self, message: object, **options: Unpack[PublishOptions]) -> Receipt:
        """Send a command with the caller's commit."""
        return self._append([self._publisher.outgoing(message, "command", **options)])[0]

    def publish_many(self, messages: Iterable[object], *, on_collision: OnCollision = "log") -> list[Receipt]:
        """Publish several, in order; (message, id) pairs are taken too."""
        return self._append(self._publisher.outgoing_many(messages, on_collision))

    def _append(self, messages: list[Outgoing]) -> list[Receipt]:
        addressed = self._publisher.addressed(self._table(self._joined.routing()), messages, BATCH)
        return _judged(self._publisher, addressed, list(self._joined.append(all_envelopes(addressed))))


class AsyncJoinedPublisher:
    """The same where the caller's connection has to be awaited: `await bus.join(connection).publish(...)`.

    WrongDatabase is raised by the first of its calls.
    """

    def __init__(self, joined: AsyncJoined, publisher: Publisher, table: Callable[[Routing], RoutingTable]) -> None:
        self._joined = joined
        self._publisher = publisher
        self._table = table

    @overload
    @wrong_kind("a command is sent: send(...)")
    async def publish(self, message: Command, **options: Unpack[PublishOptions]) -> Receipt: ...
    @overload
    async def publish(self, message: object, **options: Unpack[PublishOptions]) -> Receipt: ...
    async def publish(self, message: object, **options: Unpack[PublishOptions]) -> Receipt:
        """Publish with the caller's commit. Options as for `bus.publish`; NoOpenTransaction where there is none."""
        return (await self._append([self._publisher.outgoing(message, "event", **options)]))[0]

    @overload
    @wrong_kind("an event is published: publish(...)")
    async def send(self, message: Event, **options: Unpack[PublishOptions]) -> Receipt: ...
    @overload
    async def send(self, message: object, **options: Unpack[PublishOptions]) -> Receipt: ...
    async def send(self, message: object, **options: Unpack[PublishOptions]) -> Receipt:
        """Send a command with the caller's commit."""
        return (await self._append([self._publisher.outgoing(message, "command", **options)]))[0]

    async def publish_many(self, messages: Iterable[object], *, on_collision: OnCollision = "log") -> list[Receipt]:
        """Publish several, in order; (message, id) pairs are taken too."""
        return await self._append(self._publisher.outgoing_many(messages, on_collision))

    async def _append(self, messages: list[Outgoing]) -> list[Receipt]:
        addressed = self._publisher.addressed(self._table(await self._joined.routing()), messages, BATCH)
        return _judged(self._publisher, addressed, list(await self._joined.append(all_envelopes(addressed))))


def _judged(publisher: Publisher, addressed: list[Addressed], answers: list[Admission]) -> list[Receipt]:
    """Receipts of what is in the caller's transaction; an error leaves it there, for the caller to roll back."""
    publisher.note(addressed, answers, is_joined=True)
    return publisher.receipts(addressed, answers)
