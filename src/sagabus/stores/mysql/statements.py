"""The named statements of the shared logic, in the words that MySQL and MariaDB have in common.

Sets of rows are of two kinds. `{rows}` is JSON_TABLE over one text, for look-ups. Statements fix the join order and the
index (STRAIGHT_JOIN, FORCE INDEX), since a queue table's statistics are always wrong. `{values}` is a list of VALUES,
to write rows by: several times faster than JSON_TABLE where the columns are many.

The two databases differ. Only one has RETURNING and only the other has LATERAL, so neither is used. The row alias that
MySQL prefers to VALUES() in ON DUPLICATE KEY UPDATE is not used either. IGNORE is not used: it hides other errors.
"""

from __future__ import annotations

from sagabus.stores.mysql.erase_statements import ERASING
from sagabus.stores.mysql.examination_statements import EXAMINING
from sagabus.stores.mysql.fragments import (
    COLUMNS,
    DUE,
    ENVELOPE,
    ENVELOPE_AT,
    FIRST,
    HISTORY,
    HISTORY_NAMES,
    INSTANCE,
    INSTANCE_NAMES,
    JOURNAL,
    JOURNAL_NAMES,
    LOCKABLE_ROWS,
    NOT_HELD,
    PLACE,
    POSITION,
    WAITING,
)
from sagabus.stores.mysql.lease_statements import LEASING
from sagabus.stores.mysql.mend_statements import MENDING
from sagabus.stores.mysql.schema import CHANNEL, KEY, TIMER
from sagabus.stores.mysql.survey_query import SURVEYING
from sagabus.stores.sql import rows
from sagabus.stores.sql.dialect import Statement


def _if_unchanged(*columns: str) -> str:
    """Assignments to an instance that is still the one that was read. They run in order: the version comes last."""
    return ", ".join(f"{column} = IF(version = VALUES(read_version), VALUES({column}), {column})" for column in columns)


_TRANSACTION = {
    "savepoint": Statement("SAVEPOINT sagabus_outcomes"),
    "rollback_to_savepoint": Statement("ROLLBACK TO SAVEPOINT sagabus_outcomes"),
    "release_savepoint": Statement("RELEASE SAVEPOINT sagabus_outcomes"),
}

