"""What the statements on MySQL and MariaDB are put together from; an index is named wherever rows are looked up."""

from __future__ import annotations

from sagabus.stores.mysql.schema import CHANNEL, KEY
from sagabus.stores.sql import rows

NOW = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"
"""Not by way of the session's time zone: in some hour of the year that is ambiguous."""

ENVELOPE = rows.ENVELOPE_COLUMNS.replace(",", " ANY,") + " ANY"
INSTANCE = (
    "saga ANY, `key` ANY, version ANY, read_version ANY, state ANY, status ANY, timers ANY, completed_at ANY, "
    "created_at ANY, updated_at ANY, shape ANY"
)
INSTANCE_NAMES = INSTANCE.replace(" ANY", "")
HISTORY_NAMES = rows.HISTORY_COLUMNS.replace("key", "`key`")
HISTORY = HISTORY_NAMES.replace(",", " ANY,") + " ANY"
JOURNAL_NAMES = rows.JOURNAL_COLUMNS.replace(" key,", " `key`,")
JOURNAL = JOURNAL_NAMES.replace(",", " ANY,") + " ANY"
PLACE = f"channel {CHANNEL}, partition_key {KEY}"
POSITION = "position BIGINT"
NOT_HELD = """NOT EXISTS (SELECT 1 FROM {held_key} AS h WHERE h.channel = e.channel
    AND h.partition_key = e.partition_key AND h.position <> e.position)"""
COLUMNS = f"e.position, {', '.join('e.' + name for name in rows.STORED_COLUMNS.split(', '))}"
DUE = "{envelope} AS e FORCE INDEX ({envelope_due})"
FIRST = "ORDER BY e.channel, e.lane, e.scheduled, e.due_at, e.position LIMIT 1"
LAST = "ORDER BY e.channel DESC, e.lane DESC, e.scheduled DESC, e.due_at DESC, e.position DESC LIMIT 1"
"""Of a lane that another table names; by every column of the index. MySQL does not see that those in front are one
value each there, and would sort whatever the lane holds.
"""
WAITING = "{envelope} AS e FORCE INDEX ({envelope_waits}) ON e.waits = r.partition_key AND e.channel = r.channel"
LOCKABLE_ROWS = "(SELECT r.* FROM {rows}) AS r"
"""The set of rows in a statement that locks: MySQL refuses to lock what JSON_TABLE gives, but where it is derived."""
ENVELOPE_AT = "{envelope} AS e FORCE INDEX (PRIMARY) ON e.position = r.position"
