"""What one fetch has brought: by lane, how large, and what of it may free others of its key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Protocol

from sagabus.engine.mailbox import Mailbox, gives_way
from sagabus.envelope import Envelope
from sagabus.outcome import Outcome

_body, _position, _due_at = attrgetter("body"), attrgetter("position"), attrgetter("due_at")


class HasRun(Protocol):
    """A message that was in flight, with the mailbox that it was in."""

    @property
    def mailbox(self) -> Mailbox:
        """Where it was."""
        ...

    @property
    def outcome(self) -> Outcome:
        """What became of it."""
        ...


def last_at_once(envelopes: Sequence[Envelope]) -> int:
    """The position of the last of one lane that was due at once; 0 without any."""
    return next((each.position for each in reversed(envelopes) if not each.due_at), 0)


def positions(envelopes: Iterable[Envelope]) -> Iterable[int]:
    """Of each."""
    return map(_position, envelopes)


def largest_body(envelopes: Iterable[Envelope]) -> int:
    """The bytes of the largest."""
    return max(map(len, map(_body, envelopes)))


def may_have_held(envelope: Envelope) -> bool:
    """Whether others of its key may have been held back for it: it was tried before, or replayed, or scheduled."""
    return bool(envelope.due_at and not gives_way(envelope))


def timers_last(envelopes: Sequence[Envelope], limit: int) -> Sequence[Envelope]:
    """What a fetch of one lane gave, its timers behind the messages.

    If the lane may have more messages that are due at once, some of those may be older than the due time of a timer.
    Such a timer is left out, and comes again. It is not, as soon as the lane gives a message that was sent after it was
    due.
    """
    if not any(map(_due_at, envelopes)):
        return envelopes
    timers = [each for each in envelopes if gives_way(each)]
    if not timers:
        return envelopes
    others = [each for each in envelopes if not gives_way(each)]
    sent = [each.sent_at for each in others if not each.due_at]
    if len(sent) >= limit:
        latest = max(sent)
        timers = [each for each in timers if each.due_at < latest]
    return [*others, *timers]
