"""The named statements of bounded looks, in the words of PostgreSQL.

Each goes by an index and stops after so many rows.
"""

from __future__ import annotations

from sagabus.stores.postgres.fragments import NOT_HELD, POSITIONS
from sagabus.stores.sql import rows
from sagabus.stores.sql.dialect import TABLES, Statement
from sagabus.stores.sql.surveying import CAUSE_WIDTH, why
from sagabus.stores.sql.walking import COLUMNS, FIELDS, wanted_text

_PLACES = "channel text, lane int"
_LANE = "e.channel = r.channel AND e.lane = r.lane"
_NAMES = ", ".join(f"'{table}'" for table in TABLES)
_STRETCH = """(e.due_at, e.position) > ({}::bigint, {}::bigint)
    AND (e.due_at, e.position) <= ({}::bigint, {}::bigint)"""
_COLUMNS = ", ".join(f"e.{name}" for name in COLUMNS.split(", "))
_KINDS = ("text", "text", "text", "text", "bigint", "bigint", "int")
_FILTERS = [f"?{number}::{kind}" for number, kind in enumerate(_KINDS, 8)]

_RUNS = "e.position IN (SELECT unnest(string_to_array({}::text, ',')::bigint[]))"
"""Whether an envelope is at one of the positions that a parameter names: read once for a statement."""
_FREE = f"{NOT_HELD} AND NOT {_RUNS.format('?3')}"
_COUNTED = why("?2::bigint", _RUNS.format("?6"))
_WHY = why("?2::bigint", _RUNS.format("?15"))

# Of each lane the first few that are wanted in a stretch of its index, and of those the first few of all.
_WALK = Statement(
    f"""
SELECT {_COLUMNS} FROM {{rows}} CROSS JOIN LATERAL (SELECT {_WHY} AS why, e.position, {FIELDS} FROM {{envelope}} AS e
    WHERE {_LANE} AND {_STRETCH.format("?3", "?4", "?5", "?6")}
    AND {wanted_text(_WHY, _FILTERS)} ORDER BY e.due_at, e.position LIMIT ?7) AS e ORDER BY due_at, position LIMIT ?7
""",
    _PLACES,
    gives=True,
)
_STOP = Statement(
    f"""
SELECT e.due_at, e.position FROM {{rows}} CROSS JOIN LATERAL (SELECT e.due_at, e.position FROM {{envelope}} AS e
    WHERE {_LANE} AND {_STRETCH.format("?2", "?3", "?4", "?5")} ORDER BY e.due_at, e.position LIMIT 1 OFFSET ?6) AS e
ORDER BY e.due_at, e.position LIMIT 1
""",
    _PLACES,
    gives=True,
)

