"""What the journal of a store says: one row for each handled message, without its body. A part of the contract in
`store`.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class JournalRow(msgspec.Struct, frozen=True, gc=False):
    """One run of one message that has committed. Instants are microseconds since 1970."""

    correlation_id: str
    """The conversation that the message belongs to: the correlation id, or the message's own id where it has none."""
    subscription: str
    message_id: str
    message_type: str
    key: str | None
    timer: str | None
    """The timer's name, where it was one that fired."""
    causation_id: str | None
    sent_at: int
    attempt: int
    """Which counted run it was, from 1."""
    outcome: str
    """completed, retried, stashed, dead-lettered or discarded."""
    error: str | None
    """Why it did not complete: the type of the error, or else the value of a `Cause`."""
    version: int | None
    """The version of the saga's instance that the run has made, or 0 if it saved none; None where no saga ran."""
    duration: int
    """Microseconds that the run took, without its commit."""
    worker: str
    handled_at: int = 0
    """When it was committed, by the store's clock, which alone sets it."""
    position: int = 0
    """Given by the store: unique in it."""


class JournalMark(NamedTuple):
    """A place in the order of a conversation: by time, then by position."""

    handled_at: int
    position: int


JOURNAL_BEGIN = JournalMark(-1, -1)
"""Before everything."""
