"""The named statements of bounded looks, in the words of SQLite. Each goes by an index and stops after so many rows."""

from __future__ import annotations

from typing import Any

import msgspec

from sagabus.stores.sql import rows
from sagabus.stores.sql.surveying import CAUSE_WIDTH, why
from sagabus.stores.sql.walking import COLUMNS, FIELDS, wanted_text
from sagabus.stores.sqlite.fragments import NOT_HELD
from sagabus.stores.sqlite.sets import Form, Packed, Plain, packed_rows

_RUNS = "e.position IN (SELECT value FROM json_each('[' || {} || ']'))"
"""Whether an envelope is at one of the positions that a parameter names."""


def _why(now: str, running: str) -> str:
    return why(now, running).replace("{held_key}", "sagabus_held_key")


_LANE = "e.channel = cursor.value ->> 0 AND e.lane = cursor.value ->> 1"
# The database enters an index behind a mark only where what stands before the position is one value.
_AT_ONCE = "e.due_at = 0 AND e.position > {1} AND e.position <= {3}"
_BY_SCHEDULE = """e.due_at BETWEEN {0} AND {2}
    AND (e.due_at > {0} OR e.position > {1}) AND (e.due_at < {2} OR e.position <= {3})"""
_PLACES = "json_each(?1) AS cursor CROSS JOIN sagabus_envelope AS e"
_WHY = _why("?2", _RUNS.format("?15"))
_COUNTED = _why("?2", _RUNS.format("?6"))
_FREE = f"{NOT_HELD} AND NOT {_RUNS.format('?3')}"
_WANTED = wanted_text(_WHY, [f"?{number}" for number in range(8, 15)])
_NOTED = f"{rows.JOURNAL_COLUMNS}, position"
_waiting = msgspec.json.Decoder(list[list[Any]]).decode


def _walk(stretch: str) -> Form:
    """Of each lane the first few that are wanted in a stretch of its index, and of those the first few of all."""
    sql = f"""
SELECT {packed_rows(COLUMNS)} FROM (SELECT {_WHY} AS why, e.position, {FIELDS} FROM {_PLACES} ON e.position IN (
    SELECT e.position FROM sagabus_envelope AS e WHERE {_LANE} AND {stretch.format("?3", "?4", "?5", "?6")}
    AND {_WANTED} ORDER BY e.due_at, e.position LIMIT ?7) ORDER BY e.due_at, e.position LIMIT ?7)
"""
    return Packed(sql, _waiting, COLUMNS)


def _stop(stretch: str) -> Form:
    """The first row by which so many of a lane have been looked at."""
    return Packed(f"""
SELECT d.due_at, d.position FROM json_each(?1) AS cursor CROSS JOIN sagabus_envelope AS d ON d.position = (
    SELECT e.position FROM sagabus_envelope AS e WHERE {_LANE} AND {stretch.format("?2", "?3", "?4", "?5")}
    ORDER BY e.due_at, e.position LIMIT 1 OFFSET ?6) ORDER BY d.due_at, d.position LIMIT 1
""")


