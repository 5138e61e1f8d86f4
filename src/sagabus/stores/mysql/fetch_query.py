"""What is due in some lanes. Neither database lets a query take a few rows of each of several groups by an index. A few
lanes are written out one by one, in one query. For many that would be too much to plan each time. A first query finds
the ends of each lane, one step down the index for each. Others then take the rows of the lanes that have some.

At rest the first query is all there is, for any number of lanes.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from sagabus.refs import LaneLike
from sagabus.stores.mysql.fragments import COLUMNS, DUE, FIRST, LAST, NOT_HELD
from sagabus.stores.mysql.prepared import rows_of
from sagabus.stores.mysql.schema import CHANNEL
from sagabus.stores.sql.fetching import FetchExtra
from sagabus.stores.sql.loud_keys import all_but
from sagabus.stores.sql.sifting import SiftExtra
from sagabus.stores.sql.steps import Answer, Query, Row

Run: TypeAlias = Callable[[str, Sequence[object]], Awaitable[list[Row]]]

_encode = msgspec.json.Encoder().encode
_WIDTH = COLUMNS.count(",") + 1
_MOST_LANES = 32
_FEW = 4
_NOWHERE = ""
"""The channel that there is none of."""
_LAST = -2
"""In place of a position: the row that tells the last position of the lane."""

_OF_LANE = f"FROM {DUE} WHERE e.channel = r.channel AND e.lane = r.lane"
_ENDS = f"""
SELECT r.channel, r.lane,
    (SELECT e.position {_OF_LANE} AND e.scheduled = 0 {FIRST}),
    (SELECT e.position {_OF_LANE} AND e.scheduled = 0 {LAST}),
    (SELECT e.due_at {_OF_LANE} AND e.scheduled = 1 {FIRST})