_SETTLING = {
    # The lock makes registrations wait for who has routed by what they change, and the other way round. The lanes are
    # not locked: a lease goes on while its worker commits.
    "head": Statement(
        """
(SELECT value, NULL AS channel, NULL AS lane, NULL AS epoch FROM {meta} WHERE name = 'routing' LOCK IN SHARE MODE)
UNION ALL
(SELECT NULL, l.channel, l.lane, l.epoch FROM {rows} STRAIGHT_JOIN {lane} AS l FORCE INDEX (PRIMARY)
    ON l.channel = r.channel AND l.lane = r.lane)
""",
        f"channel {CHANNEL}, lane INT",
        gives=True,
    ),
    "which_stored": Statement(f"SELECT e.position FROM {{rows}} STRAIGHT_JOIN {ENVELOPE_AT}", POSITION, gives=True),
    "any_held": Statement("SELECT EXISTS (SELECT 1 FROM {held_key})", gives=True),
    "remove": Statement(f"DELETE e FROM {{rows}} STRAIGHT_JOIN {ENVELOPE_AT}", POSITION),
    "create_instances": Statement(f"INSERT INTO {{instance}} ({INSTANCE_NAMES}) VALUES {{values}}", INSTANCE),
    # A row that is gone is made again by this, and counted differently: see `Upsert`.
    "change_instances": Statement(
        f"INSERT INTO {{instance}} ({INSTANCE_NAMES}) VALUES {{values}} ON DUPLICATE KEY UPDATE "
        + _if_unchanged("state", "status", "timers", "completed_at", "updated_at", "shape", "read_version", "version"),
        INSTANCE,
    ),
    "record_history": Statement(f"INSERT INTO {{history}} ({HISTORY_NAMES}) VALUES {{values}}", HISTORY),
    "note_handled": Statement(f"INSERT INTO {{journal}} ({JOURNAL_NAMES}) VALUES {{values}}", JOURNAL),
    "cancel_all_timers": Statement(f"DELETE e FROM {{rows}} STRAIGHT_JOIN {WAITING} WHERE e.timer IS NOT NULL", PLACE),
    "hold": Statement("""
INSERT INTO {held_key} (channel, partition_key, position) VALUES (?1, ?2, ?3)
ON DUPLICATE KEY UPDATE position = IF(position <> 0 OR ?3 = 0, ?3, position)
"""),
    "let_go": Statement(
        "DELETE k FROM {rows} STRAIGHT_JOIN {held_key} AS k FORCE INDEX ({held_key_position}) "
        "ON k.position = r.position",
        POSITION,
    ),
    "mark": Statement(
        f"UPDATE {{rows}} STRAIGHT_JOIN {ENVELOPE_AT} SET e.deaths = e.deaths + 1 "
        "WHERE e.attempt = ?2 AND e.deaths = ?3",
        POSITION,
    ),
    "unmark": Statement(
        f"UPDATE {{rows}} STRAIGHT_JOIN {ENVELOPE_AT} SET e.deaths = e.deaths - 1 WHERE e.deaths > 0", POSITION
    ),
    "retry": Statement("""
UPDATE {envelope} SET attempt = attempt + ?3, due_at = ?4, failed_at = COALESCE(?8, failed_at, ?5), stashed = 0,
    deaths = GREATEST(deaths + ?6, 0), excused = excused + ?7
WHERE position = ?1 AND attempt = ?2
"""),
    "stash": Statement("""
UPDATE {envelope} SET stashed = 1, due_at = ?3, deaths = GREATEST(deaths + ?4, 0)
WHERE position = ?1 AND attempt = ?2
"""),
    "wake": Statement(
        f"UPDATE {{rows}} STRAIGHT_JOIN {WAITING} SET e.stashed = 0, e.due_at = 1 WHERE e.stashed = 1", PLACE
    ),
}

_INSERT = f"INSERT INTO {{envelope}} ({rows.ENVELOPE_COLUMNS}) VALUES {{values}}"
_APPENDING = {
    "routing": Statement("SELECT value FROM {meta} WHERE name = 'routing' LOCK IN SHARE MODE", gives=True),
    "insert_envelopes": Statement(_INSERT, ENVELOPE),
    "put_back": Statement(_INSERT, ENVELOPE),
    "last_position": Statement("SELECT LAST_INSERT_ID()", gives=True),
    "cancel_timers": Statement(
        f"DELETE e FROM {{rows}} STRAIGHT_JOIN {WAITING} AND e.timer = r.timer", f"{PLACE}, timer {TIMER}"
    ),
    "let_loose": Statement(
        """
DELETE k FROM {rows} STRAIGHT_JOIN {held_key} AS k FORCE INDEX (PRIMARY)
    ON k.channel = r.channel AND k.partition_key = r.partition_key
WHERE k.position > 0 AND NOT EXISTS (SELECT 1 FROM {envelope} AS e WHERE e.position = k.position)
""",
        PLACE,
    ),
    "known": Statement(
        """
SELECT i.channel, i.message_id, i.fingerprint FROM {rows} STRAIGHT_JOIN {inbox} AS i FORCE INDEX (PRIMARY)
    ON i.channel = r.channel AND i.message_id = r.message_id
""",
        f"channel {CHANNEL}, message_id {KEY}",
        gives=True,
    ),
    "remember": Statement(
        "INSERT INTO {inbox} (channel, message_id, fingerprint, stamp) VALUES {values}",
        "channel ANY, message_id ANY, fingerprint ANY, stamp ANY",
    ),
    # By the lock, a purge and the transactions that rely on the horizon wait for each other.
    "horizons": Statement(
        f"""
SELECT h.channel, h.stamp FROM {LOCKABLE_ROWS}
STRAIGHT_JOIN {{horizon}} AS h FORCE INDEX (PRIMARY) ON h.channel = r.channel LOCK IN SHARE MODE
""",
        f"channel {CHANNEL}",
        gives=True,
    ),
    "bury": Statement("""
INSERT INTO {dead_letter} (channel, message_id, fingerprint, status, envelope, body, reason, error_type,
    error_text, traceback, attempts, first_failed_at, last_failed_at, parked, cause)
VALUES (?1, ?2, ?3, 'open', ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
ON DUPLICATE KEY UPDATE parked = GREATEST(?13, IF(status = 'open', parked, 0)), status = 'open', envelope = ?4,
    reason = ?6, error_type = ?7, error_text = ?8, traceback = ?9, attempts = ?10,
    first_failed_at = ?11, last_failed_at = ?12, cause = ?14
"""),
}