SURVEYING = {
    "next_channel": Statement(
        "SELECT channel FROM {envelope} WHERE channel > ?1 ORDER BY channel, lane, due_at, position LIMIT 1", gives=True
    ),
    # Lane after lane, until there are enough.
    "tally": Statement(
        f"""
SELECT why, count(*), min(sent_at) FROM (SELECT e.sent_at, {_COUNTED} AS why FROM {{rows}} CROSS JOIN LATERAL
    (SELECT * FROM {{envelope}} AS e WHERE {_LANE} AND e.due_at BETWEEN ?3::bigint AND ?4::bigint
    ORDER BY e.due_at, e.position OFFSET 0) AS e LIMIT ?5) AS e GROUP BY why
""",
        _PLACES,
        gives=True,
    ),
    "oldest": Statement(
        f"""
SELECT min(sent_at) FROM (SELECT (SELECT e.sent_at FROM {{envelope}} AS e
    WHERE {_LANE} AND e.due_at = 0 AND {_FREE} ORDER BY e.due_at, e.position LIMIT 1) AS sent_at FROM {{rows}}
UNION ALL SELECT (SELECT e.sent_at FROM {{envelope}} AS e
    WHERE {_LANE} AND e.due_at BETWEEN 1 AND ?2::bigint AND e.stashed = 0 AND {_FREE}
    ORDER BY e.due_at, e.position LIMIT 1) FROM {{rows}}) AS o
""",
        _PLACES,
        gives=True,
    ),
    "walk_at_once": _WALK,
    "walk_by_schedule": _WALK,
    "stop_at_once": _STOP,
    "stop_by_schedule": _STOP,
    "waiting_at": Statement(
        f"""
SELECT {why("?1::bigint", _RUNS.format("?3"))} AS why, e.position, {FIELDS} FROM {{envelope}} AS e
WHERE e.position = ?2
""",
        gives=True,
    ),
    "running_notes": Statement(
        """
SELECT worker, channel, running FROM {worker}
WHERE running IS NOT NULL AND expires_at BETWEEN ?1::bigint AND ?1::bigint + 2 * lease_length
""",
        gives=True,
    ),
    "noted_at": Statement(
        f"""
SELECT {why("?2::bigint", "true")} AS why, e.position, {FIELDS} FROM {{envelope}} AS e WHERE e.position = {POSITIONS}
""",
        "position bigint",
        gives=True,
    ),
    "hold_of_key": Statement("SELECT position FROM {held_key} WHERE channel = ?1 AND partition_key = ?2", gives=True),
    "owner_of_lane": Statement(
        """
SELECT owner FROM {lane} WHERE channel = ?1 AND lane = ?2
AND expires_at BETWEEN ?3::bigint AND ?3::bigint + 2 * lease_length
""",
        gives=True,
    ),
    "letter_at": Statement(
        "SELECT id FROM {dead_letter} WHERE status = 'open' ORDER BY status DESC, id DESC LIMIT 1 OFFSET ?1", gives=True
    ),
    "letters_of_key": Statement(
        f"""
SELECT {rows.LETTER_COLUMNS} FROM {{dead_letter}} WHERE id = ANY (ARRAY(SELECT id FROM (SELECT id, channel, envelope
    FROM {{dead_letter}} WHERE status = 'open' ORDER BY status DESC, id DESC LIMIT ?3) AS d
    WHERE channel = ?1 AND strpos(envelope, ?2) > 0 ORDER BY id DESC LIMIT ?4)) ORDER BY id DESC
""",
        gives=True,
    ),
    "conversation_page": Statement(
        f"""
SELECT {rows.JOURNAL_COLUMNS}, position FROM {{journal}}
WHERE correlation_id = ?1 AND (handled_at, position) > (?2::bigint, ?3::bigint)
ORDER BY correlation_id, handled_at, position LIMIT ?4
""",
        gives=True,
    ),
    "letter_stop": Statement("SELECT id FROM {dead_letter} WHERE id > ?1 ORDER BY id LIMIT 1 OFFSET ?2", gives=True),
    "letter_stop_of_status": Statement(
        "SELECT id FROM {dead_letter} WHERE status = ?3 AND id > ?1 ORDER BY status, id LIMIT 1 OFFSET ?2", gives=True
    ),
    "any_letter_at": Statement(
        "SELECT id FROM {dead_letter} WHERE id > 0 ORDER BY id DESC LIMIT 1 OFFSET ?1", gives=True
    ),
    "letters_naming": Statement(
        f"""
SELECT {rows.LETTER_COLUMNS} FROM {{dead_letter}} WHERE id = ANY (ARRAY(SELECT id FROM (SELECT id, envelope
    FROM {{dead_letter}} WHERE id > 0 ORDER BY id DESC LIMIT ?2) AS d
    WHERE strpos(envelope, ?1) > 0 ORDER BY id DESC LIMIT ?3)) ORDER BY id DESC
""",
        gives=True,
    ),
    "letter_counts": Statement(
        f"""
SELECT channel, cause, begins, count(*), sum(parked), min(last_failed_at) FROM (SELECT channel, cause, parked,
    last_failed_at, CASE WHEN cause IS NULL THEN substr(reason, 1, {CAUSE_WIDTH}) END AS begins
    FROM {{dead_letter}} WHERE status = 'open' ORDER BY status, id LIMIT ?1) AS d GROUP BY channel, cause, begins
""",
        gives=True,
    ),
    "lane_counts": Statement(
        """
SELECT channel, count(*), count(*) FILTER (WHERE owner IS NOT NULL
    AND expires_at BETWEEN ?1::bigint AND ?1::bigint + 2 * lease_length)
FROM {lane} GROUP BY channel ORDER BY channel
""",
        gives=True,
    ),
    # Found by a row of ours, whatever the names of the schema and the prefix look like.
    "sizes": Statement(
        f"""
WITH home AS (SELECT relnamespace AS place, left(relname::text, -4) AS prefix FROM pg_class
    WHERE oid = (SELECT tableoid FROM {{meta}} LIMIT 1))
SELECT substr(c.relname::text, length(h.prefix) + 1), pg_total_relation_size(c.oid) FROM home AS h JOIN pg_class AS c
ON c.relnamespace = h.place AND c.relkind = 'r' AND c.relname::text = ANY (SELECT h.prefix || t
    FROM unnest(ARRAY[{_NAMES}]) AS t)
""",
        gives=True,
    ),
}
