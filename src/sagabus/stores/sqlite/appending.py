"""The way in: envelopes become rows, copies by message id are dropped, everything in the caller's open transaction."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sagabus.envelope import Envelope
from sagabus.failpoint import hit
from sagabus.outcome import Admission, Failure
from sagabus.stores.sqlite import rows
from sagabus.stores.sqlite.driver import Statements

COLLISION = "id collision: another message with this id was accepted before"
TOO_OLD = "too old: stamped before the de-duplication horizon"

INSERT = rows.Values(
    16, f"INSERT INTO sagabus_envelope ({rows.ENVELOPE_COLUMNS}) SELECT * FROM {{rows}} WHERE column1 IS NOT NULL"
)
_CANCEL = """
DELETE FROM sagabus_envelope WHERE timer IS NOT NULL
AND (channel, partition_key, timer) IN (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1))
"""
_LET_LOOSE = """
DELETE FROM sagabus_held_key WHERE position > 0
AND (channel, partition_key) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))
AND NOT EXISTS (SELECT 1 FROM sagabus_envelope AS e WHERE e.position = sagabus_held_key.position)
"""
_KNOWN = """
SELECT json_group_array(json_array(i.channel, i.message_id, i.fingerprint)) FROM json_each(?1) AS asked
CROSS JOIN sagabus_inbox AS i ON i.channel = asked.value ->> 0 AND i.message_id = asked.value ->> 1
"""
REMEMBER = rows.Values(
    4,
    "INSERT INTO sagabus_inbox (channel, message_id, fingerprint, stamp) "
    "SELECT * FROM {rows} WHERE column1 IS NOT NULL",
)
_BURY = """
INSERT INTO sagabus_dead_letter (channel, message_id, fingerprint, status, envelope, body, reason, error_type,
    error_text, traceback, attempts, first_failed_at, last_failed_at, parked)
