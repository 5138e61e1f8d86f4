"""The way in: what is new is stored, copies are dropped, and what must not run unseen goes to the dead letters."""

from __future__ import annotations

from sagabus.codec import fingerprint
from sagabus.envelope import Cause, DeadLetter, Envelope, accepted_times
from sagabus.outcome import Admission
from sagabus.stores.memory.queue import accepted
from sagabus.stores.memory.tables import InboxRow, Tables
from sagabus.stores.texts import as_held

COLLISION = "id collision: another message with this id was accepted before"
TOO_OLD = "too old: stamped before the de-duplication horizon"

_REASONS = {Admission.COLLISION: (Cause.COLLISION, COLLISION), Admission.TOO_OLD: (Cause.TOO_OLD, TOO_OLD)}


def admit(tables: Tables, envelope: Envelope, now: int) -> Admission:
    """Store one envelope, unless its id was taken before or its stamp is below the horizon."""
    _check_texts(envelope)
    answer = _taken(tables, envelope, now) if envelope.guarded else Admission.ACCEPTED
    if answer is Admission.DUPLICATE:
        return answer
    if (held := as_held(envelope)) is not None:
        _bury(tables, held[0], Cause.DAMAGED, held[1], now)
        return Admission.DAMAGED
    if answer is Admission.ACCEPTED:
        tables.add(envelope, now)
    else:
        _bury(tables, envelope, *_REASONS[answer], now)
    return answer


def _taken(tables: Tables, envelope: Envelope, now: int) -> Admission:
    row = InboxRow(fingerprint(envelope.message_type, envelope.body), accepted_times(envelope, now)[1])
    return take(tables, envelope.channel, envelope.message_id, row, envelope.sent_at)


def _bury(tables: Tables, envelope: Envelope, cause: Cause, reason: str, now: int) -> None:
    letter = DeadLetter(id=0, envelope=accepted(envelope, now), cause=cause, reason=reason, attempts=envelope.attempt)
    tables.bury(letter, now)


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
