"""What is read on PostgreSQL: due envelopes, instances, and the read-only questions."""

from __future__ import annotations

from sagabus.stores.postgres.fragments import NOT_HELD, POSITIONS, STORED, of_lane
from sagabus.stores.sql import rows
from sagabus.stores.sql.dialect import Statement
from sagabus.stores.sql.loud_keys import all_but

_COLUMNS = f"e.position, {', '.join('e.' + name for name in rows.STORED_COLUMNS.split(', '))}"
_INSTANCE = ", ".join("i." + name for name in rows.INSTANCE_COLUMNS.split(", "))
_NO_INSTANCE = ", ".join("NULL" for _ in range(rows.INSTANCE_WIDTH))
_NULLS = ", ".join(f"NULL::{column.split()[1]}" for column in STORED.split(", ")[3:])
_LETTER_CHOICE = rows.LETTER_CHOICE.format(channel="?3::text", since="?4::bigint", until="?5::bigint")

_UPCOMING = """(SELECT min(e.due_at) FROM c CROSS JOIN LATERAL (SELECT due_at FROM {envelope} AS e
    WHERE e.channel = c.channel AND e.lane = c.lane AND e.due_at > ?3::bigint ORDER BY e.due_at LIMIT 1) AS e)"""
# What stands before the cursors: a transaction may commit after a later one.
STANDING = f"""(SELECT coalesce(json_agg(json_build_array(c.channel, c.lane, ARRAY(
    SELECT e.position FROM {{envelope}} AS e WHERE e.channel = c.channel AND e.lane = c.lane AND e.due_at = 0
    AND e.position <= c.after AND {NOT_HELD}))), '[]'::json) FROM c WHERE c.after > 0)"""


def instances_of(envelopes: str) -> str:
    """The instances of the keys of some envelopes, but for keys that have something stashed."""
    return f"""(SELECT coalesce(json_agg(json_build_array(k.channel, k.key,
    CASE WHEN i.key IS NOT NULL THEN json_build_array({_INSTANCE}) END)), '[]'::json)
FROM (SELECT DISTINCT channel, partition_key AS key FROM {envelopes} WHERE partition_key IS NOT NULL) AS k
LEFT JOIN LATERAL (SELECT {_INSTANCE} FROM {{instance}} AS i WHERE i.saga = k.channel AND i.key = k.key LIMIT 1) AS i
ON true
WHERE (SELECT e.position FROM {{envelope}} AS e
    WHERE e.stashed = 1 AND e.channel = k.channel AND e.partition_key = k.key LIMIT 1) IS NULL)"""


def _extra(instances: str) -> str:
    """All that is not an envelope, as one row with one text: each column of each row more is work for nothing."""
    extra = f"json_build_array({_UPCOMING}, {STANDING}, {instances})::text"
    return f"SELECT 0, NULL, NULL, 0, NULL, NULL, NULL, {extra}, {_NULLS.split(', ', 4)[4]}"


_READY = of_lane("c.channel, c.lane", "0, c.after", "0", _COLUMNS, "LIMIT ?2")
_DUE = of_lane("c.channel, c.lane", "1, -1", "?3::bigint", _COLUMNS, "LIMIT ?2")
_LANE = "?1::text, ?2::int"
_DUE_OF_LANE = of_lane(_LANE, "1, -1", "?6::bigint", _COLUMNS, "LIMIT ?5")


def _sifted(which: str, due: str) -> str:
    """Parameters: channel, lane, after, where looking begins of what stands before that, limit, now, keys."""
    ready = of_lane(_LANE, "0, ?3::bigint", "0", _COLUMNS, "LIMIT ?5", which=which)
    lane = "e.channel = ?1::text AND e.lane = ?2::int"
    # Not by a comparison of whole keys: the index would be read on to the end of the lane.
    standing = f"""SELECT e.position FROM {{envelope}} AS e WHERE {lane} AND e.due_at = 0
    AND e.position > ?4::bigint AND e.position <= ?3::bigint AND {which} AND {NOT_HELD}"""
    upcoming = f"""(SELECT e.due_at FROM {{envelope}} AS e WHERE {lane} AND e.due_at > greatest(?6::bigint, 0)
    ORDER BY e.due_at LIMIT 1)"""
    last = f"""(SELECT e.position FROM {{envelope}} AS e WHERE {lane} AND e.due_at = 0
    ORDER BY e.due_at DESC, e.position DESC LIMIT 1)"""
    lanes = f"json_build_array(json_build_array(?1::text, ?2::int, ARRAY({standing})))"
    extra = f"json_build_array({upcoming}, {lanes}, '[]'::json, coalesce({last}, 0))::text"
    return f"""
SELECT e.* FROM {ready} AS e
{due}
UNION ALL SELECT 0, NULL, NULL, 0, NULL, NULL, NULL, {extra}, {_NULLS.split(", ", 4)[4]}
"""


