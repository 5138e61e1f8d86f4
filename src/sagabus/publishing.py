"""What publishers call and get: receipts, and the ways to publish inside a transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeAlias, TypeGuard, cast

from sagabus.clock import Clock, instant
from sagabus.context import due
from sagabus.correlation import as_key
from sagabus.deduplication import BY_MESSAGE_ID, Deduplication, Duplicate, report_duplicate
from sagabus.envelope import Envelope, Stamp
from sagabus.errors import DuplicateMessage, MessageInvalid
from sagabus.identity import Identity, check_id, stamp_of
from sagabus.message import message_type_of
from sagabus.outcome import Admission
from sagabus.routing import RoutingTable
from sagabus.sending import Sender
from sagabus.store import AsyncJoined, Joined, Routing, Unit

Addressing: TypeAlias = Callable[[RoutingTable | None], list[Envelope]]
Parcel: TypeAlias = tuple[str, Addressing]
"""A message's id, and what addresses it under a routing."""
Addressed: TypeAlias = tuple[str, list[Envelope]]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one published message when the call returned (or will, when the joined transaction commits)."""

    message_id: str
    status: str
    """accepted, duplicate, collision (same id, other content: kept as a dead letter) or "too old" (kept likewise)."""
    subscriptions: Mapping[str, str]
    """The same for each subscription."""

    @property
    def accepted(self) -> bool:
        """Whether it was taken by at least one subscription, or is an event that nobody subscribes to."""
        return self.status == "accepted"


class Publisher:
    """Stamps what is published from outside a handler: an id minted once, a send time, copies guarded."""

    def __init__(
        self,
        sender: Sender,
        clock: Clock,
        identity: Identity,
        rules: Mapping[str, Deduplication],
        type_rules: Mapping[str, Deduplication],
    ) -> None:
        self._sender = sender
        self._clock = clock
        self._identity = identity
        self._rules = rules
        self._type_rules = type_rules

    def addressing(
        self,
        message: object,
        kind: str | None,
        *,
        message_id: str | None = None,
        partition_key: str | None = None,
        correlation_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        delay: timedelta | None = None,
        at: datetime | None = None,
        sent_at: datetime | None = None,
    ) -> Parcel:
        """The message's id, and a function that addresses it under a routing (again, if the routing changes)."""
        given = check_id(message_id) if message_id is not None else self._identity.new_id()
        sent = instant(sent_at) if sent_at is not None else stamp_of(given) or self._clock.now()
        due_at, wait = due(delay, at) if delay is not None or at is not None else (0, 0)
        if partition_key is not None:
            as_key(message_type_of(message).name, "partition_key", partition_key)
        if correlation_id is not None:
            check_id(correlation_id)
        stamp = Stamp(
            message_id=given,
            guarded=True,
            partition_key=partition_key,
            correlation_id=correlation_id,
            headers=_headers(message, headers),
            sent_at=sent,
            due_at=due_at,
            delay=wait,
        )

        def address(table: RoutingTable | None = None) -> list[Envelope]:
            return self._sender.address(message, stamp, kind=kind, table=table)

        return given, address

    def parcel(self, message: object, kind: str | None, options: Mapping[str, object]) -> Parcel:
        """The same as `addressing`, for options that were passed on."""
        return self.addressing(message, kind, **options)  # type: ignore[arg-type]  # checked there

    def parcels(self, messages: Iterable[object]) -> list[Parcel]:
        """Messages of either kind, or (message, id) pairs."""
        return [self.addressing(message, None, message_id=message_id) for message, message_id in map(with_id, messages)]

    def receipts(self, addressed: Iterable[Addressed], answers: Sequence[Admission]) -> list[Receipt]:
        """The receipts of several messages that were appended in one go."""
        found: list[Receipt] = []
        at = 0
        for message_id, envelopes in addressed:
            found.append(self.receipt(message_id, envelopes, answers[at : at + len(envelopes)]))
            at += len(envelopes)
        return found

    def receipt(self, message_id: str, envelopes: Sequence[Envelope], answers: Sequence[Admission]) -> Receipt:
        """The receipt, after the subscriptions' reactions to duplicates; DuplicateMessage where one asks for that."""
        told = {e.channel: answer.value for e, answer in zip(envelopes, answers, strict=True)}
        raising: list[str] = []
        for envelope, answer in zip(envelopes, answers, strict=True):
            if answer is not Admission.DUPLICATE:
                continue
            reaction = self._reaction(envelope)
            if reaction == "raise":
                raising.append(envelope.channel)
            else:
                report_duplicate(reaction, Duplicate(envelope.channel, envelope.message_type, message_id))
        if raising:
            raise DuplicateMessage(
                f"message {message_id} was accepted before by {', '.join(raising)}",
                message_id=message_id,
                subscription=raising[0],
            )
        return Receipt(message_id, _overall(answers), told)

    def _reaction(self, envelope: Envelope) -> object:
        rule = self._rules.get(envelope.channel) or self._type_rules.get(envelope.message_type) or BY_MESSAGE_ID
        return rule.on_duplicate


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


def addressed_by(table: RoutingTable, parcels: Iterable[Parcel]) -> list[Addressed]:
    """Ids with envelopes, under one routing."""
    return [(message_id, address(table)) for message_id, address in parcels]


def with_id(item: object) -> tuple[object, str | None]:
    """A message, or a (message, id) pair."""
    return item if _is_pair(item) else (item, None)


def _is_pair(item: object) -> TypeGuard[tuple[object, str]]:
    if not isinstance(item, tuple):
        return False
    members = cast("tuple[object, ...]", item)
    return len(members) == 2 and isinstance(members[1], str)


def _overall(answers: Sequence[Admission]) -> str:
    worst_first = (Admission.COLLISION, Admission.TOO_OLD, Admission.ACCEPTED, Admission.DUPLICATE)
    overall: str = next((admission for admission in worst_first if admission in answers), Admission.ACCEPTED).value
    return overall


def _headers(message: object, headers: Mapping[Any, Any] | None) -> dict[str, str] | None:
    if not headers:
        return None
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise MessageInvalid(message_type_of(message).name, f"headers[{name!r}]", "headers are text")
    return dict(headers)
