"""One statement that asks all that a fetch has to know, and gives its envelopes as they are used.

The text of a row is decoded into the envelope itself. Bodies and headers come apart: JSON has no bytes, and most
messages have no headers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import repeat
from operator import attrgetter

import msgspec

from sagabus.envelope import Envelope
from sagabus.store import Cursor, Fetched
from sagabus.stores.sql import reading
from sagabus.stores.sql.rows import headers_of
from sagabus.stores.sql.steps import Answer, Query, Row, Steps
from sagabus.stores.sqlite.fragments import NOT_HELD
from sagabus.stores.sqlite.sets import Form, Packed

_TRUTH = "iif({} <> 0, json('true'), json('false'))"
_GIVEN = {
    "body": "''",
    "headers": "NULL",
    "delay": "0",
    "stashed": _TRUTH.format("stashed"),
    "guarded": "json('false')",
    "damage": "NULL",
}
# While no key is held, which is most of the time, that is asked once, and not again for each row.
_NOT_HELD = f"(NOT EXISTS (SELECT 1 FROM sagabus_held_key) OR {NOT_HELD})"
_FIELDS = ", ".join(_GIVEN.get(name, name) for name in Envelope.__struct_fields__)


def _packed(condition: str, order: str) -> str:
    return f"""
SELECT json_group_array(json_array({_FIELDS})) AS fields, json_group_array(body) AS bodies,
    json_group_array(headers) AS headers
FROM (SELECT d.* FROM cursor CROSS JOIN sagabus_envelope AS d WHERE d.position IN (
    SELECT position FROM sagabus_envelope AS e WHERE e.channel = cursor.channel AND e.lane = cursor.lane
    AND {condition} AND {_NOT_HELD} ORDER BY {order} LIMIT ?2))
"""


_SQL = f"""
WITH cursor AS MATERIALIZED
    (SELECT value ->> 0 AS channel, value ->> 1 AS lane, value ->> 2 AS after FROM json_each(?1)),
ready AS ({_packed("e.due_at = 0 AND e.position > cursor.after", "e.position")}),
due AS ({_packed("e.due_at BETWEEN 1 AND ?3", "e.due_at, e.position")})
SELECT ready.fields, ready.bodies, ready.headers, due.fields, due.bodies, due.headers,
    (SELECT min((SELECT min(due_at) FROM sagabus_envelope WHERE channel = cursor.channel AND lane = cursor.lane
        AND due_at > ?3)) FROM cursor),
    (SELECT value * 1000 + (SELECT count(*) FROM sagabus_worker
        WHERE expires_at NOT BETWEEN ?3 AND ?3 + 2 * lease_length) FROM sagabus_meta WHERE name = 'crew')
FROM ready CROSS JOIN due
"""

_fields_of = msgspec.json.Decoder(list[Envelope]).decode
_bodies_of = msgspec.json.Decoder(list[str]).decode
_headers_of = msgspec.json.Decoder(list[str | None]).decode
_position = attrgetter("position")


class FetchForm(Packed):
    """The statement, and its one row."""

    def __init__(self) -> None:
        super().__init__(_SQL)

    def gathered(self, rows: Sequence[Row], changed: int) -> Answer:
        """Envelopes that are ready, those that are due, when the next one is due, and the crew."""
        row = rows[0]
        return Answer([(_envelopes(*row[:3]), _envelopes(*row[3:6]), row[6], row[7])], changed)


FETCHING: dict[str, Form] = {"fetch": FetchForm()}


def _envelopes(fields: str, bodies: str, headers: str) -> list[Envelope]:
    found = _fields_of(fields)
    put = msgspec.structs.force_setattr  # no one else has seen them yet
    deque(map(put, found, repeat("body"), map(str.encode, _bodies_of(bodies))), 0)
    texts = _headers_of(headers)
    if any(texts):
        for envelope, text in zip(found, texts, strict=True):
            put(envelope, "headers", headers_of(text))
    return found


def fetch(cursors: Sequence[Cursor], limit: int, now: int) -> Steps[Fetched]:
    """Due envelopes of the lanes and the time until the next one."""
    lanes = [(cursor.channel, cursor.lane, cursor.after) for cursor in cursors]
    try:
        ((ready, due, upcoming, crew),) = (yield Query("fetch", (limit, now), lanes)).rows
    except (UnicodeDecodeError, msgspec.DecodeError):
        return (yield from reading.fetch(cursors, limit, now))  # a row is damaged: that reads rows one by one
    found = sorted([*ready, *due], key=_position) if due else ready
    return Fetched(tuple(found), None if upcoming is None else upcoming - now, crew=crew or 0)
