"""The named statements of the shared logic, in the words of PostgreSQL.

A queue table's statistics are always wrong, and a plan made while it was empty is kept, so no statement leaves its
index to the planner's mood: rows are found by `= ANY (array)` on a key of one column, by LATERAL look-ups one by one
(LIMIT 1 or OFFSET 0 keeps them from being turned into a join), by scalar sub-selects, or by comparing whole index keys.
"""

from __future__ import annotations

from sagabus.stores.sql import rows
from sagabus.stores.sql.dialect import KEYS, Statement

NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
ENVELOPE = (
    "channel text, lane int, due_at bigint, message_id text, message_type text, partition_key text, body text, "
    "headers text, correlation_id text, causation_id text, sent_at bigint, attempt int, failed_at bigint, timer text, "
    "stashed int, hops int"
)
INSTANCE = (
    "saga text, key text, version bigint, read_version bigint, state text, status text, timers text, "
    "completed_at bigint, created_at bigint, updated_at bigint"
)
_INSTANCE_NAMES = ", ".join(column.split()[0] for column in INSTANCE.split(", "))
_PLACE = "channel text, partition_key text"
_POSITIONS = "ANY (ARRAY(SELECT p::bigint FROM json_array_elements_text(?1::json) AS p))"
_NOT_HELD = """(SELECT h.position FROM {held_key} AS h WHERE h.channel = e.channel
    AND h.partition_key = e.partition_key AND h.position <> e.position LIMIT 1) IS NULL"""


def of_lane(lane: str, after: str, until: str, take: str, limit: str) -> str:
    """What stands in a lane after a (due, position) and until a due time, in this order, which only one index gives."""
    channel, number = lane.split(", ")
    return f"""(SELECT {take} FROM {{envelope}} AS e WHERE e.channel = {channel} AND e.lane = {number}
    AND (e.due_at, e.position) > ({after}) AND e.due_at <= {until} AND {_NOT_HELD}
    ORDER BY e.due_at, e.position {limit})"""


def recordset(parameter: str, columns: str) -> str:
    """The set of rows that a parameter holds, as `packed` writes it, under the names of its columns."""
    pairs = [column.split() for column in columns.split(", ")]
    names = ", ".join(f"{key} AS {name}" for key, (name, _) in zip(KEYS, pairs, strict=False))
    types = ", ".join(f"{key} {kind}" for key, (_, kind) in zip(KEYS, pairs, strict=False))
    return f"(SELECT {names} FROM json_to_recordset({parameter}::json) AS given({types}))"


def upsert(given: str) -> str:
    """Save instances over the versions that were read; what is not there any more is not made anew."""
    return f"""
INSERT INTO {{instance}} AS i ({_INSTANCE_NAMES}) SELECT r.* FROM {given} AS r
CROSS JOIN LATERAL (SELECT 1 FROM {{instance}} AS o WHERE o.saga = r.saga AND o.key = r.key LIMIT 1) AS o
ON CONFLICT (saga, key) DO UPDATE SET version = excluded.version, read_version = excluded.read_version,
    state = excluded.state, status = excluded.status, timers = excluded.timers, completed_at = excluded.completed_at,
    updated_at = excluded.updated_at
WHERE i.version = excluded.read_version"""


def create(given: str) -> str:
    """Make instances that are not there yet."""
    return f"""
INSERT INTO {{instance}} ({_INSTANCE_NAMES}) SELECT {_INSTANCE_NAMES} FROM {given} AS r
ON CONFLICT (saga, key) DO NOTHING"""


def _timers_of(condition: str) -> str:
    return f"""ANY (ARRAY(SELECT found.position FROM {{rows}} CROSS JOIN LATERAL (
    SELECT e.position FROM {{envelope}} AS e WHERE e.timer IS NOT NULL AND e.channel = r.channel
    AND e.partition_key = r.partition_key {condition} OFFSET 0) AS found))"""


_RECORDS = recordset("?1", INSTANCE)

_TRANSACTION = {
    "savepoint": Statement("SAVEPOINT sagabus_outcomes"),
    "rollback_to_savepoint": Statement("ROLLBACK TO SAVEPOINT sagabus_outcomes"),
    "release_savepoint": Statement("RELEASE SAVEPOINT sagabus_outcomes"),
}

