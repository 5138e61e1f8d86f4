"""The statements that look for what does not hold, in the words of PostgreSQL."""

from __future__ import annotations

from sagabus.stores.postgres.schema import INDEXES
from sagabus.stores.sql.dialect import TABLES, Statement
from sagabus.stores.sql.examination import DROPPING, TEXTS, worded

_NAMES = ", ".join(f"'{table}'" for table in TABLES)
_COMPARED = ("channel", "message_id", "message_type", "partition_key", "timer", "saga", "key", "worker", "owner")

_WORDS = {"latest": "status DESC, id DESC"}
"""The planner enters an index behind an equal column only if the order names that column."""

_HOME = """WITH home AS (SELECT relnamespace AS place, left(relname::text, -4) AS prefix FROM pg_class
    WHERE oid = (SELECT tableoid FROM {meta} LIMIT 1))"""
_INDEXES = ", ".join(f"'{name}'" for name in INDEXES)

EXAMINING = {
    **{name: Statement(text, gives=True) for name, text in worded(TEXTS, _WORDS).items()},
    **{name: Statement(text) for name, text in worded(DROPPING, {}).items()},
    "collations": Statement(
        f"""
{_HOME}
SELECT substr(c.relname::text, length(h.prefix) + 1), a.attname::text, l.collname::text FROM home AS h
JOIN pg_class AS c ON c.relnamespace = h.place AND c.relkind = 'r'
    AND c.relname::text = ANY (SELECT h.prefix || t FROM unnest(ARRAY[{_NAMES}]) AS t)
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    AND a.attname::text IN ({", ".join(f"'{name}'" for name in _COMPARED)})
JOIN pg_collation AS l ON l.oid = a.attcollation WHERE l.collname NOT IN ('C', 'POSIX', 'ucs_basic')
ORDER BY 1, 2
""",
        gives=True,
    ),
    "missing_indexes": Statement(
        f"""
{_HOME}
SELECT h.prefix || n FROM home AS h, unnest(ARRAY[{_INDEXES}]) AS n WHERE NOT EXISTS (SELECT 1 FROM pg_class AS c
    JOIN pg_index AS i ON i.indexrelid = c.oid AND i.indisvalid
    WHERE c.relnamespace = h.place AND c.relname::text = h.prefix || n)
ORDER BY 1
""",
        gives=True,
    ),
}
