"""The named statements of the shared logic, in the words of SQLite."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from sagabus.stores.sql import rows
from sagabus.stores.sql.loud_keys import all_but
from sagabus.stores.sqlite.erase_statements import ERASING
from sagabus.stores.sqlite.examination_statements import EXAMINING
from sagabus.stores.sqlite.fetch_query import FETCHING
from sagabus.stores.sqlite.fragments import NOT_HELD
from sagabus.stores.sqlite.handing import BeforeAppend
from sagabus.stores.sqlite.lease_statements import LEASING
from sagabus.stores.sqlite.mend_statements import MENDING
from sagabus.stores.sqlite.sets import Form, Packed, Plain, Values, packed_rows
from sagabus.stores.sqlite.survey_statements import SURVEYING

EnvelopeRow: TypeAlias = tuple[
    int,
    str,
    int,
    int,
    str,
    str,
    str | None,
    str,
    str | None,
    str | None,
    str | None,
    int,
    int,
    int | None,
    str | None,
    int,
    int,
    int,
    int,
]
InstanceRow: TypeAlias = tuple[str, str, int, str, str | None, str | None, int | None, int, int, str | None]
RecordedRow: TypeAlias = tuple[int, str, str, int, int, str, str, str | None, str | None, int, str, str | None]
LetterRow: TypeAlias = tuple[
    int, str, str, str, str | None, str | None, str | None, int, int | None, int, int, str, str | None
]
HeadRow: TypeAlias = tuple[int, str | None, int | None, int | None]

_envelopes = msgspec.json.Decoder(list[EnvelopeRow]).decode
_instances = msgspec.json.Decoder(list[InstanceRow]).decode
_history = msgspec.json.Decoder(list[RecordedRow]).decode
_letters = msgspec.json.Decoder(list[LetterRow]).decode
_heads = msgspec.json.Decoder(list[HeadRow]).decode
_places = msgspec.json.Decoder(list[tuple[int, int, str]]).decode
_parked = msgspec.json.Decoder(list[tuple[int, str]]).decode
_known = msgspec.json.Decoder(list[tuple[str, str, str]]).decode
_positions = msgspec.json.Decoder(list[tuple[int]]).decode

_ENVELOPE = f"position, {rows.STORED_COLUMNS}"
_INSTANCE = rows.INSTANCE_COLUMNS
_LETTER = rows.LETTER_COLUMNS
_LETTER_CHOICE = rows.LETTER_CHOICE.format(channel="?3", since="?4", until="?5")
_RECORDED = f"position, {rows.HISTORY_COLUMNS}"
_PAIRS = "SELECT value ->> 0, value ->> 1 FROM json_each(?1)"
_SINGLES = "SELECT value FROM json_each(?1)"


def _envelopes_of_lanes(condition: str, order: str) -> str:
    return f"""
SELECT {packed_rows(_ENVELOPE)} FROM (
    SELECT d.* FROM json_each(?1) AS cursor CROSS JOIN sagabus_envelope AS d WHERE d.position IN (
        SELECT position FROM sagabus_envelope AS e
        WHERE e.channel = cursor.value ->> 0 AND e.lane = cursor.value ->> 1 AND {condition} AND {NOT_HELD}
        ORDER BY {order} LIMIT ?2)
)
"""


def _envelopes_of_keys(condition: str) -> str:
    return f"""
SELECT {packed_rows(_ENVELOPE)} FROM (SELECT * FROM sagabus_envelope WHERE position IN (
    SELECT position FROM sagabus_envelope AS e WHERE e.channel = ?1 AND e.lane = ?2 AND e.due_at = 0
    AND e.position > ?3 AND {condition} AND {NOT_HELD} ORDER BY e.position LIMIT ?4))
"""


_TRANSACTION: dict[str, Form] = {
    "savepoint": Plain("SAVEPOINT sagabus_outcomes"),
    "rollback_to_savepoint": Plain("ROLLBACK TO sagabus_outcomes"),
    "release_savepoint": Plain("RELEASE sagabus_outcomes"),
}

_SETTLING: dict[str, Form] = {
    "head": Packed(
        """
SELECT json_group_array(json_array(m.value, held.channel, held.lane, held.epoch)) FROM sagabus_meta AS m
LEFT JOIN (SELECT lane.* FROM json_each(?1) AS place CROSS JOIN sagabus_lane AS lane
    ON lane.channel = place.value ->> 0 AND lane.lane = place.value ->> 1) AS held
