"""The transactional outbox: the ways to publish inside a transaction, the bus's own or the caller's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol

from sagabus.engine.publisher import Parcel, Publisher, Receipt, addressed_by
from sagabus.engine.routing import RoutingTable
from sagabus.store import AsyncJoined, Joined, Routing, Unit


class TransactionPublisher:
    """`bus.transaction()`: the user's rows and messages in one commit at the end of the block, or nothing of either."""

    def __init__(self, unit: Unit, publisher: Publisher) -> None:
        self._unit = unit
        self._publisher = publisher
        self.pending: list[Parcel] = []

    @property
    def connection(self) -> object:
        """The open transaction, guarded against commit, rollback and schema changes."""
        return self._unit.connection

    def publish(self, message: object, **options: object) -> str:
        """Publish when the block commits; the message's id. Options as for `bus.publish`."""
        return self._buffer(message, "event", options)

    def send(self, message: object, **options: object) -> str:
        """Send a command when the block commits; its id."""
        return self._buffer(message, "command", options)

    def _buffer(self, message: object, kind: str, options: Mapping[str, object]) -> str:
        message_id, address = self._publisher.parcel(message, kind, options)
        address(None)  # what cannot travel is refused on this line, not at the commit
        self.pending.append((message_id, address))
        return message_id


class AwaitedConnection(Protocol):
    """A connection or session of an asynchronous driver or library."""

    @property
    def execute(self) -> Callable[..., Awaitable[Any]]:
        """Runs a statement; awaited."""
        ...


class JoinedPublisher:
    """Publishes inside a transaction of the caller's: synchronous, never commits, gone with the caller's rollback."""

    def __init__(self, joined: Joined, publisher: Publisher, table: Callable[[Routing], RoutingTable]) -> None:
        self._joined = joined
        self._publisher = publisher
        self._table = table

    def publish(self, message: object, **options: object) -> Receipt:
        """Publish with the caller's commit. Options as for `bus.publish`; NoOpenTransaction where there is none."""
        return self._append(self._publisher.parcel(message, "event", options))[0]

    def send(self, message: object, **options: object) -> Receipt:
        """Send a command with the caller's commit."""
        return self._append(self._publisher.parcel(message, "command", options))[0]

    def publish_many(self, messages: Iterable[object]) -> list[Receipt]:
        """Publish several, in order; (message, id) pairs are taken too."""
        return self._append(*self._publisher.parcels(messages))

    def _append(self, *parcels: Parcel) -> list[Receipt]:
        addressed = addressed_by(self._table(self._joined.routing()), parcels)
        answers = self._joined.append([envelope for _, envelopes in addressed for envelope in envelopes])
        return self._publisher.receipts(addressed, answers)


class AsyncJoinedPublisher:
    """The same where the caller's connection has to be awaited: `await bus.join(connection).publish(...)`.

    WrongDatabase is raised by the first of its calls.
    """

    def __init__(self, joined: AsyncJoined, publisher: Publisher, table: Callable[[Routing], RoutingTable]) -> None:
        self._joined = joined
        self._publisher = publisher
        self._table = table

    async def publish(self, message: object, **options: object) -> Receipt:
        """Publish with the caller's commit. Options as for `bus.publish`; NoOpenTransaction where there is none."""
        return (await self._append(self._publisher.parcel(message, "event", options)))[0]

    async def send(self, message: object, **options: object) -> Receipt:
        """Send a command with the caller's commit."""
        return (await self._append(self._publisher.parcel(message, "command", options)))[0]

    async def publish_many(self, messages: Iterable[object]) -> list[Receipt]:
        """Publish several, in order; (message, id) pairs are taken too."""
        return await self._append(*self._publisher.parcels(messages))

    async def _append(self, *parcels: Parcel) -> list[Receipt]:
        addressed = addressed_by(self._table(await self._joined.routing()), parcels)
        answers = await self._joined.append([envelope for _, envelopes in addressed for envelope in envelopes])
        return self._publisher.receipts(addressed, answers)
