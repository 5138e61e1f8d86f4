"""What is read: due envelopes, instances, and the read-only questions. One statement, one row, one array each."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from sagabus.envelope import DeadLetter, Envelope, Instance
from sagabus.store import ChannelCounts, Cursor, Fetched, Loaded
from sagabus.stores.sqlite import rows
from sagabus.stores.sqlite.driver import Driver

_ROW = f"json_array(position, {rows.ENVELOPE_COLUMNS})"
_NOT_HELD = """NOT EXISTS (SELECT 1 FROM sagabus_held_key AS h WHERE h.channel = e.channel
    AND h.partition_key = e.partition_key AND h.position <> e.position)"""
_READY = f"""
SELECT json_group_array({_ROW}) FROM (
    SELECT d.* FROM json_each(?1) AS cursor CROSS JOIN sagabus_envelope AS d WHERE d.position IN (
        SELECT position FROM sagabus_envelope AS e
        WHERE e.channel = cursor.value ->> 0 AND e.lane = cursor.value ->> 1 AND e.due_at = 0
        AND e.position > cursor.value ->> 2 AND {_NOT_HELD}
        ORDER BY e.position LIMIT ?2)
)
"""
_DUE = f"""
SELECT json_group_array({_ROW}) FROM (
    SELECT d.* FROM json_each(?1) AS cursor CROSS JOIN sagabus_envelope AS d WHERE d.position IN (
        SELECT position FROM sagabus_envelope AS e
        WHERE e.channel = cursor.value ->> 0 AND e.lane = cursor.value ->> 1 AND e.due_at BETWEEN 1 AND ?3
        AND {_NOT_HELD}
        ORDER BY e.due_at, e.position LIMIT ?2)
)
"""
_NEXT = """
SELECT min((SELECT min(due_at) FROM sagabus_envelope WHERE channel = cursor.value ->> 0 AND lane = cursor.value ->> 1
    AND due_at > ?2)) FROM json_each(?1) AS cursor
"""
_INSTANCES = f"""
SELECT json_group_array(json_array({rows.INSTANCE_COLUMNS})) FROM sagabus_instance
WHERE saga = ?1 AND key IN (SELECT value FROM json_each(?2))
"""
_STASH = f"""
SELECT json_group_array({_ROW}) FROM (
    SELECT * FROM sagabus_envelope
    WHERE stashed = 1 AND channel = ?1 AND partition_key IN (SELECT value FROM json_each(?2))
    ORDER BY position)
"""
# By lane, so that timers of the far future are never looked at.
_DUE_AT_ALL = f"""
SELECT EXISTS (SELECT 1 FROM sagabus_lane AS l CROSS JOIN sagabus_envelope AS e
ON e.channel = l.channel AND e.lane = l.lane AND e.due_at <= ?2
WHERE l.channel IN (SELECT value FROM json_each(?1)) AND {_NOT_HELD})
"""
_COUNTS = """
SELECT c.channel,
    count(e.position) FILTER (WHERE e.due_at = 0),
    count(e.position) FILTER (WHERE e.due_at > 0 AND e.attempt = 0 AND e.timer IS NULL AND e.stashed = 0),
    count(e.position) FILTER (WHERE e.timer IS NOT NULL),
    count(e.position) FILTER (WHERE e.attempt > 0 AND e.timer IS NULL AND e.due_at > 0),
    count(e.position) FILTER (WHERE e.stashed = 1),
    (SELECT count(*) FROM sagabus_held_key AS h WHERE h.channel = c.channel),
    (SELECT count(*) FROM sagabus_dead_letter AS d WHERE d.channel = c.channel AND d.status = 'open'),
    coalesce(?1 - min(e.sent_at) FILTER (WHERE e.due_at = 0), 0)
FROM (SELECT channel FROM sagabus_subscription UNION SELECT DISTINCT channel FROM sagabus_envelope
    UNION SELECT channel FROM sagabus_dead_letter WHERE status = 'open') AS c
