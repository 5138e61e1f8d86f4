"""What publishers call and get: stamped messages, receipts, and the errors that a caller may ask for."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Literal, TypeAlias, TypeGuard, cast, get_args

import msgspec

from sagabus.clock import Clock, instant
from sagabus.context import SendOptions, due
from sagabus.engine.observers import Observers
from sagabus.engine.routing import RoutingTable
from sagabus.engine.sender import Sender
from sagabus.envelope import Envelope, Stamp
from sagabus.errors import (
    ConfigurationError,
    DuplicateMessage,
    MessageIdCollision,
    MessageTooOld,
    SagaBusError,
    TooManyMessages,
)
from sagabus.identity import Identity, check_id, stamp_of
from sagabus.message import message_type_of
from sagabus.message.load import Load
from sagabus.message.stamping import checked_headers, checked_key
from sagabus.outcome import Admission
from sagabus.policies.deduplication import DeduplicationRules

Status: TypeAlias = Literal["accepted", "duplicate", "collision", "too old", "unheard"]
OnCollision: TypeAlias = Literal["log", "raise"]

_ON_COLLISION: tuple[str, ...] = get_args(OnCollision)
_DEAD_LETTERS = frozenset({Admission.COLLISION, Admission.TOO_OLD, Admission.DAMAGED})
"""Answers after which the message is a dead letter."""


class PublishOptions(SendOptions, total=False):
    """The options of a message, for every way to publish from outside a handler."""

    delay: timedelta | None
    """Not before it has passed, by the store's clock."""
    at: datetime | None
    """Not before this instant; one in the past is now."""
    sent_at: datetime | None
    """When the message counts as sent."""
    on_collision: OnCollision
    """"raise" MessageIdCollision or MessageTooOld where the message becomes a dead letter; "log" (the default) leaves
    it at the receipt, an ERROR line and a count."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one published message when the call returned (or will, when the joined transaction commits)."""

    message_id: str
    status: Status
    """accepted; duplicate; collision (same id, other content: a dead letter); "too old" (likewise); or unheard: an
    event that no subscription receives."""
    subscriptions: Mapping[str, Status]
    """The same for each subscription."""

    @property
    def accepted(self) -> bool:
        """Whether at least one subscription has taken it, and none has it as a dead letter."""
        return self.status == "accepted"


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One message on its way in: what it is, and what it is sent with."""

    message: object
    kind: str | None
    """What the caller takes it for, if the call says."""
    stamp: Stamp
    raises: bool
    """Whether a collision is the caller's error."""
    sender: Sender

    def address(self, table: RoutingTable | None = None) -> list[Envelope]:
        """Its envelopes under a routing; the sender's own by default."""
        return self.sender.address(self.message, self.stamp, self.kind, table)


BATCH = "publish_many(...)"
Addressed: TypeAlias = tuple[Outgoing, list[Envelope]]


class Publisher:
    """Stamps what is published from outside a handler, and says what became of it."""

    def __init__(
        self, sender: Sender, clock: Clock, identity: Identity, rules: DeduplicationRules, observers: Observers
    ) -> None:
        self._sender, self.most = sender, sender.max_sent
        self._most_bytes, self._never_too_many = sender.max_sent_bytes, sender.never_too_many
        self._clock = clock
        self._identity = identity
        self._rules = rules
        self._observers = observers

    def outgoing(
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
        on_collision: OnCollision = "log",
    ) -> Outgoing:
        """The message with its stamp: an id minted once, a send time, options that every store can keep."""
        if on_collision not in _ON_COLLISION:
            raise ConfigurationError(f"on_collision must be 'log' or 'raise', not {on_collision!r}")
        given = check_id(message_id) if message_id is not None else self._identity.new_id()
        sent = instant(sent_at, "sent_at") if sent_at is not None else stamp_of(given) or self._clock.now()
        due_at, wait = due(delay, at, option="delay") if delay is not None or at is not None else (0, 0)
        # fmt: off
        stamp = Stamp(  # by position, as in `sender`
            given, sent,
            checked_key(message, partition_key) if partition_key is not None else None,
            checked_headers(message, headers) if headers else None,
            check_id(correlation_id, "correlation id") if correlation_id is not None else None,
            None, due_at, wait, 0, True,  # guarded
        )
        # fmt: on
        return Outgoing(message, kind, self._sender.announced(message, stamp), on_collision == "raise", self._sender)

    def outgoing_many(self, messages: Iterable[object], on_collision: OnCollision) -> list[Outgoing]:
        """Messages of either kind, or (message, id) pairs. Of more than one batch may hold, none is looked at."""
        taken = list(islice(messages, min(self.most + 1, sys.maxsize)))  # no list holds more
        self.check_count(len(taken), BATCH)
        pairs = map(with_id, taken)
        return [self.outgoing(each, None, message_id=given, on_collision=on_collision) for each, given in pairs]

    def check_count(self, count: int, call: str) -> None:
        """TooManyMessages unless one call, or one transaction, may send so many."""
        if count > self.most:
            raise TooManyMessages(call, self.most)

    def load(self, call: str) -> Load:
        """Counts the bytes of one call, or one transaction."""
        return Load(call, self._most_bytes)

    def addressed(self, table: RoutingTable | None, messages: Sequence[Outgoing], call: str) -> list[Addressed]:
        """Messages with their envelopes, all under one routing; TooManyBytes if that is too much for one call."""
        found: list[Addressed] = []
        count, load = 0, None
        for outgoing in messages:
            envelopes = outgoing.address(table)
            found.append((outgoing, envelopes))
            count += len(envelopes)
            if load is not None:
                load.add(envelopes)
            elif count > self._never_too_many:
                load = self.load(call)
                for _, before in found:
                    load.add(before)
        return found

    def note(self, addressed: Sequence[Addressed], answers: Sequence[Admission], *, is_joined: bool = False) -> None:
        """Log and count what was not accepted, and tell the subscriptions' reactions to duplicates."""
        if _all_accepted(addressed, answers):
            return
        for outgoing, pairs in _paired(addressed, answers):
            if not pairs:
                self._observers.unheard(message_type_of(outgoing.message).name, outgoing.stamp.message_id)
            for envelope, answer in pairs:
                if answer is Admission.ACCEPTED:
                    continue
                self._observers.answered(envelope, answer, self._rules, is_joined=is_joined)
                if answer is Admission.DUPLICATE:
                    self._rules.report(envelope.channel, envelope.message_type, envelope.message_id)

    def receipts(self, addressed: Sequence[Addressed], answers: Sequence[Admission]) -> list[Receipt]:
        """One receipt for each message; raises the first error that a subscription or a caller asks for."""
        if _all_accepted(addressed, answers):
            return [_accepted(outgoing, envelopes) for outgoing, envelopes in addressed]
        for outgoing, pairs in _paired(addressed, answers):
            error = self._error(outgoing, pairs)
            if error is not None:
                raise error
        return [_receipt(outgoing, pairs) for outgoing, pairs in _paired(addressed, answers)]

    def _error(self, outgoing: Outgoing, pairs: Sequence[tuple[Envelope, Admission]]) -> SagaBusError | None:
        by: dict[Admission, list[str]] = {}
        for envelope, answer in pairs:
            by.setdefault(answer, []).append(envelope.channel)
        by[Admission.DUPLICATE] = [
            channel
            for channel in by.get(Admission.DUPLICATE, ())
            if self._rules.rule(channel, message_type_of(outgoing.message).name).on_duplicate == "raise"
        ]
        message_id = outgoing.stamp.message_id
        for answer, (kind, text) in _ERRORS.items():
            if by.get(answer) and (outgoing.raises or answer not in _DEAD_LETTERS):
                names = ", ".join(by[answer])
                return kind(text.format(message_id, names), message_id=message_id, subscription=by[answer][0])
        return None


