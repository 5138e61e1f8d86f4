"""The statements that look for what does not hold, in the words of MySQL and MariaDB. Each names its index."""

from __future__ import annotations

from sagabus.stores.sql.dialect import Statement
from sagabus.stores.sql.examination import DROPPING, TEXTS, worded

_WORDS = {
    "key": "`key`",
    "waits": "waits",
    "timers": "FROM {envelope} AS e FORCE INDEX ({envelope_waits}) WHERE e.waits IS NOT NULL "
    "ORDER BY e.waits, e.channel, e.timer",
    "by_waits": "FORCE INDEX ({envelope_waits})",
    "by_hold": "FORCE INDEX ({held_key_position})",
    "by_stamp": "FORCE INDEX ({inbox_stamp})",
    "by_lane": "FORCE INDEX ({envelope_due})",
    "by_status": "FORCE INDEX ({dead_letter_status})",
}

EXAMINING = {
    **{name: Statement(text, gives=True) for name, text in worded(TEXTS, _WORDS).items()},
    **{name: Statement(text) for name, text in worded(DROPPING, _WORDS).items()},
}
