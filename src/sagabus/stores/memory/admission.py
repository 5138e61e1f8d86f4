"""The way in: what is new is stored, copies are dropped, and what must not run unseen goes to the dead letters."""

from __future__ import annotations

from sagabus.codec import fingerprint
from sagabus.envelope import Cause, DeadLetter, Envelope, accepted_times
from sagabus.outcome import Admission
from sagabus.stores.memory.queue import accepted
from sagabus.stores.memory.tables import InboxRow, Tables

COLLISION = "id collision: another message with this id was accepted before"
TOO_OLD = "too old: stamped before the de-duplication horizon"

_REASONS = {Admission.COLLISION: (Cause.COLLISION, COLLISION), Admission.TOO_OLD: (Cause.TOO_OLD, TOO_OLD)}


def admit(tables: Tables, envelope: Envelope, now: int) -> Admission:
    """Store one envelope, unless its id was taken before or its stamp is below the horizon."""
    _check_texts(envelope)
    if envelope.guarded:
        row = InboxRow(fingerprint(envelope.message_type, envelope.body), accepted_times(envelope, now)[1])
        answer = take(tables, envelope.channel, envelope.message_id, row, envelope.sent_at)
        if answer in _REASONS:
            cause, reason = _REASONS[answer]
            letter = DeadLetter(
                id=0, envelope=accepted(envelope, now), cause=cause, reason=reason, attempts=envelope.attempt
            )
            tables.bury(letter, now)
        if answer is not Admission.ACCEPTED:
            return answer
    tables.add(envelope, now)
    return Admission.ACCEPTED


def _check_texts(envelope: Envelope) -> None:
    """Python's own error on half a character: a database would not keep it."""
    texts = (envelope.channel, envelope.partition_key, envelope.correlation_id, envelope.causation_id, envelope.timer)
    headers = envelope.headers or {}
    for text in (envelope.message_id, envelope.message_type, *texts, *headers, *headers.values()):
        (text or "").encode()


def take(tables: Tables, channel: str, name: str, row: InboxRow, sent_at: int) -> Admission:
    """Take an id or a claimed key in a channel. The horizon is read last: what it bars leaves no row."""
    if (before := tables.inbox.get((channel, name))) is not None:
        return Admission.DUPLICATE if before.fingerprint == row.fingerprint else Admission.COLLISION
    if tables.is_too_old(channel, sent_at):
        return Admission.TOO_OLD
    tables.take(channel, name, row)
    return Admission.ACCEPTED
