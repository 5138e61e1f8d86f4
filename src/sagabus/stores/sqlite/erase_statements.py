"""What erases a subject, in the words of SQLite."""

from __future__ import annotations

from sagabus.stores.sql.dialect import TABLES
from sagabus.stores.sql.erasing import TEXTS, WRITING, worded
from sagabus.stores.sqlite.sets import Form, Packed, Plain

_NAMES = {table: f"sagabus_{table}" for table in TABLES}
_WORDS = {"names": "instr(envelope, ?4) > 0", "text": r"CAST(\1 AS TEXT)"}
_ROWS = "(SELECT value FROM json_each(?1))"

ERASING: dict[str, Form] = {
    **{name: Plain(text.format_map(_NAMES)) for name, text in worded({**TEXTS, **WRITING}, _WORDS).items()},
    "blank_timers": Packed(f"""
UPDATE sagabus_envelope SET correlation_id = NULL, causation_id = NULL, headers = NULL WHERE position IN {_ROWS}
"""),
    "drop_history": Packed(f"DELETE FROM sagabus_history WHERE position IN {_ROWS}"),
    "drop_letters": Packed(f"DELETE FROM sagabus_dead_letter WHERE id IN {_ROWS}"),
    "drop_journal": Packed(f"DELETE FROM sagabus_journal WHERE position IN {_ROWS}"),
}