_SETTLING = {
    # The lock makes registrations wait for who has routed by what they change, and the other way round.
    "head": Statement(
        """
SELECT m.value, held.channel, held.lane, held.epoch
FROM (SELECT value FROM {meta} WHERE name = 'routing' FOR SHARE) AS m
LEFT JOIN (SELECT l.channel, l.lane, l.epoch FROM {rows} CROSS JOIN LATERAL (
    SELECT * FROM {lane} AS l WHERE l.channel = r.channel AND l.lane = r.lane LIMIT 1) AS l) AS held ON true
""",
        "channel text, lane int",
        gives=True,
    ),
    "is_stored": Statement("SELECT count(*) FROM {envelope} WHERE position = ?1", gives=True),
    "any_held": Statement("SELECT EXISTS (SELECT 1 FROM {held_key})::int", gives=True),
    "remove": Statement(f"DELETE FROM {{envelope}} WHERE position = {_POSITIONS}", "position bigint"),
    "create_instances": Statement(create(_RECORDS), INSTANCE),
    "change_instances": Statement(upsert(_RECORDS), INSTANCE),
    "cancel_all_timers": Statement(f"DELETE FROM {{envelope}} WHERE position = {_timers_of('')}", _PLACE),
    "hold": Statement("""
INSERT INTO {held_key} AS h (channel, partition_key, position) VALUES (?1, ?2, ?3)
ON CONFLICT (channel, partition_key) DO UPDATE SET position = excluded.position
WHERE h.position <> 0 OR excluded.position = 0
"""),
    "let_go": Statement(f"DELETE FROM {{held_key}} WHERE position = {_POSITIONS}", "position bigint"),
    "retry": Statement("""
UPDATE {envelope} SET attempt = attempt + ?3::int, due_at = ?4, failed_at = coalesce(failed_at, ?5::bigint), stashed = 0
WHERE position = ?1 AND attempt = ?2
"""),
    "attempt": Statement("""
UPDATE {envelope} SET attempt = attempt + 1, failed_at = coalesce(failed_at, ?3::bigint)
WHERE position = ?1 AND attempt = ?2
"""),
    "stash": Statement("UPDATE {envelope} SET stashed = 1, due_at = ?3 WHERE position = ?1 AND attempt = ?2"),
    "wake": Statement(
        """
UPDATE {envelope} SET stashed = 0, due_at = 1 WHERE position = ANY (ARRAY(SELECT found.position FROM {rows}
    CROSS JOIN LATERAL (SELECT e.position FROM {envelope} AS e WHERE e.stashed = 1 AND e.channel = r.channel
    AND e.partition_key = r.partition_key OFFSET 0) AS found))
""",
        _PLACE,
    ),
}

_APPENDING = {
    "routing": Statement("SELECT value FROM {meta} WHERE name = 'routing' FOR SHARE", gives=True),
    "insert_envelopes": Statement(
        f"INSERT INTO {{envelope}} ({rows.ENVELOPE_COLUMNS}) SELECT {rows.ENVELOPE_COLUMNS} FROM {{rows}}", ENVELOPE
    ),
    "last_position": Statement("SELECT lastval()", gives=True),
    "cancel_timers": Statement(
        f"DELETE FROM {{envelope}} WHERE position = {_timers_of('AND e.timer = r.timer')}", f"{_PLACE}, timer text"
    ),
    "let_loose": Statement(
        """
DELETE FROM {held_key} WHERE position = ANY (ARRAY(SELECT k.position FROM {rows} CROSS JOIN LATERAL (
    SELECT * FROM {held_key} AS k WHERE k.channel = r.channel AND k.partition_key = r.partition_key LIMIT 1) AS k
    WHERE k.position > 0 AND (SELECT e.position FROM {envelope} AS e WHERE e.position = k.position) IS NULL))
""",
        _PLACE,
    ),
    "known": Statement(
        """
SELECT i.channel, i.message_id, i.fingerprint FROM {rows} CROSS JOIN LATERAL (
    SELECT * FROM {inbox} AS i WHERE i.channel = r.channel AND i.message_id = r.message_id LIMIT 1) AS i
""",
        "channel text, message_id text",
        gives=True,
    ),
    "remember": Statement(
        """
INSERT INTO {inbox} (channel, message_id, fingerprint, stamp) SELECT channel, message_id, fingerprint, stamp FROM {rows}
ON CONFLICT (channel, message_id) DO NOTHING
""",
        "channel text, message_id text, fingerprint text, stamp bigint",
    ),
    # The lock makes a purge wait for whoever relies on the horizon, and the other way round.
    "horizons": Statement(
        """
SELECT channel, stamp FROM {horizon} WHERE channel = ANY (ARRAY(SELECT json_array_elements_text(?1::json))) FOR SHARE
""",
        "channel text",
        gives=True,
    ),
    "bury": Statement("""
INSERT INTO {dead_letter} (channel, message_id, fingerprint, status, envelope, body, reason, error_type,
    error_text, traceback, attempts, first_failed_at, last_failed_at, parked)
VALUES (?1, ?2, ?3, 'open', ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
ON CONFLICT (channel, message_id, fingerprint) DO UPDATE SET status = 'open', envelope = excluded.envelope,
    reason = excluded.reason, error_type = excluded.error_type, error_text = excluded.error_text,
    traceback = excluded.traceback, attempts = excluded.attempts, first_failed_at = excluded.first_failed_at,
    last_failed_at = excluded.last_failed_at, parked = excluded.parked
"""),
}

