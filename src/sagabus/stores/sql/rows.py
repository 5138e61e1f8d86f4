"""Rows to values and back: the shapes that every SQL store keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

import msgspec

from sagabus import codec
from sagabus.envelope import Cause, DeadLetter, Envelope, Instance, Recorded
from sagabus.outcome import Save
from sagabus.store import JournalRow
from sagabus.store.erasing import Subject
from sagabus.stores.erasing import mentions
from sagabus.stores.sql.damage import DamagedRow, readable, what_is_wrong
from sagabus.stores.sql.steps import Row
from sagabus.stores.texts import body_text, kept

_encode = msgspec.json.Encoder().encode

ENVELOPE_COLUMNS = (
    "channel, lane, due_at, message_id, message_type, partition_key, body, headers, correlation_id, causation_id, "
    "sent_at, attempt, failed_at, timer, stashed, hops"
)
"""Written when an envelope is stored."""
STORED_COLUMNS = f"{ENVELOPE_COLUMNS}, deaths, excused"
"""Read of a stored envelope: what every message begins with is left to the column's default."""
INSTANCE_COLUMNS = "saga, key, version, state, status, timers, completed_at, created_at, updated_at, shape"
INSTANCE_WIDTH = INSTANCE_COLUMNS.count(",") + 1
HISTORY_COLUMNS = "saga, key, version, committed_at, message_id, message_type, timer, status, completed, state, shape"
JOURNAL_COLUMNS = (
    "correlation_id, subscription, message_id, message_type, key, timer, causation_id, sent_at, attempt, outcome, "
    "error, version, duration, worker, handled_at"
)
AUDIT_COLUMNS = "made_at, made_by, verb, channel, target, reason, was, became"
LETTER_COLUMNS = (
    "id, envelope, body, reason, error_type, error_text, traceback, attempts, first_failed_at, last_failed_at, "
    "parked, status, cause"
)
LETTER_HEADS = LETTER_COLUMNS.replace("body", "'' AS body").replace("traceback", "NULL AS traceback")
"""The same without what is long."""
LETTER_PAGES = {"letter_page": LETTER_COLUMNS, "letter_heads": LETTER_HEADS}
"""What a page of dead letters gives, by the name of its statement."""
LETTER_CHOICE = """WHERE id > ?1 AND id < ?2 AND ({channel} IS NULL OR channel = {channel})
    AND ({since} IS NULL OR last_failed_at >= {since}) AND ({until} IS NULL OR last_failed_at < {until})"""
"""Which letters a page is for. The parameters are those of `reading.dead_letters`."""

_decode_texts: Callable[[str], dict[str, str]] = msgspec.json.Decoder(dict[str, str]).decode


def envelope_row(envelope: Envelope, due_at: int, sent_at: int) -> tuple[object, ...]:
    """An envelope in the order of ENVELOPE_COLUMNS; RawBody before anything is written."""
    return _row(envelope, body_text(envelope.body), due_at, sent_at)


def plain_row(envelope: Envelope, text: str) -> tuple[object, ...]:
    """The same of one that is due at once, and whose body is known as text."""
    return _row(envelope, text, 0, envelope.sent_at)


def _row(envelope: Envelope, text: str, due_at: int, sent_at: int) -> tuple[object, ...]:
    return (
        envelope.channel,
        envelope.lane,
        due_at,
        envelope.message_id,
        envelope.message_type,
        envelope.partition_key,
        text,
        _encode(envelope.headers).decode() if envelope.headers else None,
        envelope.correlation_id,
        envelope.causation_id,
        sent_at,
        envelope.attempt,
        envelope.failed_at,
        envelope.timer,
        1 if envelope.stashed else 0,
        envelope.hops,
    )


def headers_text(envelope: Envelope) -> str | None:
    """The headers as they are stored."""
    return _encode(envelope.headers).decode() if envelope.headers else None


def headers_of(text: str | None) -> dict[str, str] | None:
    """The headers of a stored text; DecodeError where it has none."""
    return _decode_texts(text) if text else None


