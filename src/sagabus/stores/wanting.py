"""Which envelopes a look is for, and in which order they come: what needs no database."""

from __future__ import annotations

from sagabus.envelope import Envelope
from sagabus.store.survey import Mark, Wanted


def conversation_of(envelope: Envelope) -> str:
    """Its correlation id, or its own id where it begins a conversation."""
    return envelope.correlation_id or envelope.message_id


def mark_of(envelope: Envelope) -> Mark:
    """Its place in the order in which envelopes become due."""
    return Mark(envelope.due_at, envelope.position)


def is_in_time(envelope: Envelope, wanted: Wanted) -> bool:
    """Whether it is due before a look ends."""
    return wanted.due_before is None or envelope.due_at < wanted.due_before


def is_wanted(envelope: Envelope, reason: str, wanted: Wanted) -> bool:
    """Whether an envelope that waits for that reason is wanted."""
    pairs = (
        (wanted.why, reason),
        (wanted.key, envelope.partition_key),
        (wanted.message_type, envelope.message_type),
        (wanted.correlation_id, conversation_of(envelope)),
    )
    if any(asked is not None and asked != there for asked, there in pairs):
        return False
    if wanted.timers and envelope.timer is None:
        return False
    if not is_in_time(envelope, wanted):
        return False
    since, until = wanted.since, wanted.until
    return (since is None or envelope.sent_at >= since) and (until is None or envelope.sent_at < until)
