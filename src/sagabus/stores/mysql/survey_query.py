"""Bounded looks at MySQL and MariaDB. Each goes by an index that it names, and stops after so many rows.

Neither database takes a few rows of each of several lanes by an index. So each lane is written out, and some of them
make one query.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sagabus.store.survey import COUNTED
from sagabus.stores.mysql.fetch_query import Run
from sagabus.stores.mysql.fragments import DUE, ENVELOPE_AT, JOURNAL_NAMES, NOT_HELD, POSITION
from sagabus.stores.sql import rows
from sagabus.stores.sql.dialect import Statement
from sagabus.stores.sql.steps import Answer, Query, Row
from sagabus.stores.sql.surveying import CAUSE_WIDTH, why
from sagabus.stores.sql.walking import FIELDS, wanted_text

_MOST_LANES = 8
"""In one query: each of them may give as many rows as are asked for in all."""
_MOST_QUERIES = 64
"""In which a backlog is counted, lane by lane where there are no more lanes than that."""
_PARAMETER = re.compile(r"\?(\d+)")
_LANE = f"FROM {DUE} WHERE e.channel = ?1 AND e.lane = ?2"
_AT_ONCE = "e.scheduled = 0 AND e.due_at = 0 AND e.position > {1} AND e.position <= {3}"
_BY_SCHEDULE = """e.scheduled = 1 AND e.due_at BETWEEN {0} AND {2}
    AND (e.due_at > {0} OR e.position > {1}) AND (e.due_at < {2} OR e.position <= {3})"""
_ORDER = "ORDER BY e.due_at, e.position"
_RUNS = "FIND_IN_SET(e.position, {})"
"""Whether an envelope is at one of the positions that a parameter names."""
_FREE = f"{NOT_HELD} AND NOT {_RUNS.format('?4')}"
_NOTED = "running IS NOT NULL AND expires_at BETWEEN ?1 AND ?1 + 2 * lease_length"


def _walk(stretch: str) -> str:
    """What is wanted of a stretch: `?4` to `?7` are the marks that it is between."""
    reason = why("?3", _RUNS.format("?16"))
    wanted = wanted_text(reason, [f"?{number}" for number in range(9, 16)])
    return f"""
(SELECT {reason} AS why, e.position, {FIELDS} {_LANE} AND {stretch.format("?4", "?5", "?6", "?7")}
AND {wanted} {_ORDER} LIMIT ?8)
"""


def _stop(stretch: str) -> str:
    """The row by which so many have been looked at."""
    return (
        f"(SELECT e.due_at, e.position {_LANE} AND {stretch.format('?3', '?4', '?5', '?6')} {_ORDER} LIMIT 1 OFFSET ?7)"
    )


_OF_LANE = {
    "tally": f"""
(SELECT why, COUNT(*), MIN(sent_at) FROM (SELECT e.sent_at, {why("?3", _RUNS.format("?7"))} AS why {_LANE}
    AND e.scheduled = (?4 > 0) AND e.due_at BETWEEN ?4 AND ?5 ORDER BY e.due_at, e.position LIMIT ?6) AS t GROUP BY why)
""",
    "walk_at_once": _walk(_AT_ONCE),
    "walk_by_schedule": _walk(_BY_SCHEDULE),
    "stop_at_once": _stop(_AT_ONCE),
    "stop_by_schedule": _stop(_BY_SCHEDULE),
    "oldest": f"""
(SELECT e.sent_at {_LANE} AND e.scheduled = 0 AND {_FREE} ORDER BY e.due_at, e.position LIMIT 1)
UNION ALL (SELECT e.sent_at {_LANE} AND e.scheduled = 1 AND e.due_at <= ?3 AND e.stashed = 0 AND {_FREE}
    ORDER BY e.due_at, e.position LIMIT 1)
""",
}
"""Of one lane: ?1 and ?2 are its channel and its number, and the parameters that all lanes share follow."""
SURVEYING_LANES = frozenset(_OF_LANE)

SURVEYING = {
    "next_channel": Statement(
        "SELECT e.channel FROM {envelope} AS e FORCE INDEX ({envelope_due}) WHERE e.channel > ?1 "
        "ORDER BY e.channel LIMIT 1",
        gives=True,
    ),
    "waiting_at": Statement(
        f"""
SELECT {why("?1", _RUNS.format("?3"))} AS why, e.position, {FIELDS} FROM {{envelope}} AS e WHERE e.position = ?2
""",
        gives=True,
    ),
    "running_notes": Statement(f"SELECT worker, channel, running FROM {{worker}} WHERE {_NOTED}", gives=True),
    "noted_at": Statement(
        f"SELECT {why('?2', '1 = 1')} AS why, e.position, {FIELDS} FROM {{rows}} STRAIGHT_JOIN {ENVELOPE_AT}",
        POSITION,
        gives=True,
    ),
    "hold_of_key": Statement("SELECT position FROM {held_key} WHERE channel = ?1 AND partition_key = ?2", gives=True),
    "owner_of_lane": Statement(
        "SELECT owner FROM {lane} WHERE channel = ?1 AND lane = ?2 AND expires_at BETWEEN ?3 AND ?3 + 2 * lease_length",
        gives=True,
    ),
    "letter_at": Statement(
        """