@overload
def storable(text: str) -> str: ...
@overload
def storable(text: None) -> None: ...
@overload
def storable(text: str | None) -> str | None: ...
def storable(text: str | None) -> str | None:
    """A foreign text, such as that of an error, in a form that every database can keep."""
    return None if text is None else text.replace("\0", "\ufffd").encode(errors="replace").decode()


def envelope_of(row: Row) -> Envelope:
    """The envelope of a row of `position` and STORED_COLUMNS; of one that is damaged, what there is."""
    if type(row) is DamagedRow:
        return _damaged_envelope(row)
    # By position, and without stars: on the way of every message, naming the fields would cost more than all else here.
    # fmt: off
    (position, channel, lane, due_at, message_id, kind, key, body, texts, conversation, cause, sent_at,
     attempt, failed_at, timer, stashed, hops, deaths, excused) = row
    headers = None
    if texts:
        try:
            headers = _decode_texts(texts)
        except msgspec.DecodeError:
            return _damaged_envelope(row)
    return Envelope(
        message_id, kind, body.encode(), channel, lane, key, headers, conversation, cause, sent_at, due_at, 0,
        attempt, excused, deaths, failed_at, timer, stashed != 0, hops, False, position,
    )
    # fmt: on


def _damaged_envelope(row: Row) -> Envelope:
    values: dict[str, Any] = dict(zip(("position", *STORED_COLUMNS.split(", ")), row, strict=True))
    damage = what_is_wrong(values, {"headers": (_decode_texts, "a JSON object of texts")})
    lost = {name: value for name, value in values.items() if isinstance(value, bytes)}
    fields: dict[str, Any] = {name: readable(value) for name, value in values.items()}
    body = kept({"body": values["body"], "headers": values["headers"], **lost})
    fields.update(body=body, headers=None, stashed=bool(fields["stashed"]), damage=damage)
    return Envelope(**fields)


def instance_of(row: Row) -> Instance:
    """The instance of a row of INSTANCE_COLUMNS; of one that is damaged, what there is."""
    if type(row) is DamagedRow:
        return _damaged_instance(row)
    try:
        timers = _decode_texts(row[5]) if row[5] else {}
    except msgspec.DecodeError:
        return _damaged_instance(row)
    return Instance(
        saga=row[0],
        key=row[1],
        version=row[2],
        state=row[3].encode(),
        status=row[4],
        timers=timers,
        completed=row[6] is not None,
        created_at=row[7],
        updated_at=row[8],
        shape=_shape_of(row[9], row[2]),
    )


def _damaged_instance(row: Row) -> Instance:
    values: dict[str, Any] = dict(zip(INSTANCE_COLUMNS.split(", "), row, strict=False))  # on MySQL, more stands behind
    fields = {
        name: readable(value) for name, value in values.items() if name not in ("completed_at", "timers", "shape")
    }
    fields["state"] = kept({name: values[name] for name in ("state", "timers")})
    damage = what_is_wrong(values, {"timers": (_decode_texts, "a JSON object of texts")})
    return Instance(**fields, completed=values["completed_at"] is not None, damage=damage)


def shape_text(save: Save) -> str | None:
    """The shape of an instance as it is stored: with the version that it is of. A worker of an older release writes the
    next version and leaves the shape as it was.
    """
    return None if save.shape is None else f"{save.version} {save.shape}"


def _shape_of(text: str | None, version: int) -> str | None:
    if text is None:
        return None
    written, _, shape = text.partition(" ")
    return shape if written == str(version) else None


def recorded_of(row: Row) -> Recorded:
    """The transition of a row of `position` and HISTORY_COLUMNS."""
    return Recorded(
        position=row[0],
        saga=row[1],
        key=row[2],
        version=row[3],
        at=row[4],
        message_id=row[5],
        message_type=row[6],
        timer=row[7],
        status=row[8],
        completed=bool(row[9]),
        state=row[10].encode() if isinstance(row[10], str) else kept({"state": row[10]}),
        shape=row[11],
    )