WHERE m.name = 'routing'
""",
        _heads,
    ),
    "which_stored": Packed(
        f"SELECT json_group_array(json_array(position)) FROM sagabus_envelope WHERE position IN ({_SINGLES})",
        _positions,
    ),
    "any_held": Plain("SELECT EXISTS (SELECT 1 FROM sagabus_held_key)"),
    "remove": Packed(f"DELETE FROM sagabus_envelope WHERE position IN ({_SINGLES})"),
    "create_instances": Values(
        11,
        """
INSERT INTO sagabus_instance
    (saga, key, version, read_version, state, status, timers, completed_at, created_at, updated_at, shape)
SELECT * FROM {rows} WHERE column1 IS NOT NULL ON CONFLICT (saga, key) DO NOTHING
""",
    ),
    "change_instances": Values(
        11,
        """
UPDATE sagabus_instance SET version = r.column3, read_version = r.column4, state = r.column5, status = r.column6,
    timers = r.column7, completed_at = r.column8, updated_at = r.column10, shape = r.column11
FROM {rows} AS r
WHERE saga = r.column1 AND key = r.column2 AND version = r.column4
""",
    ),
    "record_history": Values(
        11, f"INSERT INTO sagabus_history ({rows.HISTORY_COLUMNS}) SELECT * FROM {{rows}} WHERE column1 IS NOT NULL"
    ),
    "note_handled": Values(
        15, f"INSERT INTO sagabus_journal ({rows.JOURNAL_COLUMNS}) SELECT * FROM {{rows}} WHERE column1 IS NOT NULL"
    ),
    "cancel_all_timers": Packed(
        f"DELETE FROM sagabus_envelope WHERE timer IS NOT NULL AND (channel, partition_key) IN ({_PAIRS})"
    ),
    "hold": Plain("""
INSERT INTO sagabus_held_key (channel, partition_key, position) VALUES (?1, ?2, ?3)
ON CONFLICT (channel, partition_key) DO UPDATE SET position = excluded.position
WHERE position <> 0 OR excluded.position = 0
"""),
    "let_go": Packed(f"DELETE FROM sagabus_held_key WHERE position IN ({_SINGLES})"),
    "mark": Packed(f"""
UPDATE sagabus_envelope SET deaths = deaths + 1 WHERE position IN ({_SINGLES}) AND attempt = ?2 AND deaths = ?3
"""),
    "unmark": Packed(f"""
UPDATE sagabus_envelope SET deaths = deaths - 1 WHERE position IN ({_SINGLES}) AND deaths > 0
"""),
    "retry": Plain("""
UPDATE sagabus_envelope SET attempt = attempt + ?3, due_at = ?4, failed_at = coalesce(?8, failed_at, ?5), stashed = 0,
    deaths = max(deaths + ?6, 0), excused = excused + ?7
WHERE position = ?1 AND attempt = ?2
"""),
    "stash": Plain("""
UPDATE sagabus_envelope SET stashed = 1, due_at = ?3, deaths = max(deaths + ?4, 0) WHERE position = ?1 AND attempt = ?2
"""),
    "wake": Packed(f"""
UPDATE sagabus_envelope SET stashed = 0, due_at = 1 WHERE stashed = 1 AND (channel, partition_key) IN ({_PAIRS})
"""),
}

_INSERT = f"INSERT INTO sagabus_envelope ({rows.ENVELOPE_COLUMNS}) SELECT * FROM {{rows}} WHERE column1 IS NOT NULL"
_APPENDING: dict[str, Form] = {
    "routing": Plain("SELECT value FROM sagabus_meta WHERE name = 'routing'"),
    "insert_envelopes": Values(16, _INSERT),
    "put_back": Values(16, _INSERT),
    "before_append": BeforeAppend(),
    "last_position": Plain("SELECT last_insert_rowid()"),
    "cancel_timers": Packed("""
DELETE FROM sagabus_envelope WHERE timer IS NOT NULL
AND (channel, partition_key, timer) IN (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1))
"""),
    "let_loose": Packed(f"""
DELETE FROM sagabus_held_key WHERE position > 0 AND (channel, partition_key) IN ({_PAIRS})
AND NOT EXISTS (SELECT 1 FROM sagabus_envelope AS e WHERE e.position = sagabus_held_key.position)
"""),
    "known": Packed(
        """
