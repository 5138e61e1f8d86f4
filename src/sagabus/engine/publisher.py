"""What publishers call and get: receipts, and the ways to publish inside a transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias, TypeGuard, cast

from sagabus.clock import Clock, instant
from sagabus.context import due
from sagabus.correlation import as_key
from sagabus.deduplication import BY_MESSAGE_ID, Deduplication, Duplicate, report_duplicate
from sagabus.engine.routing import RoutingTable
from sagabus.engine.sender import Sender
from sagabus.envelope import Envelope, Stamp
from sagabus.errors import DuplicateMessage, MessageInvalid
from sagabus.identity import Identity, check_id, stamp_of
from sagabus.message import message_type_of
from sagabus.outcome import Admission

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