_ERRORS: Mapping[Admission, tuple[type[DuplicateMessage | MessageIdCollision | MessageTooOld], str]] = {
    Admission.COLLISION: (
        MessageIdCollision,
        "message {0} has the id of an earlier message with other content: a dead letter of {1}",
    ),
    Admission.TOO_OLD: (
        MessageTooOld,
        "message {0} is stamped before the de-duplication horizon: a dead letter of {1}",
    ),
    Admission.DUPLICATE: (DuplicateMessage, "message {0} was accepted before by {1}"),
}


def all_envelopes(addressed: Iterable[Addressed]) -> list[Envelope]:
    """The envelopes of all of them, in order."""
    return [envelope for _, envelopes in addressed for envelope in envelopes]


def with_id(item: object) -> tuple[object, str | None]:
    """A message, or a (message, id) pair."""
    return item if _is_pair(item) else (item, None)


def _is_pair(item: object) -> TypeGuard[tuple[object, str]]:
    if not isinstance(item, tuple):
        return False
    members = cast("tuple[object, ...]", item)
    return len(members) == 2 and isinstance(members[1], str)


def _paired(
    addressed: Iterable[Addressed], answers: Sequence[Admission]
) -> Iterable[tuple[Outgoing, list[tuple[Envelope, Admission]]]]:
    at = 0
    for outgoing, envelopes in addressed:
        end = at + len(envelopes)
        yield outgoing, list(zip(envelopes, answers[at:end], strict=True))
        at = end


def _all_accepted(addressed: Sequence[Addressed], answers: Sequence[Admission]) -> bool:
    """Whether there is nothing to say but that every message has been accepted by each of its subscriptions."""
    return all(answer is Admission.ACCEPTED for answer in answers) and all(envelopes for _, envelopes in addressed)


_STATUS: Mapping[Admission, Status] = {
    Admission.ACCEPTED: "accepted",
    Admission.DUPLICATE: "duplicate",
    Admission.COLLISION: "collision",
    Admission.TOO_OLD: "too old",
}
_WORST_FIRST = (Admission.COLLISION, Admission.TOO_OLD, Admission.ACCEPTED, Admission.DUPLICATE)


def _accepted(outgoing: Outgoing, envelopes: Sequence[Envelope]) -> Receipt:
    return Receipt(outgoing.stamp.message_id, "accepted", {envelope.channel: "accepted" for envelope in envelopes})


def _receipt(outgoing: Outgoing, pairs: Sequence[tuple[Envelope, Admission]]) -> Receipt:
    by_subscription: dict[str, Status] = {envelope.channel: _STATUS[answer] for envelope, answer in pairs}
    found = {answer for _, answer in pairs}
    worst = next((answer for answer in _WORST_FIRST if answer in found), None)
    return Receipt(outgoing.stamp.message_id, "unheard" if worst is None else _STATUS[worst], by_subscription)
