"""Looks for what does not hold. Each goes by an index through a few rows, and asks of each by another index.

What a row lacks is asked by a subquery for one value: a join could be planned by reading the whole other table. No
such subquery stands in a derived table: MariaDB pushes conditions down there, and loses what they refer to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from sagabus.store.examination import EXAMINED, NAMED, Fault, FaultKind, Still, StillPage
from sagabus.stores.sql import appending, dead_letters, surveying
from sagabus.stores.sql.steps import Query, Steps

_TIMERS = """
SELECT t.channel, t.partition_key, t.timer, t.position
FROM (SELECT e.channel, e.partition_key, e.timer, e.position, e.due_at {timers} LIMIT ?1) AS t
WHERE t.timer IS NOT NULL AND t.due_at > ?2
    AND (SELECT %s FROM {instance} AS i WHERE i.saga = t.channel AND i.{key} = t.partition_key) %s
ORDER BY t.position LIMIT ?3
"""
_FORMER = """
(SELECT p.version FROM {history} AS p WHERE p.saga = h.saga AND p.{key} = h.{key} AND p.position < h.position
    ORDER BY p.position DESC LIMIT 1)
"""
TEXTS: Mapping[str, str] = {
    "orphan_timers": _TIMERS % ("i.saga", "IS NULL"),
    "idle_timers": _TIMERS % ("i.completed_at", "IS NOT NULL"),
    "timers_that_count": """
SELECT i.saga, i.{key}, i.timers, (SELECT COUNT(*) FROM {envelope} AS e {by_waits}
    WHERE e.{waits} = i.{key} AND e.channel = i.saga AND e.timer IS NOT NULL)
FROM (SELECT saga, {key}, timers, completed_at FROM {instance} ORDER BY saga, {key} LIMIT ?1) AS i
WHERE i.timers IS NOT NULL AND i.completed_at IS NULL
""",
    "stored_timers": """
SELECT e.timer FROM {envelope} AS e {by_waits}
WHERE e.{waits} = ?1 AND e.channel = ?2 AND e.timer IS NOT NULL
""",
    "timers_now": "SELECT timers FROM {instance} WHERE saga = ?1 AND {key} = ?2",
    "letters_of_message": """
SELECT COUNT(*) FROM {dead_letter} WHERE channel = ?1 AND message_id = ?2 AND status <> 'discarded'
""",
    "dangling_holds": """
SELECT channel, partition_key, position FROM (SELECT channel, partition_key, position FROM {held_key}
    ORDER BY channel, partition_key LIMIT ?1) AS h WHERE position > 0
    AND (SELECT e.position FROM {envelope} AS e WHERE e.position = h.position) IS NULL LIMIT ?2
""",
    "parks": "SELECT channel, partition_key FROM {held_key} {by_hold} WHERE position = 0 LIMIT ?1",
    "all_horizons": "SELECT channel, stamp FROM {horizon} ORDER BY channel",
    "horizon_of": "SELECT stamp FROM {horizon} WHERE channel = ?1",
    "records_below": """
SELECT COUNT(*) FROM (SELECT 1 AS one FROM {inbox} {by_stamp} WHERE channel = ?1 AND stamp < ?2
    ORDER BY channel, stamp LIMIT ?3) AS r
""",
    "history_gaps": f"""
SELECT h.saga, h.{{key}}, h.version, {_FORMER} FROM (SELECT position, saga, {{key}}, version FROM {{history}}
    ORDER BY position DESC LIMIT ?1) AS h WHERE h.version > 1 AND h.version - 1 <> {_FORMER}
ORDER BY h.position LIMIT ?2
""",
    "unknown_lanes": """
SELECT COUNT(*), MIN(lane) FROM (SELECT lane FROM {envelope} {by_lane} WHERE channel = ?1 AND lane >= ?2
    ORDER BY channel, lane LIMIT ?3) AS e
""",
    "too_few_lanes": """
SELECT l.channel, COUNT(*), (SELECT value FROM {meta} WHERE name = 'lanes') FROM {lane} AS l
GROUP BY l.channel ORDER BY l.channel
""",
    "unchanged": """
SELECT i.{key}, i.version, i.status, i.updated_at FROM (SELECT {key}, version, status, updated_at, completed_at
    FROM {instance} WHERE saga = ?1 AND {key} > ?2 ORDER BY saga, {key} LIMIT ?3) AS i
WHERE i.completed_at IS NULL AND i.updated_at <= ?4
    AND COALESCE(i.status, '') = COALESCE(?6, i.status, '') ORDER BY i.{key} LIMIT ?5
""",
    "instance_behind": """
SELECT {key} FROM {instance} WHERE saga = ?1 AND {key} > ?2 ORDER BY saga, {key} LIMIT 1 OFFSET ?3
""",
    "recent_letters": """
