"""Dead letters put back or closed, and what is old forgotten: the operator's and the housekeeper's writes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sagabus.envelope import DeadLetter
from sagabus.failpoint import hit
from sagabus.store import Purged, ReplayResult, Retention
from sagabus.stores.sqlite import appending, reading, rows
from sagabus.stores.sqlite.driver import Driver

_CLOSE = "UPDATE sagabus_dead_letter SET status = ?2, closed_at = ?3 WHERE id = ?1 AND status = 'open'"
# Unless another letter of the key is parked as well.
_UNPARK = """
DELETE FROM sagabus_held_key WHERE channel = ?1 AND partition_key = ?2 AND NOT EXISTS (
    SELECT 1 FROM sagabus_dead_letter WHERE channel = ?1 AND status = 'open' AND parked = 1
    AND json_extract(envelope, '$[4]') = ?2)
"""
_TIMER_SET = """
SELECT EXISTS (SELECT 1 FROM sagabus_envelope
WHERE timer IS NOT NULL AND channel = ? AND partition_key = ? AND timer = ?)
"""
_RECORD = "SELECT fingerprint FROM sagabus_inbox WHERE channel = ? AND message_id = ?"


def replay(connection: Driver, letter_id: int, now: int, *, force: bool) -> ReplayResult:
    """One more delivery of the same id, unless its effect is known to be there, or cannot be known not to be."""
    letter = reading.dead_letter(connection, letter_id)
    if letter is None:
        return ReplayResult.NOT_FOUND
    if letter.status != "open":
        return ReplayResult.ALREADY_DONE
    refusal = _refusal(connection, letter)
    if refusal is ReplayResult.ALREADY_DONE:
        connection.execute(_CLOSE, (letter_id, "replayed", now))
    if refusal is ReplayResult.ALREADY_DONE or (refusal is not None and not force):
        return refusal
    connection.execute(_CLOSE, (letter_id, "replayed", now))
    hit("replay.closed")
    _put_back(connection, letter)
    hit("replay.put_back")
    return ReplayResult.DONE


def discard(connection: Driver, letter_id: int, now: int) -> ReplayResult:
    """Close a dead letter for good."""
    letter = reading.dead_letter(connection, letter_id)
    if letter is None:
        return ReplayResult.NOT_FOUND
    if letter.status != "open":
        return ReplayResult.ALREADY_DONE
    connection.execute(_CLOSE, (letter_id, "discarded", now))
    if letter.parked:
        connection.execute(
            _UNPARK,
            (letter.envelope.channel, letter.envelope.partition_key),
        )
    return ReplayResult.DONE


def _refusal(connection: Driver, letter: DeadLetter) -> ReplayResult | None:
    envelope = letter.envelope
    place = (envelope.channel, envelope.message_id)
    recorded = connection.execute(_RECORD, place).get
    if letter.reason.startswith("id collision") and recorded is not None:
        return ReplayResult.COLLISION
    if letter.reason.startswith("too old") and recorded == rows.fingerprint(envelope):
        return ReplayResult.ALREADY_DONE
    if (
        envelope.timer is not None
        and connection.execute(_TIMER_SET, (envelope.channel, envelope.partition_key, envelope.timer)).get
    ):
        return ReplayResult.ALREADY_DONE  # a newer setting of the timer has taken its place
    lowest = appending.horizons(connection).get(envelope.channel, 0)
    return ReplayResult.TOO_OLD if envelope.sent_at < lowest else None


def _put_back(connection: Driver, letter: DeadLetter) -> None:
    # Due by schedule, as a retry is: a key that waits for it is let go when it has been settled.
    envelope = msgspec.structs.replace(letter.envelope, attempt=0, failed_at=None, due_at=1, stashed=False)
    stamp = letter.envelope.sent_at
    appending.INSERT.execute(connection, [rows.envelope_row(envelope, 1, stamp)])
    if letter.parked:
        connection.execute(
            "UPDATE sagabus_held_key SET position = ? WHERE channel = ? AND partition_key = ?",
            (connection.last_insert_rowid(), envelope.channel, envelope.partition_key),
        )


def purge(connection: Driver, retention: Sequence[Retention], limit: int, now: int) -> Purged:
    """Bounded forgetting; where a record goes, the horizon rises above it in the same transaction."""
    inbox = instances = letters = 0
    more = False
    for kept in retention:
        cutoff = now - kept.window
        gone, unfinished = _purge_inbox(connection, kept.channel, cutoff, limit)
        tombstones = _purge_rows(connection, _TOMBSTONES, kept.channel, cutoff, limit)
        closed = _purge_rows(connection, _CLOSED, kept.channel, cutoff, limit)
        inbox, instances, letters = inbox + gone, instances + tombstones, letters + closed
        more = more or unfinished or limit in (tombstones, closed)
    hit("purge.before_commit")
    return Purged(inbox, instances, letters, more)


_TOMBSTONES = """
DELETE FROM sagabus_instance WHERE (saga, key) IN (SELECT saga, key FROM sagabus_instance
WHERE saga = ?1 AND completed_at IS NOT NULL AND completed_at < ?2 ORDER BY completed_at LIMIT ?3)
"""
_CLOSED = """
DELETE FROM sagabus_dead_letter WHERE id IN (SELECT id FROM sagabus_dead_letter
WHERE channel = ?1 AND status <> 'open' AND closed_at < ?2 ORDER BY closed_at LIMIT ?3)
"""
_EXPIRED = "SELECT stamp FROM sagabus_inbox WHERE channel = ?1 AND stamp < ?2 ORDER BY stamp LIMIT 1 OFFSET ?3"
_RISE = """
INSERT INTO sagabus_horizon (channel, stamp) VALUES (?1, ?2)
ON CONFLICT (channel) DO UPDATE SET stamp = max(stamp, excluded.stamp)
"""


def _purge_inbox(connection: Driver, channel: str, cutoff: int, limit: int) -> tuple[int, bool]:
    last: int | None = connection.execute(_EXPIRED, (channel, cutoff, limit - 1)).get
    horizon = cutoff if last is None else last + 1
    hit("purge.selected")
    connection.execute(_RISE, (channel, horizon))
    hit("purge.horizon_risen")
    connection.execute("DELETE FROM sagabus_inbox WHERE channel = ?1 AND stamp < ?2", (channel, horizon))
    gone = connection.changes()
    hit("purge.deleted")
    return gone, last is not None


def _purge_rows(connection: Driver, sql: str, channel: str, cutoff: int, limit: int) -> int:
    connection.execute(sql, (channel, cutoff, limit))
    return connection.changes()