SELECT json_group_array(json_array(i.channel, i.message_id, i.fingerprint)) FROM json_each(?1) AS asked
CROSS JOIN sagabus_inbox AS i ON i.channel = asked.value ->> 0 AND i.message_id = asked.value ->> 1
""",
        _known,
    ),
    "remember": Values(
        4,
        "INSERT INTO sagabus_inbox (channel, message_id, fingerprint, stamp) "
        "SELECT * FROM {rows} WHERE column1 IS NOT NULL",
    ),
    "horizons": Packed(f"SELECT channel, stamp FROM sagabus_horizon WHERE channel IN ({_SINGLES})"),
    "bury": Plain("""
INSERT INTO sagabus_dead_letter (channel, message_id, fingerprint, status, envelope, body, reason, error_type,
    error_text, traceback, attempts, first_failed_at, last_failed_at, parked, cause)
VALUES (?1, ?2, ?3, 'open', ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
ON CONFLICT (channel, message_id, fingerprint) DO UPDATE SET status = 'open', envelope = excluded.envelope,
    reason = excluded.reason, error_type = excluded.error_type, error_text = excluded.error_text,
    traceback = excluded.traceback, attempts = excluded.attempts, first_failed_at = excluded.first_failed_at,
    last_failed_at = excluded.last_failed_at, cause = excluded.cause,
    parked = iif(status = 'open', max(parked, excluded.parked), excluded.parked)
"""),
}

_REGISTERING: dict[str, Form] = {
    "lock_routing": Plain("SELECT 1"),  # the file is locked as a whole
    "meta": Plain("SELECT name, value FROM sagabus_meta"),
    "subscriptions": Plain(
        "SELECT definition, message_type, channel FROM sagabus_subscription ORDER BY message_type, channel"
    ),
    "put_lanes": Plain("INSERT INTO sagabus_meta (name, value) VALUES ('lanes', ?1) ON CONFLICT (name) DO NOTHING"),
    "identity": Plain("SELECT value FROM sagabus_meta WHERE name = 'identity'"),
    "put_identity": Plain(
        "INSERT INTO sagabus_meta (name, value) VALUES ('identity', ?1) ON CONFLICT (name) DO NOTHING"
    ),
    "set_identity": Plain("UPDATE sagabus_meta SET value = ?1 WHERE name = 'identity'"),
    "put_subscription": Plain("""
INSERT INTO sagabus_subscription (message_type, channel, definition) VALUES (?1, ?2, ?3)
ON CONFLICT (message_type, channel) DO UPDATE SET definition = excluded.definition
"""),
    "drop_subscription": Plain("DELETE FROM sagabus_subscription WHERE channel = ?1 AND message_type = ?2"),
    "raise_routing": Plain("UPDATE sagabus_meta SET value = value + ?1 WHERE name = 'routing'"),
    "other_receiver": Plain(
        "SELECT channel FROM sagabus_subscription WHERE message_type = ?1 AND channel <> ?2 LIMIT 1"
    ),
}

_DIVIDING: dict[str, Form] = {
    "channels_with_lanes": Plain("SELECT DISTINCT channel FROM sagabus_lane ORDER BY channel"),
    "marks_of_lanes": Plain("SELECT epoch, suspect_until, suspect_keys FROM sagabus_lane WHERE channel = ?1"),
    "drop_lanes": Plain("DELETE FROM sagabus_lane WHERE channel = ?1 AND lane >= ?2"),
    "begin_lanes": Plain("""
UPDATE sagabus_lane SET owner = NULL, expires_at = 0, epoch = ?2, suspect_until = ?3,
    suspect_keys = ?4, loud = NULL WHERE channel = ?1
"""),
    "raise_epochs": Plain("UPDATE sagabus_lane SET epoch = epoch + ?1"),
    "set_lanes": Plain("UPDATE sagabus_meta SET value = ?1 WHERE name = 'lanes'"),
    "page_of_lanes": Packed(
        f"""
SELECT {packed_rows("position, lane, name")} FROM (SELECT position, lane, coalesce(partition_key, message_id) AS name
    FROM sagabus_envelope WHERE position > ?1 ORDER BY position LIMIT ?2)
""",
        _places,
        "position, lane, name",
    ),
    "move_envelopes": Packed("""
UPDATE sagabus_envelope SET lane = moved.value ->> 1 FROM json_each(?1) AS moved
WHERE sagabus_envelope.position = moved.value ->> 0
"""),
}

_READING: dict[str, Form] = {
    "ready": Packed(
        _envelopes_of_lanes("e.due_at = 0 AND e.position > cursor.value ->> 2", "e.position"), _envelopes, _ENVELOPE
    ),
    "due": Packed(_envelopes_of_lanes("e.due_at BETWEEN 1 AND ?3", "e.due_at, e.position"), _envelopes, _ENVELOPE),
    "ready_of_others": Packed(_envelopes_of_keys(all_but(5)), _envelopes, _ENVELOPE),
    "ready_of_key": Packed(_envelopes_of_keys("e.partition_key = ?5"), _envelopes, _ENVELOPE),
    "last_ready": Plain("SELECT max(position) FROM sagabus_envelope WHERE channel = ?1 AND lane = ?2 AND due_at = 0"),
    "next_due": Packed("""
SELECT min((SELECT min(due_at) FROM sagabus_envelope WHERE channel = cursor.value ->> 0 AND lane = cursor.value ->> 1
    AND due_at > ?2)) FROM json_each(?1) AS cursor
"""),
    "instances": Packed(
        f"SELECT {packed_rows(_INSTANCE)} FROM sagabus_instance WHERE saga = ?2 AND key IN ({_SINGLES})",
        _instances,
        _INSTANCE,
    ),
    "stashed": Packed(
        f"""
SELECT {packed_rows(_ENVELOPE)} FROM (SELECT * FROM sagabus_envelope
    WHERE stashed = 1 AND channel = ?2 AND partition_key IN ({_SINGLES}) ORDER BY position)
""",
        _envelopes,
        _ENVELOPE,
    ),
    # By lane, so that timers of the far future are never looked at.
    "anything_due": Packed(f"""
SELECT EXISTS (SELECT 1 FROM sagabus_lane AS l CROSS JOIN sagabus_envelope AS e
ON e.channel = l.channel AND e.lane = l.lane AND e.due_at <= ?2 WHERE l.channel IN ({_SINGLES}) AND {NOT_HELD})
"""),
    # Each envelope is in one count, so that they add up to the rows.
    "counts": Plain("""
SELECT c.channel,
    count(*) FILTER (WHERE e.why = 'ready'),
    count(*) FILTER (WHERE e.why = 'scheduled'),
    count(*) FILTER (WHERE e.why = 'timers'),
    count(*) FILTER (WHERE e.why = 'retrying'),
    count(*) FILTER (WHERE e.why = 'stashed'),
    (SELECT count(*) FROM sagabus_held_key AS h WHERE h.channel = c.channel),
    (SELECT count(*) FROM sagabus_dead_letter AS d WHERE d.channel = c.channel AND d.status = 'open'),
    max(coalesce(?1 - min(e.sent_at) FILTER (WHERE e.why = 'ready'), 0), 0),
    count(*) FILTER (WHERE e.why = 'behind')
FROM (SELECT channel FROM sagabus_subscription UNION SELECT DISTINCT channel FROM sagabus_envelope
    UNION SELECT channel FROM sagabus_dead_letter WHERE status = 'open') AS c
LEFT JOIN (SELECT o.channel, o.sent_at, CASE WHEN o.stashed = 1 THEN 'stashed' WHEN o.due_at <= ?1 THEN CASE
    WHEN EXISTS (SELECT 1 FROM sagabus_held_key AS k WHERE k.channel = o.channel AND k.partition_key = o.partition_key
        AND k.position <> o.position) THEN 'behind' ELSE 'ready' END
    WHEN o.failed_at IS NOT NULL THEN 'retrying' WHEN o.timer IS NOT NULL THEN 'timers' ELSE 'scheduled' END AS why
    FROM sagabus_envelope AS o) AS e ON e.channel = c.channel
GROUP BY c.channel ORDER BY c.channel
"""),
    "instance_page": Packed(
        f"""SELECT {packed_rows(_INSTANCE)} FROM (SELECT * FROM sagabus_instance
    WHERE saga = ?1 AND key > ?2 AND (?3 IS NULL OR status = ?3)
    AND (?5 IS NULL OR key <= ?5) ORDER BY key LIMIT ?4)""",
        _instances,
        _INSTANCE,
    ),
    "history_page": Packed(
        f"""SELECT {packed_rows(_RECORDED)} FROM (SELECT * FROM sagabus_history
    WHERE saga = ?1 AND key = ?2 AND position > ?3 ORDER BY position LIMIT ?4)""",
        _history,
        _RECORDED,
    ),
    "envelope_page": Packed(
        f"""SELECT {packed_rows(_ENVELOPE)} FROM (SELECT * FROM sagabus_envelope
    WHERE channel = ?1 AND (?2 IS NULL OR partition_key = ?2) AND (NOT ?4 OR timer IS NOT NULL)
    ORDER BY position LIMIT ?3)""",
        _envelopes,
        _ENVELOPE,
    ),
    **{
        f"{name}{of}": Packed(
            f"""SELECT {packed_rows(_LETTER)} FROM (SELECT {columns} FROM sagabus_dead_letter
    {_LETTER_CHOICE}{where} ORDER BY id LIMIT ?6)""",
            _letters,
            _LETTER,
        )
        for name, columns in rows.LETTER_PAGES.items()
        for of, where in (("", ""), ("_of_status", " AND status = ?7"))
    },
}

_LETTERS: dict[str, Form] = {
    "lock_letter": Plain("SELECT ?1"),  # the file is locked as a whole
    "close_letter": Plain(
        "UPDATE sagabus_dead_letter SET status = ?2, closed_at = ?3 WHERE id = ?1 AND status = 'open'"
    ),
    "unpark": Plain("DELETE FROM sagabus_held_key WHERE channel = ?1 AND partition_key = ?2 AND position = 0"),
    "parked": Packed(
        f"""SELECT {packed_rows("id, envelope")} FROM sagabus_dead_letter
    WHERE channel = ?1 AND status = 'open' AND parked = 1 AND instr(envelope, ?2)""",
        _parked,
        "id, envelope",
    ),
    "timer_is_set": Plain("""
SELECT EXISTS (SELECT 1 FROM sagabus_envelope
WHERE timer IS NOT NULL AND channel = ?1 AND partition_key = ?2 AND timer = ?3)
"""),
    "record": Plain("SELECT fingerprint FROM sagabus_inbox WHERE channel = ?1 AND message_id = ?2"),
    "move_hold": Plain("UPDATE sagabus_held_key SET position = ?1 WHERE channel = ?2 AND partition_key = ?3"),
    "own_purge": Plain("SELECT 1"),  # the file is locked as a whole
    "expired_record": Plain(
        "SELECT stamp FROM sagabus_inbox WHERE channel = ?1 AND stamp < ?2 ORDER BY stamp LIMIT 1 OFFSET ?3"
    ),
    "raise_horizon": Plain("""
INSERT INTO sagabus_horizon (channel, stamp) VALUES (?1, ?2)
ON CONFLICT (channel) DO UPDATE SET stamp = max(stamp, excluded.stamp)
"""),
    "purge_inbox": Plain("DELETE FROM sagabus_inbox WHERE channel = ?1 AND stamp < ?2"),
    "purge_instances": Plain("""
DELETE FROM sagabus_instance WHERE (saga, key) IN (SELECT saga, key FROM sagabus_instance
WHERE saga = ?1 AND completed_at IS NOT NULL AND completed_at < ?2 ORDER BY completed_at LIMIT ?3)
"""),
    "purge_history": Plain("""
DELETE FROM sagabus_history WHERE position IN (SELECT position FROM sagabus_history
WHERE saga = ?1 AND committed_at < ?2 ORDER BY committed_at, position LIMIT ?3)
"""),
    "purge_journal": Plain("""
DELETE FROM sagabus_journal WHERE position IN (SELECT position FROM sagabus_journal
WHERE subscription = ?1 AND handled_at < ?2 ORDER BY handled_at, position LIMIT ?3)
"""),
    "purge_letters": Plain("""
DELETE FROM sagabus_dead_letter WHERE id IN (SELECT id FROM sagabus_dead_letter
WHERE channel = ?1 AND status <> 'open' AND closed_at < ?2 ORDER BY closed_at LIMIT ?3)
"""),
}

STATEMENTS: dict[str, Form] = {
    **_TRANSACTION,
    **_SETTLING,
    **_APPENDING,
    **LEASING,
    **_REGISTERING,
    **_DIVIDING,
    **FETCHING,
    **_READING,
    **SURVEYING,
    **EXAMINING,
    **_LETTERS,
    **MENDING,
    **ERASING,
}
