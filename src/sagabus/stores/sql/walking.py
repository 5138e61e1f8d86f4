"""Pages of stored envelopes, in the order in which they become due, from all lanes of a channel or of all channels.

A filter that no index serves first finds how far it may look: the first lane with so many envelopes sets the end. Then
it takes what is wanted up to there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sagabus.envelope import DeadLetter, lane_of
from sagabus.store.survey import SCANNED, KeySeen, Mark, Waiting, WaitingPage, Wanted
from sagabus.stores.sql import rows, surveying
from sagabus.stores.sql.steps import Query, Row, Steps
from sagabus.stores.wanting import is_wanted, mark_of

COLUMNS = f"why, position, {rows.STORED_COLUMNS}"
"""Of a walk: why the envelope waits, and the envelope. Its body is left out."""
FIELDS = ", ".join("'' AS body" if name == "body" else f"e.{name}" for name in rows.STORED_COLUMNS.split(", "))
"""The same of a table `e`, but for the reason and the position."""
_FOREVER = surveying.FOREVER
_MOST_LETTERS = 100

_CONDITIONS = (
    "{reason} = {0}",
    "e.partition_key = {0}",
    "e.message_type = {0}",
    "(e.correlation_id = {0} OR (e.correlation_id IS NULL AND e.message_id = {0}))",
    "e.sent_at >= {0}",
    "e.sent_at < {0}",
)


def wanted_text(reason: str, parameters: Sequence[str]) -> str:
    """Whether an envelope `e` is wanted. `reason`: why it waits. The parameters are those of `_filters`, in order."""
    *values, timers = parameters
    pairs = zip(_CONDITIONS, values, strict=True)
    found = [f"({value} IS NULL OR {each.format(value, reason=reason)})" for each, value in pairs]
    return " AND ".join([*found, f"({timers} = 0 OR e.timer IS NOT NULL)"])


def waiting(wanted: Wanted, after: Mark, limit: int, now: int) -> Steps[WaitingPage]:
    """A page, stretch by stretch: what is due at once, and then what is due by schedule."""
    runs = yield from surveying.runs(wanted.channel, now)
    if wanted.why == "running":
        return _page((yield from _running(runs, wanted, now)), after, limit)
    lanes = yield from _lanes(wanted)
    running = surveying.positions_text(runs)
    found: list[Waiting] = []
    for name, begin, end in _stretches(wanted, after, now) if lanes else ():
        stop = None
        if wanted.is_filter:
            stop = yield from _stop(name, begin, end, lanes)
        ask = (now, *begin, *(stop or end), limit - len(found), *_filters(wanted), running)
        page = _in_order((yield Query(f"walk_{name}", ask, lanes)).rows, runs)
        found += page[: limit - len(found)]
        if len(found) == limit:
            return WaitingPage(tuple(found), _mark(found[-1]))
        if stop is not None:
            return WaitingPage(tuple(found), stop, stopped=True)
    return WaitingPage(tuple(found))


def _running(runs: surveying.Runs, wanted: Wanted, now: int) -> Steps[list[Waiting]]:
    """What workers have noted, unless it has ended meanwhile."""
    found = (yield Query("noted_at", (now,), [(position,) for position in runs])).rows if runs else ()
    return [each for each in _in_order(found, runs) if is_wanted(each.envelope, each.why, wanted)]


def _page(found: Sequence[Waiting], after: Mark, limit: int) -> WaitingPage:
    behind = [each for each in found if mark_of(each.envelope) > after]
    page = behind[:limit]
    return WaitingPage(tuple(page), _mark(page[-1]) if len(page) == limit else None)


def _stretches(wanted: Wanted, after: Mark, now: int) -> Iterator[tuple[str, Mark, Mark]]:
    """Which stretches of a lane may hold what is wanted, each with the marks that it is between."""
    end = _FOREVER if wanted.due_before is None else wanted.due_before - 1
    if wanted.why in {None, "ready", "held"} and after.due_at <= 0 <= end:
        yield "at_once", Mark(0, after.position), Mark(0, _FOREVER)
    first = now + 1 if wanted.why in {"scheduled", "timer", "retrying"} else 1
    last = min(end, now if wanted.why in {"ready", "held"} else _FOREVER)
    begin = max(Mark(first, -1), after)
    if begin.due_at <= last:
        yield "by_schedule", begin, Mark(last, _FOREVER)


def _lanes(wanted: Wanted) -> Steps[list[tuple[object, ...]]]:
    channels = [wanted.channel] if wanted.channel is not None else (yield from surveying.channels())
    found: list[tuple[object, ...]] = []
    for channel in channels:
        lanes = yield from surveying.places(channel)
        if wanted.key is not None and lanes:  # a store that no bus has opened has none
            lanes = [(channel, lane_of(wanted.key, len(lanes)))]
        found += lanes
    return found


def _stop(name: str, begin: Mark, end: Mark, lanes: list[tuple[object, ...]]) -> Steps[Mark | None]:
    """Where a look has to stop; None where it reaches the end before that."""
    most = max(SCANNED // len(lanes), 1)
    found = (yield Query(f"stop_{name}", (*begin, *end, most - 1), lanes)).rows
    return min((Mark(row[0], row[1]) for row in found), default=None)


def _filters(wanted: Wanted) -> tuple[object, ...]:
    return (
        wanted.why,
        wanted.key,
        wanted.message_type,
        wanted.correlation_id,
        wanted.since,
        wanted.until,
        int(wanted.timers),
    )


def _in_order(found: Sequence[Row], runs: surveying.Runs) -> list[Waiting]:
    return sorted([_waiting(row[0], row[1:], runs) for row in found], key=_mark)


def _waiting(why: Any, row: Any, runs: surveying.Runs) -> Waiting:
    envelope, reason = rows.envelope_of(row), str(why)
    worker, since = runs[envelope.position] if reason == "running" else (None, None)
    return Waiting(envelope, reason, worker, since)


def _mark(waiting: Waiting) -> Mark:
    return mark_of(waiting.envelope)


def key(channel: str, key: str, now: int) -> Steps[KeySeen]:
    """What decides whether messages of a key may run."""
    lanes = (yield Query("lanes_setting")).value or 1
    lane = lane_of(key, lanes)
    owner: str | None = (yield Query("owner_of_lane", (channel, lane, now))).value
    first: int | None = (yield Query("hold_of_key", (channel, key))).value
    holder = (yield from _at(channel, first, now)) if first else None
    letters = yield from _letters_of(channel, key)
    oldest: int | None = (yield Query("letter_at", (SCANNED,))).value
    return KeySeen(channel, key, lane, owner, first, holder, letters, stopped=oldest is not None)


def _at(channel: str, position: int, now: int) -> Steps[Waiting | None]:
    runs = yield from surveying.runs(channel, now)
    found = (yield Query("waiting_at", (now, position, surveying.positions_text(runs)))).rows
    return _in_order(found, runs)[0] if found else None


def _letters_of(channel: str, key: str) -> Steps[tuple[DeadLetter, ...]]:
    """By the text of the key in the envelope of a letter first, and then by the key itself."""
    asked = (channel, rows.json_of(key), SCANNED, _MOST_LETTERS)
    found = map(rows.letter_of, (yield Query("letters_of_key", asked)).rows)
    return tuple(each for each in found if each.envelope.partition_key == key)
