"""What an operator changes, and the audit log, in the words of SQLite."""

from __future__ import annotations

from sagabus.stores.sql import rows
from sagabus.stores.sqlite.sets import Form, Plain

_AS_SEEN = "position = ?1 AND due_at = ?2 AND attempt = ?3"
# The plus keeps the index of times out: an entry is looked at in the order of the ids, down to the floor.
_WANTED = (
    "(?3 IS NULL OR target = ?3 OR instr(was, ?6) > 0) "
    "AND +made_at >= ?7 AND +made_at < ?8 AND (?9 IS NULL OR made_by = ?9)"
)

MENDING: dict[str, Form] = {
    "envelope_at": Plain(f"SELECT position, {rows.STORED_COLUMNS} FROM sagabus_envelope WHERE position = ?1"),
    "take_out": Plain(f"DELETE FROM sagabus_envelope WHERE {_AS_SEEN}"),
    "run_now": Plain(f"UPDATE sagabus_envelope SET due_at = 1 WHERE {_AS_SEEN} AND stashed = 0"),
    "paused": Plain("SELECT channel, paused_at, paused_by, reason FROM sagabus_paused ORDER BY channel"),
    "put_pause": Plain("INSERT INTO sagabus_paused (channel, paused_at, paused_by, reason) VALUES (?1, ?2, ?3, ?4)"),
    "drop_pause": Plain("DELETE FROM sagabus_paused WHERE channel = ?1"),
    "put_audit": Plain(f"INSERT INTO sagabus_audit ({rows.AUDIT_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"),
    "audit_page": Plain(f"""
SELECT id, {rows.AUDIT_COLUMNS} FROM sagabus_audit
WHERE id < ?1 AND ?2 IS NULL AND id > ?5 AND {_WANTED} ORDER BY id DESC LIMIT ?4
"""),
    "audit_page_of": Plain(f"""
SELECT id, {rows.AUDIT_COLUMNS} FROM sagabus_audit
WHERE id < ?1 AND channel = ?2 AND id > ?5 AND {_WANTED} ORDER BY channel, id DESC LIMIT ?4
"""),
    "audit_floor": Plain("""
SELECT id FROM sagabus_audit WHERE id < ?1 AND ?2 IS NULL ORDER BY id DESC LIMIT 1 OFFSET ?3
"""),
    "audit_floor_of": Plain("""
SELECT id FROM sagabus_audit WHERE id < ?1 AND channel = ?2 ORDER BY channel, id DESC LIMIT 1 OFFSET ?3
"""),
    "purge_audits": Plain("""
DELETE FROM sagabus_audit WHERE id IN (SELECT id FROM sagabus_audit
WHERE channel = ?1 AND made_at < ?2 ORDER BY made_at LIMIT ?3)
"""),
}