LEFT JOIN sagabus_envelope AS e ON e.channel = c.channel GROUP BY c.channel ORDER BY c.channel
"""
_LETTERS = f"""
SELECT json_group_array(json_array({rows.LETTER_COLUMNS})) FROM (SELECT * FROM sagabus_dead_letter
WHERE id > ?1 AND (?2 IS NULL OR channel = ?2) AND (?3 IS NULL OR status = ?3) ORDER BY id LIMIT ?4)
"""


def fetch(connection: Driver, cursors: Sequence[Cursor], limit: int, now: int) -> Fetched:
    """Due envelopes of the lanes and the time until the next one."""
    lanes = rows.parameter([(cursor.channel, cursor.lane, cursor.after) for cursor in cursors])
    found = rows.decode_envelopes(connection.execute(_READY, (lanes, limit)).get)
    found += rows.decode_envelopes(connection.execute(_DUE, (lanes, limit, now)).get)
    upcoming: int | None = connection.execute(_NEXT, (lanes, now)).get
    found.sort(key=itemgetter(0))
    return Fetched(tuple(map(rows.envelope_of, found)), None if upcoming is None else upcoming - now)


def load(connection: Driver, saga: str, keys: Sequence[str]) -> list[Loaded]:
    """Instances and stashed messages by key, in the order asked."""
    asked = rows.parameter(keys)
    found = map(rows.instance_of, rows.decode_instances(connection.execute(_INSTANCES, (saga, asked)).get))
    instances = {instance.key: instance for instance in found}
    stashed: dict[str | None, list[Envelope]] = {}
    for row in rows.decode_envelopes(connection.execute(_STASH, (saga, asked)).get):
        stashed.setdefault(row[6], []).append(rows.envelope_of(row))
    return [Loaded(key, instances.get(key), tuple(stashed.get(key, ()))) for key in keys]


def due(connection: Driver, channels: Sequence[str], now: int) -> bool:
    """Whether anything could run now."""
    return bool(connection.execute(_DUE_AT_ALL, (rows.parameter(channels), now)).get)


def counts(connection: Driver, now: int) -> list[ChannelCounts]:
    """How much waits in each channel."""
    return [ChannelCounts(*row) for row in connection.execute(_COUNTS, (now,))]


def instances(connection: Driver, saga: str, status: str | None, after: str, limit: int) -> list[Instance]:
    """A page of a saga's instances by key."""
    sql = f"""SELECT json_group_array(json_array({rows.INSTANCE_COLUMNS})) FROM (SELECT * FROM sagabus_instance
    WHERE saga = ?1 AND key > ?2 AND (?3 IS NULL OR status = ?3) ORDER BY key LIMIT ?4)"""
    return list(map(rows.instance_of, rows.decode_instances(connection.execute(sql, (saga, after, status, limit)).get)))


def envelopes(connection: Driver, channel: str, key: str | None, limit: int, *, timers: bool = False) -> list[Envelope]:
    """A page of a channel's envelopes by position."""
    sql = f"""SELECT json_group_array({_ROW}) FROM (SELECT * FROM sagabus_envelope
    WHERE channel = ?1 AND (?2 IS NULL OR partition_key = ?2) AND (NOT ?4 OR timer IS NOT NULL)
    ORDER BY position LIMIT ?3)"""
    return list(
        map(rows.envelope_of, rows.decode_envelopes(connection.execute(sql, (channel, key, limit, timers)).get))
    )


def dead_letters(
    connection: Driver, channel: str | None, status: str | None, after: int, limit: int
) -> list[DeadLetter]:
    """A page of dead letters by id."""
    found = connection.execute(_LETTERS, (after, channel, status, limit)).get
    return list(map(rows.letter_of, rows.decode_letters(found)))


def dead_letter(connection: Driver, letter: int) -> DeadLetter | None:
    """One dead letter."""
    found = dead_letters(connection, None, None, letter - 1, 1)
    return found[0] if found and found[0].id == letter else None
