"""An append's three questions in one: the routing, the ids that are known, the horizons. Each is a round trip less."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from sagabus.envelope import Envelope
from sagabus.stores.mysql.forms import rows_of
from sagabus.stores.mysql.schema import CHANNEL
from sagabus.stores.mysql.statements import STATEMENTS
from sagabus.stores.mysql.words import LOCKABLE_ROWS
from sagabus.stores.sql.asking import Answer, Ask, Row, Steps
from sagabus.stores.sql.dialect import Statement

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode
_ROUTING, _KNOWN, _HORIZON = range(3)
_CHANNELS = rows_of(f"channel {CHANNEL}").replace("?1", "?2")

LOOK = {
    "look": Statement(
        f"""
(SELECT {_ROUTING}, NULL, NULL, NULL, value FROM {{meta}} WHERE name = 'routing' LOCK IN SHARE MODE)
UNION ALL
(SELECT {_KNOWN}, i.channel, i.message_id, i.fingerprint, NULL FROM {{rows}}
    STRAIGHT_JOIN {{inbox}} AS i FORCE INDEX (PRIMARY) ON i.channel = r.channel AND i.message_id = r.message_id)
UNION ALL
(SELECT {_HORIZON}, h.channel, NULL, NULL, h.stamp FROM {LOCKABLE_ROWS.format(rows=_CHANNELS)}
    STRAIGHT_JOIN {{horizon}} AS h FORCE INDEX (PRIMARY) ON h.channel = r.channel LOCK IN SHARE MODE)
""",
        STATEMENTS["known"].columns,
        gives=True,
    )
}


def at_one_look(steps: Steps[T], envelopes: Sequence[Envelope]) -> Steps[T]:
    """The same steps, which begin with the routing; what they ask next has been answered with it."""
    asked = [(envelope.channel, envelope.message_id) for envelope in envelopes if envelope.guarded]
    if not asked:
        return (yield from steps)
    channels = _encode(sorted({channel for channel, _ in asked})).decode()
    next(steps)  # it asks for the routing
    told = _answers((yield Ask("look", (channels,), asked)).rows)
    answer = told.pop("routing")
    while True:
        try:
            question = steps.send(answer)
            while isinstance(question, Ask) and question.name in told:
                question = steps.send(told.pop(question.name))
        except StopIteration as end:
            result: T = end.value
            return result
        answer = yield question


def _answers(rows: Sequence[Row]) -> dict[str, Answer]:
    return {
        "routing": Answer([row[4:] for row in rows if row[0] == _ROUTING]),
        "known": Answer([row[1:4] for row in rows if row[0] == _KNOWN]),
        "horizons": Answer([(row[1], row[4]) for row in rows if row[0] == _HORIZON]),
    }
