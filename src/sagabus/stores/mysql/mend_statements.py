"""What an operator changes, and the audit log, in the words that MySQL and MariaDB have in common."""

from __future__ import annotations

from sagabus.stores.mysql.fragments import COLUMNS
from sagabus.stores.sql import rows
from sagabus.stores.sql.dialect import Statement

_AS_SEEN = "position = ?1 AND due_at = ?2 AND attempt = ?3"
_WANTED = (
    "(?3 IS NULL OR a.target = ?3 OR LOCATE(?6, a.was) > 0) "
    "AND a.made_at >= ?7 AND a.made_at < ?8 AND (?9 IS NULL OR a.made_by = ?9)"
)

MENDING = {
    "envelope_at": Statement(f"SELECT {COLUMNS} FROM {{envelope}} AS e WHERE e.position = ?1", gives=True),
    "take_out": Statement(f"DELETE FROM {{envelope}} WHERE {_AS_SEEN}"),
    "run_now": Statement(f"UPDATE {{envelope}} SET due_at = 1 WHERE {_AS_SEEN} AND stashed = 0"),
    "paused": Statement("SELECT channel, paused_at, paused_by, reason FROM {paused} ORDER BY channel", gives=True),
    "put_pause": Statement("INSERT INTO {paused} (channel, paused_at, paused_by, reason) VALUES (?1, ?2, ?3, ?4)"),
    "drop_pause": Statement("DELETE FROM {paused} WHERE channel = ?1"),
    "put_audit": Statement(f"INSERT INTO {{audit}} ({rows.AUDIT_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"),
    "audit_page": Statement(
        f"SELECT a.id, {rows.AUDIT_COLUMNS} FROM {{audit}} AS a FORCE INDEX (PRIMARY) "
        f"WHERE a.id < ?1 AND ?2 IS NULL AND a.id > ?5 AND {_WANTED} ORDER BY a.id DESC LIMIT ?4",
        gives=True,
    ),
    "audit_page_of": Statement(
        f"SELECT a.id, {rows.AUDIT_COLUMNS} FROM {{audit}} AS a FORCE INDEX ({{audit_channel}}) "
        f"WHERE a.id < ?1 AND a.channel = ?2 AND a.id > ?5 AND {_WANTED} "
        "ORDER BY a.id DESC LIMIT ?4",
        gives=True,
    ),
    "audit_floor": Statement(
        "SELECT a.id FROM {audit} AS a FORCE INDEX (PRIMARY) "
        "WHERE a.id < ?1 AND ?2 IS NULL ORDER BY a.id DESC LIMIT 1 OFFSET ?3",
        gives=True,
    ),
    "audit_floor_of": Statement(
        "SELECT a.id FROM {audit} AS a FORCE INDEX ({audit_channel}) "
        "WHERE a.id < ?1 AND a.channel = ?2 ORDER BY a.id DESC LIMIT 1 OFFSET ?3",
        gives=True,
    ),
    "purge_audits": Statement("""
DELETE a FROM (SELECT old.id FROM {audit} AS old FORCE INDEX ({audit_made})
    WHERE old.channel = ?1 AND old.made_at < ?2 ORDER BY old.made_at LIMIT ?3) AS r
STRAIGHT_JOIN {audit} AS a FORCE INDEX (PRIMARY) ON a.id = r.id
"""),
}