# A lease that seems to end much later than it can was given before the clock was set back: it has ended.
_LEASING = {
    "forget_workers": Statement(
        "DELETE FROM {worker} WHERE expires_at NOT BETWEEN ?1::bigint AND ?1::bigint + 2 * lease_length"
    ),
    "knows_worker": Statement("SELECT 1 FROM {worker} WHERE worker = ?1 LIMIT 1", gives=True),
    "crew": Statement(
        """
SELECT value * 1000 + (SELECT count(*) FROM {worker}
    WHERE expires_at NOT BETWEEN ?1::bigint AND ?1::bigint + 2 * lease_length)
FROM {meta} WHERE name = 'crew'
""",
        gives=True,
    ),
    "raise_crew": Statement("""
INSERT INTO {meta} AS m (name, value) VALUES ('crew', 1) ON CONFLICT (name) DO UPDATE SET value = m.value + 1
"""),
    "forget_worker": Statement("DELETE FROM {worker} WHERE worker = ?1"),
    "lanes_setting": Statement("SELECT value FROM {meta} WHERE name = 'lanes'", gives=True),
    "lock_lanes": Statement("SELECT lane FROM {lane} WHERE channel = ?1 ORDER BY lane FOR UPDATE", gives=True),
    "add_lanes": Statement(
        """
INSERT INTO {lane} (channel, lane, owner, epoch, expires_at, lease_length, held_window, suspect_until)
SELECT channel, lane, NULL, 0, 0, 0, 0, 0 FROM {rows} ON CONFLICT (channel, lane) DO NOTHING
""",
        "channel text, lane int",
    ),
    "alive": Statement("""
INSERT INTO {worker} (worker, channel, expires_at, lease_length) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (worker, channel) DO UPDATE SET expires_at = excluded.expires_at, lease_length = excluded.lease_length
"""),
    "living": Statement(
        """
SELECT count(*), count(*) FILTER (WHERE worker < ?3) FROM {worker}
WHERE channel = ?1 AND expires_at BETWEEN ?2::bigint AND ?2::bigint + 2 * lease_length
""",
        gives=True,
    ),
    "renew": Statement(
        "UPDATE {lane} SET expires_at = ?3, held_window = ?4, lease_length = ?5 WHERE channel = ?1 AND owner = ?2"
    ),
    "shed_lanes": Statement("""
UPDATE {lane} SET owner = NULL, expires_at = 0 WHERE channel = ?1 AND owner = ?2
AND lane IN (SELECT lane FROM {lane} WHERE channel = ?1 AND owner = ?2 ORDER BY lane DESC LIMIT ?3)
"""),
    "free_lanes": Statement(
        """
SELECT lane, owner IS NOT NULL, held_window FROM {lane} WHERE channel = ?1
AND (owner IS NULL OR expires_at NOT BETWEEN ?2::bigint AND ?2::bigint + 2 * lease_length) ORDER BY lane
""",
        gives=True,
    ),
    "take_lane": Statement("""
UPDATE {lane} SET owner = ?3, epoch = epoch + 1, expires_at = ?4, held_window = ?5, lease_length = ?7,
    suspect_until = greatest(suspect_until, ?6)
WHERE channel = ?1 AND lane = ?2
"""),
    # What the dead owner may have had in hand: a window of what was due at once, and all that was due by its time.
    "suspects": Statement(
        f"""
SELECT greatest(
    (SELECT max(position) FROM {of_lane("?1::text, ?2::int", "0, 0", "0", "position", "LIMIT ?3")} AS ready),
    (SELECT max(position + 0) FROM {{envelope}}
        WHERE channel = ?1 AND lane = ?2 AND due_at BETWEEN 1 AND ?4::bigint), 0)
""",
        gives=True,
    ),
    "owned_lanes": Statement(
        "SELECT channel, lane, epoch, suspect_until FROM {lane} WHERE owner = ?1 ORDER BY channel, lane", gives=True
    ),
    "release_lane": Statement("""
UPDATE {lane} SET owner = NULL, expires_at = 0 WHERE channel = ?1 AND lane = ?2 AND owner = ?3 AND epoch = ?4
"""),
    "release_all": Statement("UPDATE {lane} SET owner = NULL, expires_at = 0 WHERE owner = ?1"),
}

