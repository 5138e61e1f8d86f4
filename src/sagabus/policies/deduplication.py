"""Which messages are copies of one another: always by message id, on request by a key that the subscriber evaluates."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any, Literal, TypeAlias

from sagabus.clock import span_problems
from sagabus.codec import fingerprint
from sagabus.envelope import Envelope
from sagabus.errors import ConfigurationError
from sagabus.introspection.callables import check_answers

log = logging.getLogger("sagabus")

SHORTEST_WINDOW = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Duplicate:
    """What the callback of a duplicate gets."""

    subscription: str
    message_type: str
    message_id: str


Strategy: TypeAlias = Literal["message_id", "correlation", "content"] | Callable[[Any], object]
Reaction: TypeAlias = Literal["skip", "log", "raise", "call"]
OnDuplicate: TypeAlias = Literal["skip", "log", "raise"] | Callable[[Duplicate], object]


@dataclass(frozen=True, slots=True)
class Deduplication:
    """How a subscription (or a message type) recognises copies, for how long, and what it does about one.

    `by`: "message_id" (the default), "correlation" (correlation id and type), "content" (type and body), or a function
    of the message. The function returns its business key. If that is None, only the message id counts. By message id,
    copies are dropped where they enter, and `publish` says so. By any other key the subscriber decides in its commit,
    and the message id counts too. `field` is short for a function that reads one field.

    `window`: how long records are kept; None takes the bus's retention. Less than 24 hours needs `short_window=True`,
    because expiry can then come before a broker's last redelivery.

    `on_duplicate`: "skip" (count it), "log" it as a warning, "raise" DuplicateMessage to the publisher, or call a
    function with a `Duplicate`. If only the commit can decide, no publisher waits, and "raise" logs.
    """

    by: Strategy = "message_id"
    field: str | None = None
    window: timedelta | None = None
    on_duplicate: OnDuplicate = "skip"
    short_window: bool = False

    def __post_init__(self) -> None:
        if self.field is not None and self.by != "message_id":
            raise ConfigurationError("Deduplication takes `by` or `field`, not both")
        if self.window is not None and (impossible := span_problems("Deduplication", window=self.window)):
            raise ConfigurationError(*impossible)
        if self.window is not None and self.window < SHORTEST_WINDOW and not self.short_window:
            raise ConfigurationError(
                f"a de-duplication window of {self.window} is under 24 hours: pass short_window=True to allow it"
            )

        problems: list[str] = []
        check_answers(self.by, "Deduplication.by", problems)
        check_answers(self.on_duplicate, "Deduplication.on_duplicate", problems)
        if problems:
            raise ConfigurationError(*problems)

    def claims(self, message: object, envelope: Envelope, names: Iterable[str]) -> tuple[str, ...]:
        """The keys that the commit claims for this message: one for each former name of its type. So a copy under
        another name is recognised. None where the message id says it all.
        """
        if self.field is None and self.by == "message_id":
            return ()
        if self.field is None and self.by == "content":
            return tuple(fingerprint(name, envelope.body).hex() for name in names)
        key = self._key_of(message, envelope)
        return () if key is None else tuple(f"{name}:{key}" for name in names)

    def _key_of(self, message: object, envelope: Envelope) -> object:
        if self.field is not None:
            return getattr(message, self.field)
        return self.by(message) if callable(self.by) else envelope.correlation_id or envelope.message_id


BY_MESSAGE_ID = Deduplication()


@dataclass(frozen=True)
class DeduplicationRules:
    """Which rule counts for a message at a subscription: the subscription's own, else its type's, else the message id.

    All who meet a duplicate, look for a key or forget a record ask here.
    """

    by_subscription: Mapping[str, Deduplication] = field(default_factory=dict[str, Deduplication])
    by_type: Mapping[str, Deduplication] = field(default_factory=dict[str, Deduplication])
    excluded: frozenset[str] = frozenset()
    """Message types without de-duplication, at subscriptions without a rule of their own."""

    @cached_property
    def by_id_alone(self) -> bool:
        """Whether nothing counts but the message id, at no subscription and for no type."""
        return not self.by_subscription and not self.by_type

    def rule(self, subscription: str, message_type: str) -> Deduplication:
        """The rule that counts."""
        return self.by_subscription.get(subscription) or self.by_type.get(message_type) or BY_MESSAGE_ID

    def is_guarded(self, subscription: str, message_type: str) -> bool:
        """Whether copies by message id are dropped where the type enters the subscription."""
        return subscription in self.by_subscription or message_type not in self.excluded

    def claims(self, message: object, envelope: Envelope, names: Iterable[str]) -> tuple[str, ...]:
        """The keys that the commit of this message has to claim, under all names of its type."""
        if self.by_id_alone:
            return ()
        return self.rule(envelope.channel, envelope.message_type).claims(message, envelope, names)

    def window(self, subscription: str, message_types: Iterable[str], default: timedelta) -> timedelta:
        """How long the records of a subscription are kept: the longest window of what it receives.

        All records of a subscription are forgotten by one horizon.
        """
        rules = [self.rule(subscription, message_type) for message_type in message_types]
        return max((rule.window or default for rule in rules), default=default)

    def reaction(self, subscription: str, message_type: str) -> Reaction:
        """What the rule says about a duplicate, for those who count."""
        found = self.rule(subscription, message_type).on_duplicate
        return "call" if callable(found) else found

    def report(self, subscription: str, message_type: str, message_id: str) -> bool:
        """Do what the rule says about a duplicate; whether it asks to raise DuplicateMessage, which is the caller's."""
        reaction = self.rule(subscription, message_type).on_duplicate
        if reaction == "raise":
            return True
        report_duplicate(reaction, Duplicate(subscription, message_type, message_id))
        return False


def report_duplicate(reaction: object, notice: Duplicate) -> None:
    """Log a duplicate, or tell the callback; a callback that raises is logged and changes nothing."""
    if callable(reaction):
        try:
            reaction(notice)
        except Exception:
            log.exception("on_duplicate of %s raised", notice.subscription)
    elif reaction != "skip":
        log.warning("%s: %s %s is a duplicate", notice.subscription, notice.message_type, notice.message_id)