FROM {rows_of(f"channel {CHANNEL}, lane INT").replace("?1", "?")}
"""

# Written out lane by lane, with values that the planner knows: each is one stretch of one index.
_LANE = f"FROM {DUE} WHERE e.channel = ? AND e.lane = ?"
_READY = (
    f"(SELECT {COLUMNS} {_LANE} AND e.scheduled = 0 AND e.due_at = 0 AND e.position > ? AND {NOT_HELD} "
    "ORDER BY e.due_at, e.position LIMIT ?)"
)
_SCHEDULED = (
    f"(SELECT {COLUMNS} {_LANE} AND e.scheduled = 1 AND e.due_at <= ? AND {NOT_HELD} "
    "ORDER BY e.due_at, e.position LIMIT ?)"
)
_NEXT = f"(SELECT MIN(e.due_at) {_LANE} AND e.scheduled = 1 AND e.due_at > ?)"
_STANDING = (
    f"(SELECT e.channel, e.lane, e.position {_LANE} AND e.scheduled = 0 AND e.due_at = 0 AND e.position <= ? "
    f"AND {NOT_HELD})"
)
_NEXT_OF_LANE = _NEXT.replace("MIN(e.due_at)", f"0, NULL, NULL, MIN(e.due_at){', NULL' * (_WIDTH - 4)}")
_ALL_OF_ONE = " UNION ALL ".join(
    (
        _READY,
        _SCHEDULED,
        _NEXT_OF_LANE,
        _STANDING.replace(
            "e.channel, e.lane, e.position", f"-1, e.channel, e.lane, e.position{', NULL' * (_WIDTH - 4)}"
        ),
    )
)


# One lane, for some of its keys. What stands before the cursor is looked through from a position on.
_STANDING_FROM = (
    f"(SELECT -1, e.channel, e.lane, e.position{', NULL' * (_WIDTH - 4)} {_LANE} AND e.scheduled = 0 AND e.due_at = 0 "
    f"AND e.position > ? AND e.position <= ? AND {{which}} AND {NOT_HELD})"
)
_LAST_OF_LANE = (
    f"(SELECT {_LAST}, NULL, NULL, MAX(e.position){', NULL' * (_WIDTH - 4)} {_LANE} AND e.scheduled = 0 "
    "AND e.due_at = 0)"
)
_SOME_KEYS = " UNION ALL ".join(
    (_READY.replace(f"AND {NOT_HELD}", f"AND {{which}} AND {NOT_HELD}"), _STANDING_FROM, _LAST_OF_LANE)
)
_SIFT = f"{_SOME_KEYS} UNION ALL {_SCHEDULED} UNION ALL {_NEXT_OF_LANE}"
_ALL_BUT = re.sub(r"\?\d+", "?", all_but(1))
_OF_ONE = "e.partition_key = ?"


class LaneQueries:
    """The queries of one store, with its tables named. Answers as the shared logic expects them of one query."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._ends = _ENDS.format_map(names).strip()
        self._ready = _READY.format_map(names)
        self._scheduled = _SCHEDULED.format_map(names)
        self._next = _NEXT.format_map(names)
        self._standing = _STANDING.format_map(names)
        self._all_of_one = _ALL_OF_ONE.format_map(names)
        self._sift = _SIFT.format_map({**names, "which": _ALL_BUT})
        self._sift_key = _SOME_KEYS.format_map({**names, "which": _OF_ONE})

    async def fetch(self, ask: Query, run: Run) -> Answer:
        """Besides, what stands before the cursors: a transaction may commit after one with later positions."""
        limit, now = map(_int, ask.parameters)
        after: dict[LaneLike, int] = {(str(channel), _int(lane)): _int(at) for channel, lane, at in ask.rows or ()}
        return await (self._few if len(after) <= _FEW else self._many)(after, limit, now, run)

    async def sift(self, ask: Query, run: Run) -> Answer:
        """What is due in one lane, for some of its keys."""
        channel, lane, after, begin, limit, now, *keys = ask.parameters
        place = (channel, lane)
        values = [*place, after, *keys, limit, *place, begin, after, *keys, *place]
        if ask.name == "sift":
            found = await run(self._sift, [*values, *place, now, limit, *place, now])
        else:
            found = await run(self._sift_key, values)
        upcoming = [row[3] for row in found if row[0] == 0 and row[3] is not None]
        standing = [row[3] for row in found if row[0] == -1]
        last = next(row[3] for row in found if row[0] == _LAST) or 0
        extra = SiftExtra(min(upcoming, default=None), [(str(channel), _int(lane), standing)], last=last)
        return Answer([*(row for row in found if row[0] > 0), _row_of(extra)])

    async def _few(self, after: Mapping[LaneLike, int], limit: int, now: int, run: Run) -> Answer:
        lanes = [(*place, at, limit, *place, now, limit, *place, now, *place, at) for place, at in after.items()]
        found = await self._all(run, self._all_of_one, lanes)
        return Answer(
            [
                *(row for row in found if row[0] > 0),
                _extra_row(
                    [row[3] for row in found if row[0] == 0 and row[3] is not None],
                    after,
                    [row[1:4] for row in found if row[0] < 0],
                ),
            ]
        )

    async def _many(self, after: Mapping[LaneLike, int], limit: int, now: int, run: Run) -> Answer:
        ends = await run(self._ends, (_encode(list(after)).decode(),))
        ready: list[tuple[object, ...]] = []
        late: list[tuple[object, ...]] = []
        due: list[tuple[object, ...]] = []
        upcoming: list[int] = []
        for channel, lane, first, last, first_due in ends:
            place = (channel, lane)
            if last is not None and last > after[place]:
                ready.append((*place, after[place], limit))
            if first is not None and first <= after[place]:
                late.append((*place, after[place]))
            if first_due is not None and first_due <= now:
                due.append((*place, now))
            elif first_due is not None:
                upcoming.append(first_due)
        standing = await self._all(run, self._standing, late)
        found = await self._all(run, self._ready, ready)
        found += await self._all(run, self._scheduled, [(*lane, limit) for lane in due])
        upcoming += [at for (at,) in await self._all(run, self._next, due) if at is not None]
        return Answer([*found, _extra_row(upcoming, after, standing)])

    @staticmethod
    async def _all(run: Run, each: str, lanes: Sequence[tuple[object, ...]]) -> list[Row]:
        found: list[Row] = []
        for begin in range(0, len(lanes), _MOST_LANES):
            some = lanes[begin : begin + _MOST_LANES]
            size = 1 << (len(some) - 1).bit_length()  # a power of two, so that few statements do for any number
            found += await run(
                " UNION ALL ".join([each] * size), [value for lane in _padded(some, size) for value in lane]
            )
        return found


def _padded(lanes: Sequence[tuple[object, ...]], size: int) -> list[tuple[object, ...]]:
    """As many as there are places for: the others are nowhere."""
    nowhere = tuple([_NOWHERE if value == lanes[0][0] else value for value in lanes[0]])
    return [*lanes, *[nowhere] * (size - len(lanes))]


def _extra_row(upcoming: Sequence[int], after: Mapping[LaneLike, int], standing: Sequence[Row]) -> Row:
    positions: dict[LaneLike, list[int]] = {place: [] for place, at in after.items() if at > 0}
    for channel, lane, position in standing:
        positions[(channel, lane)].append(position)
    return _row_of(FetchExtra(min(upcoming, default=None), [(*place, found) for place, found in positions.items()]))


def _row_of(extra: FetchExtra | SiftExtra) -> Row:
    return [0, *[None] * 6, _encode(extra).decode(), *[None] * (_WIDTH - 8)]


def _int(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(value)
    return value