SELECT id FROM {dead_letter} FORCE INDEX ({dead_letter_status}) WHERE status = 'open' ORDER BY id DESC LIMIT 1 OFFSET ?1
""",
        gives=True,
    ),
    "letters_of_key": Statement(
        f"""
SELECT {", ".join("d." + name for name in rows.LETTER_COLUMNS.split(", "))} FROM (SELECT id FROM (
    SELECT id, channel, envelope FROM {{dead_letter}} FORCE INDEX ({{dead_letter_status}})
    WHERE status = 'open' ORDER BY id DESC LIMIT ?3) AS l
    WHERE channel = ?1 AND LOCATE(?2, envelope) > 0 ORDER BY id DESC LIMIT ?4) AS r
STRAIGHT_JOIN {{dead_letter}} AS d FORCE INDEX (PRIMARY) ON d.id = r.id ORDER BY d.id DESC
""",
        gives=True,
    ),
    # Both databases enter an index behind a mark only where what stands before the position is one value.
    "conversation_page": Statement(
        f"""
(SELECT {JOURNAL_NAMES}, position FROM {{journal}} FORCE INDEX ({{journal_conversation}})
    WHERE correlation_id = ?1 AND handled_at = ?2 AND position > ?3 ORDER BY handled_at, position LIMIT ?4)
UNION ALL (SELECT {JOURNAL_NAMES}, position FROM {{journal}} FORCE INDEX ({{journal_conversation}})
    WHERE correlation_id = ?1 AND handled_at > ?2 ORDER BY handled_at, position LIMIT ?4)
ORDER BY handled_at, position LIMIT ?4
""",
        gives=True,
    ),
    "letter_stop": Statement(
        "SELECT id FROM {dead_letter} FORCE INDEX (PRIMARY) WHERE id > ?1 ORDER BY id LIMIT 1 OFFSET ?2", gives=True
    ),
    "letter_stop_of_status": Statement(
        """
SELECT id FROM {dead_letter} FORCE INDEX ({dead_letter_status}) WHERE status = ?3 AND id > ?1
ORDER BY id LIMIT 1 OFFSET ?2
""",
        gives=True,
    ),
    "any_letter_at": Statement(
        "SELECT id FROM {dead_letter} FORCE INDEX (PRIMARY) WHERE id > 0 ORDER BY id DESC LIMIT 1 OFFSET ?1", gives=True
    ),
    "letters_naming": Statement(
        f"""
SELECT {", ".join("d." + name for name in rows.LETTER_COLUMNS.split(", "))} FROM (SELECT id FROM (
    SELECT id, envelope FROM {{dead_letter}} FORCE INDEX (PRIMARY) WHERE id > 0 ORDER BY id DESC LIMIT ?2) AS l
    WHERE LOCATE(?1, envelope) > 0 ORDER BY id DESC LIMIT ?3) AS r
STRAIGHT_JOIN {{dead_letter}} AS d FORCE INDEX (PRIMARY) ON d.id = r.id ORDER BY d.id DESC
""",
        gives=True,
    ),
    "letter_counts": Statement(
        f"""
SELECT channel, cause, begins, COUNT(*), SUM(parked), MIN(last_failed_at) FROM (SELECT channel, cause, parked,
    last_failed_at, IF(cause IS NULL, SUBSTR(reason, 1, {CAUSE_WIDTH}), NULL) AS begins
    FROM {{dead_letter}} FORCE INDEX ({{dead_letter_status}}) WHERE status = 'open' ORDER BY id LIMIT ?1) AS d
GROUP BY channel, cause, begins
""",
        gives=True,
    ),
    "lane_counts": Statement(
        """
SELECT channel, COUNT(*), COUNT(IF(owner IS NOT NULL AND expires_at BETWEEN ?1 AND ?1 + 2 * lease_length, 1, NULL))
FROM {lane} GROUP BY channel ORDER BY channel
""",
        gives=True,
    ),
}


class _Each(NamedTuple):
    """A query of one lane as the driver takes it."""

    sql: str
    order: tuple[int, ...]
    """Which parameter goes where."""


class SurveyQueries:
    """The queries of one store, with its tables named."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._each = {name: _each(sql, names) for name, sql in _OF_LANE.items()}

    async def answer(self, ask: Query, run: Run) -> Answer:
        """The rows of all lanes, some lanes at a time."""
        sql, order = self._each[ask.name]
        lanes = ask.rows or ()
        size = _MOST_LANES if ask.name != "tally" else -(-len(lanes) // _MOST_QUERIES)
        found: list[Row] = []
        for begin in range(0, len(lanes), size or 1):
            some = lanes[begin : begin + size]
            found += await run(" UNION ALL ".join([sql] * len(some)), _values(some, ask.parameters, order))
            if ask.name == "tally" and sum(row[1] for row in found) > COUNTED:
                break
        return Answer(found)


def _each(sql: str, names: Mapping[str, str]) -> _Each:
    order = tuple(int(number) - 1 for number in _PARAMETER.findall(sql))
    return _Each(_PARAMETER.sub("?", sql).format_map(names).strip(), order)


def _values(lanes: Sequence[tuple[object, ...]], shared: tuple[object, ...], order: tuple[int, ...]) -> list[object]:
    return [(*lane, *shared)[place] for lane in lanes for place in order]
