"""An append's three questions in one: the routing, the ids that are known, the horizons. Each is a round trip less.

For a single envelope whose lane has been worked off, what a fetch would have to ask comes along.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from sagabus.envelope import Envelope
from sagabus.stores.mysql.fragments import DUE, LOCKABLE_ROWS
from sagabus.stores.mysql.prepared import rows_of
from sagabus.stores.mysql.schema import CHANNEL
from sagabus.stores.mysql.statements import STATEMENTS
from sagabus.stores.sql.dialect import Statement
from sagabus.stores.sql.handover import Findings, KeyRow, LaneCursor
from sagabus.stores.sql.steps import Answer, Query, Row, Steps

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode
_ROUTING, _KNOWN, _HORIZON, _STANDING, _NEW, _INSTANCE, _STASHED = range(7)
_CHANNELS = rows_of(f"channel {CHANNEL}").replace("?1", "?2")

_LOOK = f"""
(SELECT {_ROUTING}, NULL, NULL, NULL, value{{more}} FROM {{meta}} WHERE name = 'routing' LOCK IN SHARE MODE)
UNION ALL
(SELECT {_KNOWN}, i.channel, i.message_id, i.fingerprint, NULL{{more}} FROM {{rows}}
    STRAIGHT_JOIN {{inbox}} AS i FORCE INDEX (PRIMARY) ON i.channel = r.channel AND i.message_id = r.message_id)
UNION ALL
(SELECT {_HORIZON}, h.channel, NULL, NULL, h.stamp{{more}} FROM {LOCKABLE_ROWS.format(rows=_CHANNELS)}
    STRAIGHT_JOIN {{horizon}} AS h FORCE INDEX (PRIMARY) ON h.channel = r.channel LOCK IN SHARE MODE)
"""
_MORE = ", NULL" * 6
_LANE = f"FROM {DUE} WHERE e.channel = ?3 AND e.lane = ?4 AND e.scheduled = 0 AND e.due_at = 0"
# Whether the key is held back is enough to know: then the database is asked again.
_TELL = f"""
UNION ALL
(SELECT {_STANDING}, NULL, NULL, NULL, e.position{_MORE} {_LANE} AND e.position <= ?5)
UNION ALL
(SELECT {_NEW}, NULL, NULL, NULL, e.position{_MORE} {_LANE} AND e.position > ?5 ORDER BY e.due_at, e.position LIMIT 1)
UNION ALL
(SELECT {_NEW}, NULL, NULL, NULL, NULL{_MORE} FROM {{held_key}} AS h FORCE INDEX (PRIMARY)
    WHERE h.channel = ?3 AND h.partition_key = ?6)
UNION ALL
(SELECT {_STASHED}, NULL, NULL, NULL, NULL{_MORE} FROM {{envelope}} AS e FORCE INDEX ({{envelope_waits}})
    WHERE e.waits = ?6 AND e.channel = ?3 AND e.stashed = 1 LIMIT 1)
UNION ALL
(SELECT {_INSTANCE}, i.saga, i.`key`, i.state, i.version, i.status, i.timers, i.completed_at,
        i.created_at, i.updated_at, i.shape
    FROM {{instance}} AS i FORCE INDEX (PRIMARY) WHERE i.saga = ?3 AND i.`key` = ?6)
"""
_COLUMNS = STATEMENTS["known"].columns

LOOK = {
    "look": Statement(_LOOK.replace("{more}", ""), _COLUMNS, gives=True),
    "look_and_tell": Statement(_LOOK.replace("{more}", _MORE) + _TELL, _COLUMNS, gives=True),
}


class Heard:
    """What the look-up has found about the lane of a single envelope."""

    def __init__(self) -> None:
        self._nothing_new = False
        self._standing: list[int] = []
        self._instance: KeyRow | None = None

    def take(self, envelope: Envelope, found: Sequence[Row]) -> None:
        """Take note of the rows."""
        by_kind: dict[int, list[Row]] = {}
        for row in found:
            by_kind.setdefault(row[0], []).append(row)
        self._nothing_new = _NEW not in by_kind
        self._standing = [row[4] for row in by_kind.get(_STANDING, ())]
        self._instance = None
        if envelope.partition_key is not None and _STASHED not in by_kind:
            instances = [(row[1], row[2], row[4], row[3], *row[5:]) for row in by_kind.get(_INSTANCE, ())]
            self._instance = (envelope.channel, envelope.partition_key, instances[0] if instances else None)

    def findings(self, envelope: Envelope, position: int) -> Findings | None:
        """What the next fetch of the lane need not ask any more, now that the envelope stands at its position."""
        if not self._nothing_new:
            return None
        instances = [] if self._instance is None else [self._instance]
        return Findings([position], [(envelope.channel, envelope.lane, self._standing)], instances)


def at_one_look(
    steps: Steps[T], envelopes: Sequence[Envelope], lane: LaneCursor | None = None, heard: Heard | None = None
) -> Steps[T]:
    """The same steps, which begin with the routing; what they ask next has been answered with it. `lane`: that of the
    only envelope, of which there is to be `heard`.
    """
    asked = [(envelope.channel, envelope.message_id) for envelope in envelopes if envelope.guarded]
    if not asked:
        return (yield from steps)
    channels = _encode(sorted({channel for channel, _ in asked})).decode()
    next(steps)  # it asks for the routing
    if lane is None or heard is None:
        found = (yield Query("look", (channels,), asked)).rows
    else:
        found = (yield Query("look_and_tell", (channels, *lane, envelopes[0].partition_key), asked)).rows
        heard.take(envelopes[0], found)
    answers = _answers(found)
    answer = answers.pop("routing")
    while True:
        try:
            question = steps.send(answer)
            while isinstance(question, Query) and question.name in answers:
                question = steps.send(answers.pop(question.name))
        except StopIteration as end:
            result: T = end.value
            return result
        answer = yield question


def _answers(rows: Sequence[Row]) -> dict[str, Answer]:
    return {
        "routing": Answer([row[4:5] for row in rows if row[0] == _ROUTING]),
        "known": Answer([row[1:4] for row in rows if row[0] == _KNOWN]),
        "horizons": Answer([(row[1], row[4]) for row in rows if row[0] == _HORIZON]),
    }
