"""The named statements of the shared logic, in the words of PostgreSQL."""

from __future__ import annotations

from sagabus.stores.postgres.erase_statements import ERASING
from sagabus.stores.postgres.examination_statements import EXAMINING
from sagabus.stores.postgres.fragments import (
    ENVELOPE,
    HISTORY,
    INSTANCE,
    JOURNAL,
    PLACE,
    POSITIONS,
    create,
    recordset,
    upsert,
)
from sagabus.stores.postgres.lease_statements import LEASING
from sagabus.stores.postgres.mend_statements import MENDING
from sagabus.stores.postgres.queries import READING
from sagabus.stores.postgres.survey_statements import SURVEYING
from sagabus.stores.sql import rows
from sagabus.stores.sql.dialect import Statement


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
    "which_stored": Statement(
        f"SELECT position FROM {{envelope}} WHERE position = {POSITIONS}", "position bigint", gives=True
    ),
    "any_held": Statement("SELECT EXISTS (SELECT 1 FROM {held_key})::int", gives=True),
    "remove": Statement(f"DELETE FROM {{envelope}} WHERE position = {POSITIONS}", "position bigint"),
    "create_instances": Statement(create(_RECORDS), INSTANCE),
    "change_instances": Statement(upsert(_RECORDS), INSTANCE),
    "record_history": Statement(
        f"INSERT INTO {{history}} ({rows.HISTORY_COLUMNS}) SELECT {rows.HISTORY_COLUMNS} FROM {{rows}}", HISTORY
    ),
    "note_handled": Statement(
        f"INSERT INTO {{journal}} ({rows.JOURNAL_COLUMNS}) SELECT {rows.JOURNAL_COLUMNS} FROM {{rows}}", JOURNAL
    ),
    "cancel_all_timers": Statement(f"DELETE FROM {{envelope}} WHERE position = {_timers_of('')}", PLACE),
    "hold": Statement("""
INSERT INTO {held_key} AS h (channel, partition_key, position) VALUES (?1, ?2, ?3)
ON CONFLICT (channel, partition_key) DO UPDATE SET position = excluded.position
WHERE h.position <> 0 OR excluded.position = 0
"""),
    "let_go": Statement(f"DELETE FROM {{held_key}} WHERE position = {POSITIONS}", "position bigint"),
    "mark": Statement(
        f"UPDATE {{envelope}} SET deaths = deaths + 1 WHERE position = {POSITIONS} AND attempt = ?2 AND deaths = ?3",
        "position bigint",
    ),
    "unmark": Statement(
        f"UPDATE {{envelope}} SET deaths = deaths - 1 WHERE position = {POSITIONS} AND deaths > 0", "position bigint"
    ),
    "retry": Statement("""
UPDATE {envelope} SET attempt = attempt + ?3::int, due_at = ?4, failed_at = coalesce(?8::bigint, failed_at, ?5::bigint),
    stashed = 0, deaths = greatest(deaths + ?6::int, 0), excused = excused + ?7::int
WHERE position = ?1 AND attempt = ?2
"""),
    "stash": Statement("""
UPDATE {envelope} SET stashed = 1, due_at = ?3, deaths = greatest(deaths + ?4::int, 0)
WHERE position = ?1 AND attempt = ?2
"""),
    "wake": Statement(
        """
UPDATE {envelope} SET stashed = 0, due_at = 1 WHERE position = ANY (ARRAY(SELECT found.position FROM {rows}
    CROSS JOIN LATERAL (SELECT e.position FROM {envelope} AS e WHERE e.stashed = 1 AND e.channel = r.channel
    AND e.partition_key = r.partition_key OFFSET 0) AS found))
""",
        PLACE,
    ),
}