SURVEYING: dict[str, Form] = {
    "next_channel": Plain("SELECT min(channel) FROM sagabus_envelope WHERE channel > ?1"),
    # Lane after lane, until there are enough.
    "tally": Packed(f"""
SELECT why, count(*), min(sent_at) FROM (SELECT e.sent_at, {_COUNTED} AS why FROM json_each(?1) AS cursor
    CROSS JOIN sagabus_envelope AS e ON {_LANE} AND e.due_at BETWEEN ?3 AND ?4 LIMIT ?5) GROUP BY why
"""),
    "oldest": Packed(f"""
SELECT min(sent_at) FROM (SELECT (SELECT e.sent_at FROM sagabus_envelope AS e
    WHERE {_LANE} AND e.due_at = 0 AND {_FREE} ORDER BY e.position LIMIT 1) AS sent_at FROM json_each(?1) AS cursor
UNION ALL SELECT (SELECT e.sent_at FROM sagabus_envelope AS e
    WHERE {_LANE} AND e.due_at BETWEEN 1 AND ?2 AND e.stashed = 0 AND {_FREE}
    ORDER BY e.due_at, e.position LIMIT 1) FROM json_each(?1) AS cursor)
"""),
    "walk_at_once": _walk(_AT_ONCE),
    "walk_by_schedule": _walk(_BY_SCHEDULE),
    "stop_at_once": _stop(_AT_ONCE),
    "stop_by_schedule": _stop(_BY_SCHEDULE),
    "waiting_at": Packed(
        f"""
SELECT {packed_rows(COLUMNS)} FROM (SELECT {_why("?1", _RUNS.format("?3"))} AS why, e.position,
    {FIELDS} FROM sagabus_envelope AS e WHERE e.position = ?2)
""",
        _waiting,
        COLUMNS,
    ),
    "running_notes": Plain("""
SELECT worker, channel, running FROM sagabus_worker
WHERE running IS NOT NULL AND expires_at BETWEEN ?1 AND ?1 + 2 * lease_length
"""),
    "noted_at": Packed(
        f"""
SELECT {packed_rows(COLUMNS)} FROM (SELECT {_why("?2", "1 = 1")} AS why, e.position,
    {FIELDS} FROM sagabus_envelope AS e WHERE e.position IN (SELECT value FROM json_each(?1)))
""",
        _waiting,
        COLUMNS,
    ),
    "hold_of_key": Plain("SELECT position FROM sagabus_held_key WHERE channel = ?1 AND partition_key = ?2"),
    "owner_of_lane": Plain("""
SELECT owner FROM sagabus_lane WHERE channel = ?1 AND lane = ?2 AND expires_at BETWEEN ?3 AND ?3 + 2 * lease_length
"""),
    "letter_at": Plain("SELECT id FROM sagabus_dead_letter WHERE status = 'open' ORDER BY id DESC LIMIT 1 OFFSET ?1"),
    "letters_of_key": Plain(f"""
SELECT {rows.LETTER_COLUMNS} FROM sagabus_dead_letter WHERE id IN (SELECT id FROM (SELECT id, channel, envelope
    FROM sagabus_dead_letter WHERE status = 'open' ORDER BY id DESC LIMIT ?3)
    WHERE channel = ?1 AND instr(envelope, ?2) ORDER BY id DESC LIMIT ?4) ORDER BY id DESC
"""),
    "conversation_page": Packed(
        f"""
SELECT {packed_rows(_NOTED)} FROM (SELECT * FROM sagabus_journal WHERE correlation_id = ?1
    AND handled_at >= ?2 AND (handled_at > ?2 OR position > ?3) ORDER BY handled_at, position LIMIT ?4)
""",
        _waiting,
        _NOTED,
    ),
    "letter_stop": Plain("SELECT id FROM sagabus_dead_letter WHERE id > ?1 ORDER BY id LIMIT 1 OFFSET ?2"),
    "letter_stop_of_status": Plain(
        "SELECT id FROM sagabus_dead_letter WHERE status = ?3 AND id > ?1 ORDER BY id LIMIT 1 OFFSET ?2"
    ),
    "any_letter_at": Plain("SELECT id FROM sagabus_dead_letter WHERE id > 0 ORDER BY id DESC LIMIT 1 OFFSET ?1"),
    "letters_naming": Plain(f"""
SELECT {rows.LETTER_COLUMNS} FROM sagabus_dead_letter WHERE id IN (SELECT id FROM (SELECT id, envelope
    FROM sagabus_dead_letter WHERE id > 0 ORDER BY id DESC LIMIT ?2)
    WHERE instr(envelope, ?1) ORDER BY id DESC LIMIT ?3) ORDER BY id DESC
"""),
    "letter_counts": Plain(f"""
SELECT channel, cause, begins, count(*), sum(parked), min(last_failed_at) FROM (SELECT channel, cause, parked,
    last_failed_at, iif(cause IS NULL, substr(reason, 1, {CAUSE_WIDTH}), NULL) AS begins
    FROM sagabus_dead_letter WHERE status = 'open' ORDER BY id LIMIT ?1) GROUP BY channel, cause, begins
"""),
    "lane_counts": Plain("""
SELECT channel, count(*), count(*) FILTER (WHERE owner IS NOT NULL AND expires_at BETWEEN ?1 AND ?1 + 2 * lease_length)
FROM sagabus_lane GROUP BY channel ORDER BY channel
"""),
    "sizes": Plain("""
SELECT 'database', page_count * page_size FROM pragma_page_count, pragma_page_size
UNION ALL SELECT 'free', freelist_count * page_size FROM pragma_freelist_count, pragma_page_size
"""),
}