_REGISTERING = {
    "lock_routing": Statement("SELECT value FROM {meta} WHERE name = 'routing' FOR UPDATE", gives=True),
    "meta": Statement("SELECT name, value FROM {meta}", gives=True),
    "subscriptions": Statement(
        "SELECT definition, message_type, channel FROM {subscription} ORDER BY message_type, channel", gives=True
    ),
    "put_lanes": Statement(
        "INSERT INTO {meta} (name, value) VALUES ('lanes', ?1) ON DUPLICATE KEY UPDATE value = value"
    ),
    "identity": Statement("SELECT value FROM {meta} WHERE name = 'identity'", gives=True),
    "put_identity": Statement(
        "INSERT INTO {meta} (name, value) VALUES ('identity', ?1) ON DUPLICATE KEY UPDATE value = value"
    ),
    "set_identity": Statement("UPDATE {meta} SET value = ?1 WHERE name = 'identity'"),
    "put_subscription": Statement("""
INSERT INTO {subscription} (message_type, channel, definition) VALUES (?1, ?2, ?3)
ON DUPLICATE KEY UPDATE definition = ?3
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
SELECT position, lane, COALESCE(partition_key, message_id) FROM {envelope}
WHERE position > ?1 ORDER BY position LIMIT ?2
""",
        gives=True,
    ),
    "move_envelopes": Statement(
        f"UPDATE {{rows}} STRAIGHT_JOIN {ENVELOPE_AT} SET e.lane = r.lane", f"{POSITION}, lane INT"
    ),
}

_INSTANCE = ", ".join(f"i.`{name}`" for name in rows.INSTANCE_COLUMNS.split(", "))
_NO_INSTANCE = ", ".join("NULL" for _ in rows.INSTANCE_COLUMNS.split(", "))
_NO_ENVELOPE = ", ".join("NULL" for _ in COLUMNS.split(", "))
_LETTER_CHOICE = rows.LETTER_CHOICE.format(channel="?3", since="?4", until="?5")