VALUES (?1, ?2, ?3, 'open', ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
ON CONFLICT (channel, message_id, fingerprint) DO UPDATE SET status = 'open', envelope = excluded.envelope,
    reason = excluded.reason, error_type = excluded.error_type, error_text = excluded.error_text,
    traceback = excluded.traceback, attempts = excluded.attempts, first_failed_at = excluded.first_failed_at,
    last_failed_at = excluded.last_failed_at, parked = excluded.parked
"""

_decode_known = msgspec.json.Decoder(list[tuple[str, str, str]]).decode
_decode_horizons = msgspec.json.Decoder(dict[str, int]).decode


def append(connection: Statements, envelopes: Sequence[Envelope], now: int) -> list[Admission]:
    """Accept envelopes; one answer for each. The dead letters of refused ones are part of the same transaction."""
    answers = [Admission.ACCEPTED] * len(envelopes)
    if any(envelope.guarded for envelope in envelopes):
        _admit(connection, envelopes, answers, now)
    insert(connection, [e for e, answer in zip(envelopes, answers, strict=True) if answer is Admission.ACCEPTED], now)
    return answers


def append_at(connection: Statements, envelopes: Sequence[Envelope], routing: int, now: int) -> list[Admission] | None:
    """As `append`, unless the routing has changed since the envelopes were addressed: then None, nothing is done."""
    current: int = connection.execute("SELECT value FROM sagabus_meta WHERE name = 'routing'").get
    hit("append.begun")
    answers = append(connection, envelopes, now) if current == routing else None
    hit("append.before_commit")
    return answers


def insert(connection: Statements, envelopes: Sequence[Envelope], now: int) -> None:
    """Store envelopes in order, timers in place of those they replace; no questions asked."""
    if not envelopes:
        return
    timers: dict[tuple[str, str | None, str], Envelope] = {}
    taken: list[tuple[object, ...]] = []
    for envelope in envelopes:
        if envelope.timer is not None:
            timers[(envelope.channel, envelope.partition_key, envelope.timer)] = envelope
        else:
            taken.append(_scheduled(envelope, now))
    if timers:
        cancel_timers(connection, list(timers))
        taken.extend(_scheduled(envelope, now) for envelope in timers.values())
    INSERT.execute(connection, taken)
    hit("append.envelopes_written")


def cancel_timers(connection: Statements, places: Sequence[tuple[str, str | None, str]]) -> None:
    """Remove timers by channel, key and name; a key that one of them held back goes on."""
    connection.execute(_CANCEL, (rows.parameter(places),))
    if connection.changes():
        let_loose(connection, [place[:2] for place in places])


def let_loose(connection: Statements, keys: Sequence[tuple[str, str | None]]) -> None:
    """Drop holds of these (channel, key) whose envelope is no longer there."""
    connection.execute(_LET_LOOSE, (rows.parameter(keys),))


def _scheduled(envelope: Envelope, now: int) -> tuple[object, ...]:
    return rows.envelope_row(envelope, *_times(envelope, now))


def _times(envelope: Envelope, now: int) -> tuple[int, int]:
    """Due time and send stamp: what is scheduled counts as sent when due, or its record would expire before that."""
    due_at = now + envelope.delay if envelope.delay > 0 else envelope.due_at
    return due_at, max(envelope.sent_at, due_at)


def bury(
    connection: Statements,
    envelope: Envelope,
    reason: str,
    now: int,
    failure: Failure | None = None,
    *,
    parked: bool = False,
) -> None:
    """Hold an envelope in the dead letters; the same message a second time reopens its letter."""
    connection.execute(
        _BURY,
        (
            envelope.channel,
            envelope.message_id,
            rows.fingerprint(envelope),
            rows.stored(envelope),
            rows.body_text(envelope),
            reason,
            failure.error_type if failure else None,
            failure.text if failure else None,
            failure.traceback if failure else None,
            envelope.attempt + 1 if failure else envelope.attempt,
            envelope.failed_at or now,
            now,
            1 if parked else 0,
        ),
    )
    hit("dead_letter.written")


def recorded(connection: Statements, asked: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The fingerprints recorded under those of the (channel, id) that were accepted before."""
    found = _decode_known(connection.execute(_KNOWN, (rows.parameter(asked),)).get)
    return {(channel, message_id): print_ for channel, message_id, print_ in found}


def horizons(connection: Statements) -> dict[str, int]:
    """The de-duplication horizon of each channel that has one."""
    found = connection.execute("SELECT json_group_object(channel, stamp) FROM sagabus_horizon").get
    return _decode_horizons(found)


def _admit(connection: Statements, envelopes: Sequence[Envelope], answers: list[Admission], now: int) -> None:
    known = recorded(connection, [(e.channel, e.message_id) for e in envelopes if e.guarded])
    lowest = horizons(connection)
    fresh: list[tuple[object, ...]] = []
    for index, envelope in enumerate(envelopes):
        if not envelope.guarded:
            continue
        answer = answers[index] = _answer(envelope, known, lowest, fresh, now)
        if answer is Admission.COLLISION:
            bury(connection, envelope, COLLISION, now)
        elif answer is Admission.TOO_OLD:
            bury(connection, envelope, TOO_OLD, now)
    if fresh:
        REMEMBER.execute(connection, fresh)
        hit("append.inbox_written")


def _answer(
    envelope: Envelope,
    known: dict[tuple[str, str], str],
    lowest: dict[str, int],
    fresh: list[tuple[object, ...]],
    now: int,
) -> Admission:
    place = (envelope.channel, envelope.message_id)
    mine = rows.fingerprint(envelope)
    before = known.get(place)
    if before is not None:
        return Admission.DUPLICATE if before == mine else Admission.COLLISION
    if envelope.sent_at < lowest.get(envelope.channel, 0):
        return Admission.TOO_OLD
    known[place] = mine
    fresh.append((*place, mine, _times(envelope, now)[1]))
    return Admission.ACCEPTED
