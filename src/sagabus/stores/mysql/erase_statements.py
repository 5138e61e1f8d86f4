"""What erases a subject, in the words of MySQL and MariaDB. Each names its index."""

from __future__ import annotations

from sagabus.stores.mysql.fragments import ENVELOPE_AT, POSITION
from sagabus.stores.sql.dialect import Statement
from sagabus.stores.sql.erasing import TEXTS, WRITING, worded

_WORDS = {
    "key": "`key`",
    "names": "LOCATE(?4, envelope) > 0",
    "by_primary": "FORCE INDEX (PRIMARY)",
    "by_conversation": "FORCE INDEX ({journal_conversation})",
}


def _dropped(table: str, column: str = "position") -> Statement:
    sql = f"DELETE t FROM {{rows}} STRAIGHT_JOIN {{{table}}} AS t FORCE INDEX (PRIMARY) ON t.{column} = r.position"
    return Statement(sql, POSITION)


ERASING = {
    **{name: Statement(text, gives=True) for name, text in worded(TEXTS, _WORDS).items()},
    **{name: Statement(text) for name, text in worded(WRITING, _WORDS).items()},
    "blank_timers": Statement(
        f"UPDATE {{rows}} STRAIGHT_JOIN {ENVELOPE_AT} "
        "SET e.correlation_id = NULL, e.causation_id = NULL, e.headers = NULL",
        POSITION,
    ),
    "drop_history": _dropped("history"),
    "drop_letters": _dropped("dead_letter", "id"),
    "drop_journal": _dropped("journal"),
}