READING = {
    # A lane with nothing in it costs one look: at rest, those are all.
    "fetch": Statement(
        f"""
WITH c AS MATERIALIZED (SELECT r.* FROM {{rows}} CROSS JOIN LATERAL (
    SELECT 1 FROM {{envelope}} AS e WHERE e.channel = r.channel AND e.lane = r.lane LIMIT 1) AS anything)
SELECT e.* FROM c CROSS JOIN LATERAL {_READY} AS e
UNION ALL
SELECT e.* FROM c CROSS JOIN LATERAL {_DUE} AS e
UNION ALL
{_extra("'[]'::json")}
""",
        "channel text, lane int, after bigint",
        gives=True,
    ),
    # The same for few lanes, with the instances of the keys.
    "fetch_few": Statement(
        f"""
WITH c AS MATERIALIZED (SELECT * FROM {{rows}}),
found AS MATERIALIZED (
    SELECT e.* FROM c CROSS JOIN LATERAL {_READY} AS e
    UNION ALL
    SELECT e.* FROM c CROSS JOIN LATERAL {_DUE} AS e)
SELECT * FROM found
UNION ALL
{_extra(instances_of("found"))}
""",
        "channel text, lane int, after bigint",
        gives=True,
    ),
    # One lane without some keys, or of one key. What stands before the cursor is looked through from a position on.
    "sift": Statement(_sifted(all_but(7), f"UNION ALL SELECT e.* FROM {_DUE_OF_LANE} AS e"), gives=True),
    "sift_key": Statement(_sifted("e.partition_key = ?7", ""), gives=True),
    # No row while another transaction locks the routing, as all do that store envelopes.
    "ended_position": Statement(
        """
SELECT (SELECT coalesce(max(position), 0) FROM {envelope}) FROM {meta} WHERE name = 'routing' FOR UPDATE SKIP LOCKED
""",
        gives=True,
    ),
    "at_positions": Statement(
        f"SELECT {_COLUMNS} FROM {{envelope}} AS e WHERE e.position = {POSITIONS} AND {NOT_HELD}",
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
SELECT {_NO_INSTANCE}, e.* FROM keys AS k CROSS JOIN LATERAL (
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
    # Each envelope is in one count, so that they add up to the rows.
    "counts": Statement(
        """
SELECT c.channel,
    count(*) FILTER (WHERE e.why = 'ready'),
    count(*) FILTER (WHERE e.why = 'scheduled'),
    count(*) FILTER (WHERE e.why = 'timers'),
    count(*) FILTER (WHERE e.why = 'retrying'),
    count(*) FILTER (WHERE e.why = 'stashed'),
    (SELECT count(*) FROM {held_key} AS h WHERE h.channel = c.channel),
    (SELECT count(*) FROM {dead_letter} AS d WHERE d.channel = c.channel AND d.status = 'open'),
    greatest(coalesce(?1::bigint - min(e.sent_at) FILTER (WHERE e.why = 'ready'), 0), 0),
    count(*) FILTER (WHERE e.why = 'behind')
FROM (SELECT channel FROM {subscription} UNION SELECT DISTINCT channel FROM {envelope}
    UNION SELECT channel FROM {dead_letter} WHERE status = 'open') AS c
LEFT JOIN (SELECT o.channel, o.sent_at, CASE WHEN o.stashed = 1 THEN 'stashed' WHEN o.due_at <= ?1::bigint THEN CASE
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
WHERE i.saga = ?1 AND i.key > ?2 AND (?3::text IS NULL OR i.status = ?3::text)
    AND (?5::text IS NULL OR i.key <= ?5::text) ORDER BY i.key LIMIT ?4
""",
        gives=True,
    ),
    "history_page": Statement(
        f"""
SELECT position, {rows.HISTORY_COLUMNS} FROM {{history}}
WHERE saga = ?1 AND key = ?2 AND position > ?3 ORDER BY saga, key, position LIMIT ?4
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
    **{
        f"{name}{of}": Statement(
            f"SELECT {columns} FROM {{dead_letter}} {_LETTER_CHOICE}{where} ORDER BY {order} LIMIT ?6",
            gives=True,
        )
        for name, columns in rows.LETTER_PAGES.items()
        for of, where, order in (("", "", "id"), ("_of_status", " AND status = ?7", "status, id"))
    },
}