def journal_row(row: JournalRow, now: int) -> tuple[object, ...]:
    """A row of JOURNAL_COLUMNS."""
    return (*msgspec.structs.astuple(row)[:-2], now)


def journalled(row: Row) -> JournalRow:
    """What a row of JOURNAL_COLUMNS and `position` says; of texts that are damaged, what can be read."""
    return JournalRow(*map(readable, row))


class StoredEnvelope(msgspec.Struct, frozen=True, array_like=True):
    """An envelope inside a dead letter, without its body, which has its own column as text."""

    channel: str
    lane: int
    message_id: str
    message_type: str
    partition_key: str | None
    headers: dict[str, str] | None
    correlation_id: str | None
    causation_id: str | None
    sent_at: int
    attempt: int
    failed_at: int | None
    timer: str | None
    hops: int
    deaths: int | None = None
    """Missing where an older release wrote the letter: then its cause is of an earlier letter of the same message."""


_FIELDS = [name for name in StoredEnvelope.__struct_fields__ if name != "deaths"]
_decode_stored = msgspec.json.Decoder(StoredEnvelope).decode


def stored(envelope: Envelope) -> str:
    """An envelope as a dead letter keeps it."""
    names = StoredEnvelope.__struct_fields__
    return _encode([getattr(envelope, name) for name in names]).decode()


def json_of(key: str) -> str:
    """A key as it is written in the letters of its messages."""
    return _encode(key).decode()


def key_in_letter(text: str | bytes) -> str | None:
    """The key of an envelope as a dead letter keeps it; None for one that is damaged."""
    try:
        return _decode_stored(text).partition_key
    except ValueError:  # no UTF-8, or no JSON
        return None


def is_letter_of(text: str | bytes, subject: Subject) -> bool:
    """Whether a letter, whose envelope has the text of the subject in it, is of the subject. Of one that is damaged,
    this is all that can be known.
    """
    try:
        envelope = _decode_stored(text)
    except ValueError:
        return mentions(text, subject)
    return subject.owns(envelope.partition_key, envelope.correlation_id, envelope.message_id)


def letter_of(row: Row) -> DeadLetter:
    """The dead letter of a row of LETTER_COLUMNS."""
    if type(row) is DamagedRow:
        return _damaged_letter(row)
    try:
        envelope = _decode_stored(row[1])
    except msgspec.DecodeError:
        return _damaged_letter(row)
    fields = {name: getattr(envelope, name) for name in _FIELDS}
    return DeadLetter(
        id=row[0],
        envelope=Envelope(**fields, deaths=envelope.deaths or 0, body=row[2].encode()),
        reason=row[3],
        cause=Cause.of(None if envelope.deaths is None else row[12], row[3]),
        error_type=row[4],
        error_text=row[5],
        traceback=row[6],
        attempts=row[7],
        first_failed_at=row[8],
        last_failed_at=row[9],
        parked=bool(row[10]) and row[11] == "open",
        status=row[11],
    )


def _damaged_letter(row: Row) -> DeadLetter:
    values: dict[str, Any] = dict(zip(LETTER_COLUMNS.split(", "), row, strict=True))
    damage = what_is_wrong(values, {"envelope": (_decode_stored, "an envelope")})
    lost = {name: value for name, value in values.items() if isinstance(value, bytes)}
    body = kept({"envelope": values["envelope"], "body": values["body"], **lost})
    envelope = Envelope(message_id="", message_type="", body=body, damage=damage)
    fields: dict[str, Any] = {
        name: readable(value) for name, value in values.items() if name not in ("envelope", "body")
    }
    fields.update(cause=Cause.DAMAGED, parked=bool(values["parked"]))
    return DeadLetter(**fields, envelope=envelope)


def fingerprint(envelope: Envelope) -> str:
    """What tells two messages with one id apart, as it is stored."""
    return codec.fingerprint(envelope.message_type, envelope.body).hex()
