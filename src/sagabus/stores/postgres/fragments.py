"""What the statements on PostgreSQL are put together from.

A queue table's statistics are always wrong, and the server keeps a plan that it made while the table was empty. So no
statement leaves the choice of its index to the planner. Rows are found by `= ANY (array)` on a key of one column, or by
LATERAL look-ups one by one. (LIMIT 1 or OFFSET 0 keeps these from becoming a join.) Others are found by scalar
sub-selects, or by comparing whole index keys.
"""

from __future__ import annotations

from sagabus.stores.sql.dialect import KEYS

NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
BORN = "extract(epoch FROM backend_start)::text"
"""When a server process began: in pg_stat_activity."""
ENVELOPE = (
    "channel text, lane int, due_at bigint, message_id text, message_type text, partition_key text, body text, "
    "headers text, correlation_id text, causation_id text, sent_at bigint, attempt int, failed_at bigint, timer text, "
    "stashed int, hops int"
)
STORED = f"{ENVELOPE}, deaths int, excused int"
INSTANCE = (
    "saga text, key text, version bigint, read_version bigint, state text, status text, timers text, "
    "completed_at bigint, created_at bigint, updated_at bigint, shape text"
)
HISTORY = (
    "saga text, key text, version bigint, committed_at bigint, message_id text, message_type text, timer text, "
    "status text, completed int, state text, shape text"
)
JOURNAL = (
    "correlation_id text, subscription text, message_id text, message_type text, key text, timer text, "
    "causation_id text, sent_at bigint, attempt int, outcome text, error text, version bigint, duration bigint, "
    "worker text, handled_at bigint"
)
INSTANCE_NAMES = ", ".join(column.split()[0] for column in INSTANCE.split(", "))
PLACE = "channel text, partition_key text"
POSITIONS = "ANY (ARRAY(SELECT p::bigint FROM json_array_elements_text(?1::json) AS p))"
# While nothing at all is held back, no row is checked: most of the time.
NOT_HELD = """((SELECT NOT EXISTS (SELECT 1 FROM {held_key}))
    OR (SELECT h.position FROM {held_key} AS h WHERE h.channel = e.channel
    AND h.partition_key = e.partition_key AND h.position <> e.position LIMIT 1) IS NULL)"""


def of_lane(lane: str, after: str, until: str, take: str, limit: str, *, which: str = "") -> str:
    """What stands in a lane after a (due, position) and until a due time, in this order, which only one index gives."""
    channel, number = lane.split(", ")
    wanted = f"{which} AND {NOT_HELD}" if which else NOT_HELD
    return f"""(SELECT {take} FROM {{envelope}} AS e WHERE e.channel = {channel} AND e.lane = {number}
    AND (e.due_at, e.position) > ({after}) AND e.due_at <= {until} AND {wanted}
    ORDER BY e.due_at, e.position {limit})"""


def recordset(parameter: str, columns: str) -> str:
    """The set of rows that a parameter holds, as `packed` writes it, under the names of its columns."""
    pairs = [column.split() for column in columns.split(", ")]
    names = ", ".join(f"{key} AS {name}" for key, (name, _) in zip(KEYS, pairs, strict=False))
    types = ", ".join(f"{key} {kind}" for key, (_, kind) in zip(KEYS, pairs, strict=False))
    return f"(SELECT {names} FROM json_to_recordset({parameter}::json) AS given({types}))"


def write_instances(given: str, now: str) -> str:
    """Make the instances that rest on nothing, and save others over the version that was read. Gives the version that
    each saved instance is based on. It is negative if there was no row to save over, and the statement made one again.
    """
    return f"""
INSERT INTO {{instance}} AS i ({INSTANCE_NAMES})
SELECT saga, key, version, -read_version, state, status, timers, completed_at, {now}, {now}, shape FROM {given} AS r
ON CONFLICT (saga, key) DO UPDATE SET version = excluded.version, read_version = -excluded.read_version,
    state = excluded.state, status = excluded.status, timers = excluded.timers, completed_at = excluded.completed_at,
    updated_at = excluded.updated_at, shape = excluded.shape
WHERE i.version = -excluded.read_version
RETURNING read_version"""


def upsert(given: str) -> str:
    """Save instances over the versions that were read. A row that is gone is not made again."""
    return f"""
INSERT INTO {{instance}} AS i ({INSTANCE_NAMES}) SELECT r.* FROM {given} AS r
CROSS JOIN LATERAL (SELECT 1 FROM {{instance}} AS o WHERE o.saga = r.saga AND o.key = r.key LIMIT 1) AS o
ON CONFLICT (saga, key) DO UPDATE SET version = excluded.version, read_version = excluded.read_version,
    state = excluded.state, status = excluded.status, timers = excluded.timers, completed_at = excluded.completed_at,
    updated_at = excluded.updated_at, shape = excluded.shape
WHERE i.version = excluded.read_version"""


def create(given: str) -> str:
    """Make instances that are not there yet."""
    return f"""
INSERT INTO {{instance}} ({INSTANCE_NAMES}) SELECT {INSTANCE_NAMES} FROM {given} AS r
ON CONFLICT (saga, key) DO NOTHING"""
