"""How much of a worker's memory something takes, as far as it matters: bytes of messages and of states."""

from __future__ import annotations

from sagabus.envelope import Envelope
from sagabus.outcome import Completed

UNLIMITED = 1 << 62


def size_of(envelope: Envelope) -> int:
    """Bytes of a message, with its headers."""
    headers = envelope.headers
    return len(envelope.body) + (sum(map(len, headers)) + sum(map(len, headers.values())) if headers else 0)


def outcome_size(outcome: Completed) -> int:
    """Bytes that a run leaves to be committed: the state, its row in the history, and what was sent."""
    effects = outcome.effects
    size = 0
    if effects.save is not None:
        size = len(effects.save.state) << effects.save.recorded
    for sent in effects.sent:
        size += len(sent.body)
    return size