SELECT channel, COUNT(*) FROM (SELECT channel, last_failed_at FROM {dead_letter} {by_status} WHERE status = 'open'
    ORDER BY {latest} LIMIT ?1) AS d WHERE last_failed_at >= ?2 GROUP BY channel
""",
}
"""The statements of all dialects. `{key}` stands for the column of that name, and `{waits}` for the one by which timers
are found. `{timers}` stands for the timers in the order of their index, and `{latest}` for the order of letters.
`{by_…}` is an index in words.
"""
DROPPING: Mapping[str, str] = {
    "drop_hold": """
DELETE FROM {held_key} WHERE channel = ?1 AND partition_key = ?2 AND position = ?3 AND position > 0
    AND (SELECT COUNT(*) FROM {envelope} AS e WHERE e.position = ?3) = 0
""",
    "drop_timer": """
DELETE FROM {envelope} WHERE position = ?1 AND timer IS NOT NULL AND (SELECT COUNT(*) FROM {instance} AS i
    WHERE i.saga = ?2 AND i.{key} = ?3 AND i.completed_at IS NOT NULL) = 1
""",
}
"""The same, of statements that write."""
TIMERS = "FROM {envelope} AS e WHERE e.timer IS NOT NULL ORDER BY e.channel, e.partition_key, e.timer"
_decode_timers = msgspec.json.Decoder(dict[str, str]).decode


def worded(texts: Mapping[str, str], words: Mapping[str, str]) -> dict[str, str]:
    """The texts of one dialect: `words` for what it says otherwise, and nothing for other indexes."""
    silent = dict.fromkeys(("by_waits", "by_hold", "by_stamp", "by_lane", "by_status"), "")
    plain = {"key": "key", "waits": "partition_key", "timers": TIMERS, "latest": "id DESC"}
    chosen = {**plain, **silent, **words}
    found: dict[str, str] = {}
    for name, text in texts.items():
        for word, said in chosen.items():
            text = text.replace(f"{{{word}}}", said)  # noqa: PLW2901  # word after word
        found[name] = text
    return found


def faults(kind: FaultKind, now: int) -> Steps[list[Fault]]:
    """Faults of one kind."""
    return (yield from _LOOKS[kind](now))


def recent_letters(since: int) -> Steps[dict[str, int]]:
    """How many open dead letters failed since then, by channel."""
    found = (yield Query("recent_letters", (EXAMINED, since))).rows
    return {row[0]: int(row[1]) for row in found}


def unchanged(saga: str, span: int, status: str | None, *, after: str, limit: int, now: int) -> Steps[StillPage]:
    """A page of live instances that have not changed for so long."""
    rows_ = (yield Query("unchanged", (saga, after, EXAMINED, now - span, limit, status))).rows
    found = tuple(Still(str(key), version, status, updated_at) for key, version, status, updated_at in rows_)
    if len(found) == limit:
        return StillPage(now, found, found[-1].key)
    last = (yield Query("instance_behind", (saga, after, EXAMINED - 1))).value
    return StillPage(now, found, last)


def mend(fault: Fault) -> Steps[int]:
    """Remove what the fault consists of, where it still does."""
    channel, key = fault.channel, fault.key
    if fault.kind is FaultKind.DANGLING_HOLD:  # a position is never given twice: what it names never comes back
        return int((yield Query("drop_hold", (channel, key, fault.position))).changed)
    if fault.kind is FaultKind.DANGLING_PARK:
        return int((yield from dead_letters.let_go(channel, key)))
    if fault.kind is FaultKind.IDLE_TIMER:
        return int((yield Query("drop_timer", (fault.position, channel, key))).changed)
    if fault.kind is FaultKind.EXPIRED_RECORD:
        lowest = (yield from appending.horizons([channel])).get(channel, 0)
        return int((yield Query("purge_inbox", (channel, lowest))).changed)
    raise ValueError(f"{fault.kind.value}: nothing may be removed for this")


def _orphan_timers(now: int) -> Steps[list[Fault]]:
    return (yield from _timers("orphan_timers", FaultKind.ORPHAN_TIMER, now))


def _idle_timers(now: int) -> Steps[list[Fault]]:
    return (yield from _timers("idle_timers", FaultKind.IDLE_TIMER, now))


def _timers(name: str, kind: FaultKind, now: int) -> Steps[list[Fault]]:
    found = (yield Query(name, (EXAMINED, now, NAMED))).rows
    return [Fault(kind, channel, key, timer, position=at) for channel, key, timer, at in found]


def _lost_timers(now: int) -> Steps[list[Fault]]:
    found: list[Fault] = []
    for saga, key, text, stored in (yield Query("timers_that_count", (EXAMINED,))).rows:
        timers = _decode_timers(text)
        if stored < len(timers) and (missing := (yield from _missing_timers(saga, key, timers))):
            found.append(Fault(FaultKind.LOST_TIMER, saga, key, ", ".join(missing)))
        if len(found) == NAMED:
            break
    return found


def _missing_timers(saga: str, key: str, timers: Mapping[str, str]) -> Steps[list[str]]:
    """Which of its timers are neither stored nor held. One that ran meanwhile, the instance names no longer."""
    stored = {name for (name,) in (yield Query("stored_timers", (key, saga))).rows}
    text: str | None = (yield Query("timers_now", (saga, key))).value
    now: Mapping[str, str] = {} if text is None else _decode_timers(text)
    found: list[str] = []
    for name, message_id in timers.items():
        if name in stored or now.get(name) != message_id:
            continue
        if not (yield Query("letters_of_message", (saga, message_id))).value:
            found.append(name)
    return found


def _dangling_holds(now: int) -> Steps[list[Fault]]:
    found = (yield Query("dangling_holds", (EXAMINED, NAMED))).rows
    return [Fault(FaultKind.DANGLING_HOLD, channel, key, position=at) for channel, key, at in found]


def _dangling_parks(now: int) -> Steps[list[Fault]]:
    found: list[Fault] = []
    for channel, key in (yield Query("parks", (NAMED,))).rows:
        if (yield from dead_letters.is_parked(channel, key)):
            continue
        # Closing the last letter lets the key go in the same transaction.
        if (yield Query("hold_of_key", (channel, key))).value == 0:
            found.append(Fault(FaultKind.DANGLING_PARK, channel, key))
    return found


def _expired_records(now: int) -> Steps[list[Fault]]:
    found: list[Fault] = []
    for channel, stamp in (yield Query("all_horizons")).rows:
        count = (yield Query("records_below", (channel, stamp, EXAMINED))).value
        if count:
            found.append(Fault(FaultKind.EXPIRED_RECORD, channel, count=int(count)))
    return found[:NAMED]


def _future_horizons(now: int) -> Steps[list[Fault]]:
    horizons = (yield Query("all_horizons")).rows
    late = [(channel, stamp - now) for channel, stamp in horizons if stamp > now]
    return [Fault(FaultKind.FUTURE_HORIZON, channel, detail=str(by)) for channel, by in late][:NAMED]


def _history_gaps(now: int) -> Steps[list[Fault]]:
    found = (yield Query("history_gaps", (EXAMINED, NAMED))).rows
    return [Fault(FaultKind.HISTORY_GAP, saga, key, f"{former} to {version}") for saga, key, version, former in found]


def _unknown_lanes(now: int) -> Steps[list[Fault]]:
    lanes = (yield Query("lanes_setting")).value
    found: list[Fault] = []
    for channel in (yield from surveying.channels()) if lanes else ():
        ((count, lane),) = (yield Query("unknown_lanes", (channel, lanes, EXAMINED))).rows
        if count:
            found.append(Fault(FaultKind.UNKNOWN_LANE, channel, detail=str(lane), count=int(count)))
    return found[:NAMED]


def _missing_lanes(now: int) -> Steps[list[Fault]]:
    counts = (yield Query("too_few_lanes")).rows
    short = [(channel, int(wanted), int(lanes)) for channel, lanes, wanted in counts if wanted and lanes < wanted]
    return [
        Fault(FaultKind.MISSING_LANE, channel, detail=str(wanted), count=wanted - lanes)
        for channel, wanted, lanes in short
    ][:NAMED]


def _collations(now: int) -> Steps[list[Fault]]:
    found = (yield Query("collations")).rows
    return [Fault(FaultKind.COLLATION, table, column, collation) for table, column, collation in found[:NAMED]]


def _missing_indexes(now: int) -> Steps[list[Fault]]:
    return [Fault(FaultKind.MISSING_INDEX, "", detail=name) for (name,) in (yield Query("missing_indexes")).rows]


_LOOKS: Mapping[FaultKind, Callable[[int], Steps[list[Fault]]]] = {
    FaultKind.ORPHAN_TIMER: _orphan_timers,
    FaultKind.IDLE_TIMER: _idle_timers,
    FaultKind.LOST_TIMER: _lost_timers,
    FaultKind.DANGLING_HOLD: _dangling_holds,
    FaultKind.DANGLING_PARK: _dangling_parks,
    FaultKind.EXPIRED_RECORD: _expired_records,
    FaultKind.FUTURE_HORIZON: _future_horizons,
    FaultKind.HISTORY_GAP: _history_gaps,
    FaultKind.UNKNOWN_LANE: _unknown_lanes,
    FaultKind.MISSING_LANE: _missing_lanes,
    FaultKind.COLLATION: _collations,
    FaultKind.MISSING_INDEX: _missing_indexes,
}