_READING = {
    # No row while another transaction locks the routing, as all do that store envelopes.
    "ended_position": Statement(
        """
SELECT (SELECT COALESCE(MAX(e.position), 0) FROM {envelope} AS e) FROM {meta} WHERE name = 'routing'
FOR UPDATE SKIP LOCKED
""",
        gives=True,
    ),
    "at_positions": Statement(
        f"SELECT {COLUMNS} FROM {{rows}} STRAIGHT_JOIN {ENVELOPE_AT} WHERE {NOT_HELD}", POSITION, gives=True
    ),
    # Instances and what is stashed for them, in one answer.
    "load": Statement(
        f"""
(SELECT {_INSTANCE}, {_NO_ENVELOPE} FROM {{rows}} STRAIGHT_JOIN {{instance}} AS i FORCE INDEX (PRIMARY)
    ON i.saga = ?2 AND i.`key` = r.partition_key)
UNION ALL
(SELECT {_NO_INSTANCE}, {COLUMNS} FROM {{rows}} STRAIGHT_JOIN {{envelope}} AS e FORCE INDEX ({{envelope_waits}})
    ON e.waits = r.partition_key AND e.channel = ?2 WHERE e.stashed = 1)
""",
        f"partition_key {KEY}",
        gives=True,
    ),
    # By lane, so that timers of the far future are never read. It takes the first one of each, because MariaDB would
    # turn an EXISTS into a table of them all.
    "anything_due": Statement(
        f"""
SELECT EXISTS (SELECT 1 FROM {{rows}} STRAIGHT_JOIN {{lane}} AS l FORCE INDEX (PRIMARY) ON l.channel = r.channel
WHERE (SELECT e.due_at FROM {DUE} WHERE e.channel = l.channel AND e.lane = l.lane AND e.scheduled = 0 AND {NOT_HELD}
    {FIRST}) = 0
OR (SELECT e.due_at FROM {DUE} WHERE e.channel = l.channel AND e.lane = l.lane AND e.scheduled = 1 AND {NOT_HELD}
    {FIRST}) <= ?2)
""",
        f"channel {CHANNEL}",
        gives=True,
    ),
    # Each envelope is in one count, so that they add up to the rows.
    "counts": Statement(
        """
SELECT c.channel,
    COUNT(IF(e.why = 'ready', 1, NULL)),
    COUNT(IF(e.why = 'scheduled', 1, NULL)),
    COUNT(IF(e.why = 'timers', 1, NULL)),
    COUNT(IF(e.why = 'retrying', 1, NULL)),
    COUNT(IF(e.why = 'stashed', 1, NULL)),
    (SELECT COUNT(*) FROM {held_key} AS h WHERE h.channel = c.channel),
    (SELECT COUNT(*) FROM {dead_letter} AS d WHERE d.channel = c.channel AND d.status = 'open'),
    GREATEST(COALESCE(?1 - MIN(IF(e.why = 'ready', e.sent_at, NULL)), 0), 0),
    COUNT(IF(e.why = 'behind', 1, NULL))
FROM (SELECT channel FROM {subscription} UNION SELECT channel FROM {envelope}
    UNION SELECT channel FROM {dead_letter} WHERE status = 'open') AS c
LEFT JOIN (SELECT o.channel, o.sent_at, CASE WHEN o.stashed = 1 THEN 'stashed' WHEN o.due_at <= ?1 THEN CASE
    WHEN EXISTS (SELECT 1 FROM {held_key} AS k WHERE k.channel = o.channel AND k.partition_key = o.partition_key
        AND k.position <> o.position) THEN 'behind' ELSE 'ready' END
    WHEN o.failed_at IS NOT NULL THEN 'retrying' WHEN o.timer IS NOT NULL THEN 'timers' ELSE 'scheduled' END AS why
    FROM {envelope} AS o) AS e ON e.channel = c.channel
GROUP BY c.channel ORDER BY c.channel
""",
        gives=True,
    ),
    "instance_page": Statement(
        f"""
SELECT {_INSTANCE} FROM {{instance}} AS i
WHERE i.saga = ?1 AND i.`key` > ?2 AND (?3 IS NULL OR i.status = ?3)
    AND (?5 IS NULL OR i.`key` <= ?5) ORDER BY i.`key` LIMIT ?4
""",
        gives=True,
    ),
    "history_page": Statement(
        f"""
SELECT position, {HISTORY_NAMES} FROM {{history}} FORCE INDEX ({{history_instance}})
WHERE saga = ?1 AND `key` = ?2 AND position > ?3 ORDER BY position LIMIT ?4
""",
        gives=True,
    ),
    "envelope_page": Statement(
        f"""
SELECT {COLUMNS} FROM {{envelope}} AS e WHERE e.channel = ?1 AND (?2 IS NULL OR e.partition_key = ?2)
AND (?4 = 0 OR e.timer IS NOT NULL) ORDER BY e.position LIMIT ?3
""",
        gives=True,
    ),
    **{
        f"{name}{of}": Statement(
            f"""
SELECT {columns} FROM {{dead_letter}} FORCE INDEX ({index}) {_LETTER_CHOICE}{where} ORDER BY id LIMIT ?6
""",
            gives=True,
        )
        for name, columns in rows.LETTER_PAGES.items()
        for of, index, where in (("", "PRIMARY", ""), ("_of_status", "{dead_letter_status}", " AND status = ?7"))
    },
}