_INSERT = f"INSERT INTO {{envelope}} ({rows.ENVELOPE_COLUMNS}) SELECT {rows.ENVELOPE_COLUMNS} FROM {{rows}}"
_APPENDING = {
    "routing": Statement("SELECT value FROM {meta} WHERE name = 'routing' FOR SHARE", gives=True),
    "insert_envelopes": Statement(_INSERT, ENVELOPE),
    "put_back": Statement(f"{_INSERT} RETURNING position", ENVELOPE, gives=True),
    "cancel_timers": Statement(
        f"DELETE FROM {{envelope}} WHERE position = {_timers_of('AND e.timer = r.timer')}", f"{PLACE}, timer text"
    ),
    "let_loose": Statement(
        """
DELETE FROM {held_key} WHERE position = ANY (ARRAY(SELECT k.position FROM {rows} CROSS JOIN LATERAL (
    SELECT * FROM {held_key} AS k WHERE k.channel = r.channel AND k.partition_key = r.partition_key LIMIT 1) AS k
    WHERE k.position > 0 AND (SELECT e.position FROM {envelope} AS e WHERE e.position = k.position) IS NULL))
""",
        PLACE,
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
    # By the lock, a purge and the transactions that rely on the horizon wait for each other.
    "horizons": Statement(
        """
SELECT channel, stamp FROM {horizon} WHERE channel = ANY (ARRAY(SELECT json_array_elements_text(?1::json))) FOR SHARE
""",
        "channel text",
        gives=True,
    ),
    "bury": Statement("""
INSERT INTO {dead_letter} AS d (channel, message_id, fingerprint, status, envelope, body, reason, error_type,
    error_text, traceback, attempts, first_failed_at, last_failed_at, parked, cause)
VALUES (?1, ?2, ?3, 'open', ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
ON CONFLICT (channel, message_id, fingerprint) DO UPDATE SET status = 'open', envelope = excluded.envelope,
    reason = excluded.reason, error_type = excluded.error_type, error_text = excluded.error_text,
    traceback = excluded.traceback, attempts = excluded.attempts, first_failed_at = excluded.first_failed_at,
    last_failed_at = excluded.last_failed_at, cause = excluded.cause,
    parked = greatest(excluded.parked, CASE WHEN d.status = 'open' THEN d.parked ELSE 0 END)
"""),
}

_REGISTERING = {
    "lock_routing": Statement("SELECT value FROM {meta} WHERE name = 'routing' FOR UPDATE", gives=True),
    "meta": Statement("SELECT name, value FROM {meta}", gives=True),
    "subscriptions": Statement(
        "SELECT definition, message_type, channel FROM {subscription} ORDER BY message_type, channel", gives=True
    ),
    "put_lanes": Statement("INSERT INTO {meta} (name, value) VALUES ('lanes', ?1) ON CONFLICT (name) DO NOTHING"),
    "identity": Statement("SELECT value FROM {meta} WHERE name = 'identity'", gives=True),
    "put_identity": Statement("INSERT INTO {meta} (name, value) VALUES ('identity', ?1) ON CONFLICT (name) DO NOTHING"),
    "set_identity": Statement("UPDATE {meta} SET value = ?1 WHERE name = 'identity'"),
    "put_subscription": Statement("""
INSERT INTO {subscription} (message_type, channel, definition) VALUES (?1, ?2, ?3)
ON CONFLICT (message_type, channel) DO UPDATE SET definition = excluded.definition
"""),
    "drop_subscription": Statement("DELETE FROM {subscription} WHERE channel = ?1 AND message_type = ?2"),
    "raise_routing": Statement("UPDATE {meta} SET value = value + ?1 WHERE name = 'routing'"),
    "other_receiver": Statement(
        "SELECT channel FROM {subscription} WHERE message_type = ?1 AND channel <> ?2 LIMIT 1", gives=True
    ),
}

_DIVIDING = {
    "channels_with_lanes": Statement("SELECT DISTINCT channel FROM {lane} ORDER BY channel", gives=True),
    "marks_of_lanes": Statement("SELECT epoch, suspect_until, suspect_keys FROM {lane} WHERE channel = ?1", gives=True),
    "drop_lanes": Statement("DELETE FROM {lane} WHERE channel = ?1 AND lane >= ?2"),
    "begin_lanes": Statement("""
UPDATE {lane} SET owner = NULL, expires_at = 0, epoch = ?2, suspect_until = ?3,
    suspect_keys = ?4, loud = NULL WHERE channel = ?1
"""),
    "raise_epochs": Statement("UPDATE {lane} SET epoch = epoch + ?1"),
    "set_lanes": Statement("UPDATE {meta} SET value = ?1 WHERE name = 'lanes'"),
    "page_of_lanes": Statement(
        """
SELECT position, lane, coalesce(partition_key, message_id) FROM {envelope}
WHERE position > ?1 ORDER BY position LIMIT ?2
""",
        gives=True,
    ),
    "move_envelopes": Statement(
        "UPDATE {envelope} AS e SET lane = r.lane FROM {rows} WHERE e.position = r.position",
        "position bigint, lane int",
    ),
}

_LETTERS = {
    "lock_letter": Statement("SELECT id FROM {dead_letter} WHERE id = ?1 FOR UPDATE", gives=True),
    "close_letter": Statement("UPDATE {dead_letter} SET status = ?2, closed_at = ?3 WHERE id = ?1 AND status = 'open'"),
    "unpark": Statement("DELETE FROM {held_key} WHERE channel = ?1 AND partition_key = ?2 AND position = 0"),
    "parked": Statement(
        "SELECT id, envelope FROM {dead_letter} "
        "WHERE channel = ?1 AND status = 'open' AND parked = 1 AND strpos(envelope, ?2) > 0",
        gives=True,
    ),
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
    "purge_history": Statement("""
DELETE FROM {history} WHERE position = ANY (ARRAY(SELECT position FROM {history}
    WHERE saga = ?1 AND committed_at < ?2 ORDER BY saga, committed_at, position LIMIT ?3))
"""),
    "purge_journal": Statement("""
DELETE FROM {journal} WHERE position = ANY (ARRAY(SELECT position FROM {journal}
    WHERE subscription = ?1 AND handled_at < ?2 ORDER BY subscription, handled_at, position LIMIT ?3))
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
    **LEASING,
    **_REGISTERING,
    **_DIVIDING,
    **READING,
    **SURVEYING,
    **EXAMINING,
    **_LETTERS,
    **MENDING,
    **ERASING,
}
