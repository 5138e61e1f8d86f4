"""What an operator changes, and the audit log, in the words of PostgreSQL."""

from __future__ import annotations

from sagabus.stores.sql import rows
from sagabus.stores.sql.dialect import Statement

_AS_SEEN = "position = ?1 AND due_at = ?2 AND attempt = ?3"
# The + 0 keeps the index of times out: an entry is looked at in the order of the ids, down to the floor.
_WANTED = (
    "(?3::text IS NULL OR target = ?3::text OR strpos(was, ?6::text) > 0) "
    "AND made_at + 0 >= ?7 AND made_at + 0 < ?8 AND (?9::text IS NULL OR made_by = ?9::text)"
)

MENDING = {
    "envelope_at": Statement(
        f"SELECT position, {rows.STORED_COLUMNS} FROM {{envelope}} WHERE position = ?1", gives=True
    ),
    "take_out": Statement(f"DELETE FROM {{envelope}} WHERE {_AS_SEEN}"),
    "run_now": Statement(f"UPDATE {{envelope}} SET due_at = 1 WHERE {_AS_SEEN} AND stashed = 0"),
    "paused": Statement("SELECT channel, paused_at, paused_by, reason FROM {paused} ORDER BY channel", gives=True),
    "put_pause": Statement("INSERT INTO {paused} (channel, paused_at, paused_by, reason) VALUES (?1, ?2, ?3, ?4)"),
    "drop_pause": Statement("DELETE FROM {paused} WHERE channel = ?1"),
    "put_audit": Statement(
        f"INSERT INTO {{audit}} ({rows.AUDIT_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING id", gives=True
    ),
    "audit_page": Statement(
        f"SELECT id, {rows.AUDIT_COLUMNS} FROM {{audit}} "
        f"WHERE id < ?1 AND ?2::text IS NULL AND id > ?5 AND {_WANTED} ORDER BY id DESC LIMIT ?4",
        gives=True,
    ),
    "audit_page_of": Statement(
        f"SELECT id, {rows.AUDIT_COLUMNS} FROM {{audit}} "
        f"WHERE id < ?1 AND channel = ?2 AND id > ?5 AND {_WANTED} ORDER BY channel DESC, id DESC LIMIT ?4",
        gives=True,
    ),
    "audit_floor": Statement(
        "SELECT id FROM {audit} WHERE id < ?1 AND ?2::text IS NULL ORDER BY id DESC LIMIT 1 OFFSET ?3", gives=True
    ),
    "audit_floor_of": Statement(
        "SELECT id FROM {audit} WHERE id < ?1 AND channel = ?2 ORDER BY channel DESC, id DESC LIMIT 1 OFFSET ?3",
        gives=True,
    ),
    "purge_audits": Statement("""
DELETE FROM {audit} WHERE id = ANY (ARRAY(SELECT id FROM {audit}
    WHERE channel = ?1 AND made_at < ?2 ORDER BY channel, made_at LIMIT ?3))
"""),
}