_REGISTERING = {
    "lock_routing": Statement("SELECT value FROM {meta} WHERE name = 'routing' FOR UPDATE", gives=True),
    "meta": Statement("SELECT name, value FROM {meta}", gives=True),
    "subscriptions": Statement(
        "SELECT definition, message_type, channel FROM {subscription} ORDER BY message_type, channel", gives=True
    ),
    "put_lanes": Statement("INSERT INTO {meta} (name, value) VALUES ('lanes', ?1) ON CONFLICT (name) DO NOTHING"),
    "put_subscription": Statement("""
INSERT INTO {subscription} (message_type, channel, definition) VALUES (?1, ?2, ?3)
ON CONFLICT (message_type, channel) DO UPDATE SET definition = excluded.definition
"""),
    "drop_subscription": Statement("DELETE FROM {subscription} WHERE channel = ?1 AND message_type = ?2"),
    "raise_routing": Statement("UPDATE {meta} SET value = value + 1 WHERE name = 'routing'"),
    "other_receiver": Statement(
        "SELECT channel FROM {subscription} WHERE message_type = ?1 AND channel <> ?2 LIMIT 1", gives=True
    ),
}

_COLUMNS = f"e.position, {', '.join('e.' + name for name in rows.ENVELOPE_COLUMNS.split(', '))}"
_INSTANCE = ", ".join("i." + name for name in rows.INSTANCE_COLUMNS.split(", "))
_NULLS = ", ".join(f"NULL::{column.split()[1]}" for column in ENVELOPE.split(", ")[3:])

_NO_INSTANCE = (
    "NULL::text, NULL::text, NULL::bigint, NULL::text, NULL::text, NULL::text, NULL::bigint, NULL::bigint, NULL::bigint"
)

