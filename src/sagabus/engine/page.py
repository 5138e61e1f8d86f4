"""What one fetch has brought: by lane, how large, and what of it may free others of its key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Protocol

from sagabus.engine.mailbox import Mailbox
from sagabus.envelope import Envelope
from sagabus.outcome import Outcome
from sagabus.refs import LaneLike

_body, _position = attrgetter("body"), attrgetter("position")


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


def by_place(envelopes: Iterable[Envelope]) -> dict[LaneLike, list[Envelope]]:
    """Envelopes by their lane, in their order."""
    found: dict[LaneLike, list[Envelope]] = {}
    channel, lane = "", -1
    same: list[Envelope] = []
    for envelope in envelopes:
        if envelope.lane != lane or envelope.channel != channel:
            channel, lane = envelope.channel, envelope.lane
            same = found.setdefault((channel, lane), [])
        same.append(envelope)
    return found


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
    return bool(envelope.due_at and (envelope.timer is None or envelope.attempt or envelope.failed_at is not None))