_LETTERS = {
    "lock_letter": Statement("SELECT id FROM {dead_letter} WHERE id = ?1 FOR UPDATE", gives=True),
    "close_letter": Statement("UPDATE {dead_letter} SET status = ?2, closed_at = ?3 WHERE id = ?1 AND status = 'open'"),
    "unpark": Statement("DELETE FROM {held_key} WHERE channel = ?1 AND partition_key = ?2 AND position = 0"),
    "parked": Statement(
        "SELECT id, envelope FROM {dead_letter} "
        "WHERE channel = ?1 AND status = 'open' AND parked = 1 AND LOCATE(?2, envelope) > 0",
        gives=True,
    ),
    "timer_is_set": Statement(
        """
SELECT EXISTS (SELECT 1 FROM {envelope} AS e FORCE INDEX ({envelope_waits})
WHERE e.waits = ?2 AND e.channel = ?1 AND e.timer = ?3)
""",
        gives=True,
    ),
    "record": Statement("SELECT fingerprint FROM {inbox} WHERE channel = ?1 AND message_id = ?2", gives=True),
    "move_hold": Statement("UPDATE {held_key} SET position = ?1 WHERE channel = ?2 AND partition_key = ?3"),
    "own_purge": Statement("SELECT 1 FROM {meta} WHERE name = 'purge' FOR UPDATE SKIP LOCKED", gives=True),
    "expired_record": Statement(
        "SELECT i.stamp FROM {inbox} AS i FORCE INDEX ({inbox_stamp}) "
        "WHERE i.channel = ?1 AND i.stamp < ?2 ORDER BY i.stamp LIMIT 1 OFFSET ?3",
        gives=True,
    ),
    "raise_horizon": Statement("""
INSERT INTO {horizon} (channel, stamp) VALUES (?1, ?2) ON DUPLICATE KEY UPDATE stamp = GREATEST(stamp, ?2)
"""),
    "purge_inbox": Statement(
        "DELETE i FROM {inbox} AS i FORCE INDEX ({inbox_stamp}) WHERE i.channel = ?1 AND i.stamp < ?2"
    ),
    "purge_instances": Statement("""
DELETE i FROM (SELECT old.`key` FROM {instance} AS old FORCE INDEX ({instance_completed})
    WHERE old.saga = ?1 AND old.completed_at < ?2 ORDER BY old.completed_at LIMIT ?3) AS r
STRAIGHT_JOIN {instance} AS i FORCE INDEX (PRIMARY) ON i.saga = ?1 AND i.`key` = r.`key` WHERE i.completed_at < ?2
"""),
    "purge_history": Statement("""
DELETE h FROM (SELECT old.position FROM {history} AS old FORCE INDEX ({history_committed})
    WHERE old.saga = ?1 AND old.committed_at < ?2 ORDER BY old.committed_at, old.position LIMIT ?3) AS r
STRAIGHT_JOIN {history} AS h FORCE INDEX (PRIMARY) ON h.position = r.position
"""),
    "purge_journal": Statement("""
DELETE j FROM (SELECT old.position FROM {journal} AS old FORCE INDEX ({journal_handled})
    WHERE old.subscription = ?1 AND old.handled_at < ?2 ORDER BY old.handled_at, old.position LIMIT ?3) AS r
STRAIGHT_JOIN {journal} AS j FORCE INDEX (PRIMARY) ON j.position = r.position
"""),
    "purge_letters": Statement("""
DELETE d FROM (SELECT old.id FROM {dead_letter} AS old FORCE INDEX ({dead_letter_closed})
    WHERE old.channel = ?1 AND old.closed_at < ?2 AND old.status <> 'open' ORDER BY old.closed_at LIMIT ?3) AS r
STRAIGHT_JOIN {dead_letter} AS d FORCE INDEX (PRIMARY) ON d.id = r.id WHERE d.status <> 'open'
"""),
}

STATEMENTS: dict[str, Statement] = {
    **_TRANSACTION,
    **_SETTLING,
    **_APPENDING,
    **LEASING,
    **_REGISTERING,
    **_DIVIDING,
    **_READING,
    **SURVEYING,
    **EXAMINING,
    **_LETTERS,
    **MENDING,
    **ERASING,
}