_READING = {
    # In front, for each lane with a cursor, what stands before it: a transaction may commit after a later one.
    "fetch": Statement(
        f"""
WITH c AS MATERIALIZED (SELECT * FROM {{rows}})
SELECT e.*, NULL::bigint[] FROM c CROSS JOIN LATERAL
    {of_lane("c.channel, c.lane", "0, c.after", "0", _COLUMNS, "LIMIT ?2")} AS e
UNION ALL
SELECT e.*, NULL FROM c CROSS JOIN LATERAL
    {of_lane("c.channel, c.lane", "1, -1", "?3::bigint", _COLUMNS, "LIMIT ?2")} AS e
UNION ALL
SELECT 0, NULL, NULL, min(e.due_at), {_NULLS}, NULL FROM c CROSS JOIN LATERAL (SELECT due_at FROM {{envelope}} AS e
    WHERE e.channel = c.channel AND e.lane = c.lane AND e.due_at > ?3::bigint ORDER BY e.due_at LIMIT 1) AS e
UNION ALL
SELECT -1, c.channel, c.lane, 0, {_NULLS}, ARRAY(SELECT e.position FROM {{envelope}} AS e
    WHERE e.channel = c.channel AND e.lane = c.lane AND e.due_at = 0 AND e.position <= c.after AND {_NOT_HELD})
FROM c WHERE c.after > 0
""",
        "channel text, lane int, after bigint",
        gives=True,
    ),
    # The same for few lanes, with the instances of the keys, but for keys that have something stashed.
    "fetch_few": Statement(
        f"""
WITH c AS MATERIALIZED (SELECT * FROM {{rows}}),
found AS MATERIALIZED (
    SELECT e.* FROM c CROSS JOIN LATERAL
        {of_lane("c.channel, c.lane", "0, c.after", "0", _COLUMNS, "LIMIT ?2")} AS e
    UNION ALL
    SELECT e.* FROM c CROSS JOIN LATERAL
        {of_lane("c.channel, c.lane", "1, -1", "?3::bigint", _COLUMNS, "LIMIT ?2")} AS e)
SELECT *, NULL::bigint[], {_NO_INSTANCE} FROM found
UNION ALL
SELECT 0, NULL, NULL, min(e.due_at), {_NULLS}, NULL, {_NO_INSTANCE} FROM c CROSS JOIN LATERAL (
    SELECT due_at FROM {{envelope}} AS e
    WHERE e.channel = c.channel AND e.lane = c.lane AND e.due_at > ?3::bigint ORDER BY e.due_at LIMIT 1) AS e
UNION ALL
SELECT -1, c.channel, c.lane, 0, {_NULLS}, ARRAY(SELECT e.position FROM {{envelope}} AS e
    WHERE e.channel = c.channel AND e.lane = c.lane AND e.due_at = 0 AND e.position <= c.after AND {_NOT_HELD}),
    {_NO_INSTANCE}
FROM c WHERE c.after > 0
UNION ALL
SELECT -2, k.channel, 0, 0, NULL, NULL, k.key, {_NULLS.split(", ", 3)[3]}, NULL, i.*
FROM (SELECT DISTINCT channel, partition_key AS key FROM found WHERE partition_key IS NOT NULL) AS k
LEFT JOIN LATERAL (SELECT {_INSTANCE} FROM {{instance}} AS i WHERE i.saga = k.channel AND i.key = k.key LIMIT 1) AS i
ON true
WHERE (SELECT e.position FROM {{envelope}} AS e
    WHERE e.stashed = 1 AND e.channel = k.channel AND e.partition_key = k.key LIMIT 1) IS NULL
""",
        "channel text, lane int, after bigint",
        gives=True,
    ),
    "at_positions": Statement(
        f"SELECT {_COLUMNS} FROM {{envelope}} AS e WHERE e.position = {_POSITIONS} AND {_NOT_HELD}",
        "position bigint",
        gives=True,
    ),
    # Instances and what is stashed for them, in one answer.
    "load": Statement(
        f"""
WITH keys AS MATERIALIZED (SELECT json_array_elements_text(?1::json) AS key)
SELECT i.*, NULL::bigint, NULL::text, NULL::int, NULL::bigint, {_NULLS} FROM keys AS k CROSS JOIN LATERAL (
    SELECT {_INSTANCE} FROM {{instance}} AS i WHERE i.saga = ?2 AND i.key = k.key LIMIT 1) AS i
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, e.* FROM keys AS k CROSS JOIN LATERAL (
    SELECT {_COLUMNS} FROM {{envelope}} AS e
    WHERE e.stashed = 1 AND e.channel = ?2 AND e.partition_key = k.key OFFSET 0) AS e
""",
        "key text",
        gives=True,
    ),
    # By lane, so that timers of the far future are never looked at.
    "anything_due": Statement(
        f"""
SELECT EXISTS (SELECT 1 FROM (SELECT l.channel, l.lane FROM {{lane}} AS l
    WHERE l.channel = ANY (ARRAY(SELECT json_array_elements_text(?1::json)))) AS l
CROSS JOIN LATERAL {of_lane("l.channel, l.lane", "-1, 0", "?2::bigint", "1", "LIMIT 1")} AS e)::int
""",
        "channel text",
        gives=True,
    ),
    "counts": Statement(
        """
SELECT c.channel,
    count(e.position) FILTER (WHERE e.due_at = 0),
    count(e.position) FILTER (WHERE e.due_at > 0 AND e.attempt = 0 AND e.timer IS NULL AND e.stashed = 0),
    count(e.position) FILTER (WHERE e.timer IS NOT NULL),
    count(e.position) FILTER (WHERE e.attempt > 0 AND e.timer IS NULL AND e.due_at > 0),
    count(e.position) FILTER (WHERE e.stashed = 1),
    (SELECT count(*) FROM {held_key} AS h WHERE h.channel = c.channel),
    (SELECT count(*) FROM {dead_letter} AS d WHERE d.channel = c.channel AND d.status = 'open'),
    coalesce(?1::bigint - min(e.sent_at) FILTER (WHERE e.due_at = 0), 0)
FROM (SELECT channel FROM {subscription} UNION SELECT DISTINCT channel FROM {envelope}
    UNION SELECT channel FROM {dead_letter} WHERE status = 'open') AS c
LEFT JOIN {envelope} AS e ON e.channel = c.channel GROUP BY c.channel ORDER BY c.channel
""",
        gives=True,
    ),
    "instance_page": Statement(
        f"""
SELECT {_INSTANCE} FROM {{instance}} AS i
WHERE i.saga = ?1 AND i.key > ?2 AND (?3::text IS NULL OR i.status = ?3::text) ORDER BY i.key LIMIT ?4
""",
        gives=True,
    ),
    "envelope_page": Statement(
        f"""
SELECT {_COLUMNS} FROM {{envelope}} AS e WHERE e.channel = ?1 AND (?2::text IS NULL OR e.partition_key = ?2::text)
AND (?4::int = 0 OR e.timer IS NOT NULL) ORDER BY e.position LIMIT ?3
""",
        gives=True,
    ),
    "letter_page": Statement(
        f"""
SELECT {rows.LETTER_COLUMNS} FROM {{dead_letter}}
WHERE id > ?1 AND (?2::text IS NULL OR channel = ?2::text) AND (?3::text IS NULL OR status = ?3::text)
ORDER BY id LIMIT ?4
""",
        gives=True,
    ),
}

