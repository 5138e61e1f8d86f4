"""What erases a subject, in the words of PostgreSQL."""

from __future__ import annotations

from sagabus.stores.postgres.fragments import POSITIONS
from sagabus.stores.sql.dialect import Statement
from sagabus.stores.sql.erasing import TEXTS, WRITING, worded

_WORDS = {"names": "strpos(envelope, ?4) > 0"}
_POSITION = "position bigint"

ERASING = {
    **{name: Statement(text, gives=True) for name, text in worded(TEXTS, _WORDS).items()},
    **{name: Statement(text) for name, text in worded(WRITING, _WORDS).items()},
    "blank_timers": Statement(
        "UPDATE {envelope} SET correlation_id = NULL, causation_id = NULL, headers = NULL "
        f"WHERE position = {POSITIONS}",
        _POSITION,
    ),
    "drop_history": Statement(f"DELETE FROM {{history}} WHERE position = {POSITIONS}", _POSITION),
    "drop_letters": Statement(f"DELETE FROM {{dead_letter}} WHERE id = {POSITIONS}", _POSITION),
    "drop_journal": Statement(f"DELETE FROM {{journal}} WHERE position = {POSITIONS}", _POSITION),
}