_LETTERS = {
    "lock_letter": Statement("SELECT id FROM {dead_letter} WHERE id = ?1 FOR UPDATE", gives=True),
    "close_letter": Statement("UPDATE {dead_letter} SET status = ?2, closed_at = ?3 WHERE id = ?1 AND status = 'open'"),
    # Unless another letter of the key is parked as well.
    "unpark": Statement("""
DELETE FROM {held_key} WHERE channel = ?1 AND partition_key = ?2 AND NOT EXISTS (
    SELECT 1 FROM {dead_letter} WHERE channel = ?1 AND status = 'open' AND parked = 1
    AND envelope::json ->> 4 = ?2)
"""),
    "timer_is_set": Statement(
        """
SELECT EXISTS (SELECT 1 FROM {envelope}
WHERE timer IS NOT NULL AND channel = ?1 AND partition_key = ?2 AND timer = ?3)::int
""",
        gives=True,
    ),
    "record": Statement("SELECT fingerprint FROM {inbox} WHERE channel = ?1 AND message_id = ?2", gives=True),
    "move_hold": Statement("UPDATE {held_key} SET position = ?1 WHERE channel = ?2 AND partition_key = ?3"),
    "own_purge": Statement("SELECT 1 FROM {meta} WHERE name = 'purge' FOR UPDATE SKIP LOCKED", gives=True),
    "expired_record": Statement(
        "SELECT stamp FROM {inbox} WHERE channel = ?1 AND stamp < ?2 ORDER BY channel, stamp LIMIT 1 OFFSET ?3",
        gives=True,
    ),
    "raise_horizon": Statement("""
INSERT INTO {horizon} AS h (channel, stamp) VALUES (?1, ?2)
ON CONFLICT (channel) DO UPDATE SET stamp = greatest(h.stamp, excluded.stamp)
"""),
    "purge_inbox": Statement("DELETE FROM {inbox} WHERE channel = ?1 AND stamp < ?2"),
    "purge_instances": Statement("""
DELETE FROM {instance} WHERE saga = ?1 AND key = ANY (ARRAY(SELECT key FROM {instance}
    WHERE saga = ?1 AND completed_at IS NOT NULL AND completed_at < ?2 ORDER BY saga, completed_at LIMIT ?3))
AND completed_at < ?2
"""),
    "purge_letters": Statement("""
DELETE FROM {dead_letter} WHERE id = ANY (ARRAY(SELECT id FROM {dead_letter}
    WHERE channel = ?1 AND status <> 'open' AND closed_at < ?2 ORDER BY channel, closed_at LIMIT ?3))
AND coalesce(status, 'open') <> 'open'
"""),
}

STATEMENTS: dict[str, Statement] = {
    **_TRANSACTION,
    **_SETTLING,
    **_APPENDING,
    **_LEASING,
    **_REGISTERING,
    **_READING,
    **_LETTERS,
}
