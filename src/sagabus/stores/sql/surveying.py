"""Bounded looks: each statement goes by an index, and stops after so many rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from sagabus.envelope import Cause
from sagabus.store.journal import JournalMark, JournalRow
from sagabus.store.survey import COUNTED, SCANNED, Backlog, LaneCount, LetterCount, LetterCounts, LettersSeen
from sagabus.stores.running_text import positions_of
from sagabus.stores.sql import rows
from sagabus.stores.sql.steps import Query, Steps

FOREVER = 2**62
"""Later than any due time."""
_MOST_LETTERS = 100
CAUSE_WIDTH = 14
"""So many characters of a reason tell the cause of a letter that an older release wrote."""
WHY = """CASE WHEN e.stashed = 1 THEN 'stashed' WHEN e.due_at <= {now} THEN CASE WHEN
    (SELECT h.position FROM {held_key} AS h WHERE h.channel = e.channel AND h.partition_key = e.partition_key
        AND h.position <> e.position LIMIT 1) IS NOT NULL THEN 'held' WHEN {running} THEN 'running' ELSE 'ready' END
    WHEN e.failed_at IS NOT NULL THEN 'retrying' WHEN e.timer IS NOT NULL THEN 'timer' ELSE 'scheduled' END"""
"""Why an envelope `e` waits. `{now}` stands for the parameter with the time, and `{running}` for whether a worker has
noted that it runs.
"""
Runs: TypeAlias = Mapping[int, tuple[str, int]]
"""By the position of the message: which worker runs it, and since when."""


def why(now: str, running: str) -> str:
    """The expression, for the parameter that holds the time, and what says that an envelope runs."""
    return WHY.replace("{now}", now).replace("{running}", running)


def runs(channel: str | None, now: int) -> Steps[dict[int, tuple[str, int]]]:
    """What live workers have noted as running in a channel, or in any."""
    found = (yield Query("running_notes", (now,))).rows
    notes = [(worker, text) for worker, name, text in found if channel in {None, name}]
    return {position: (worker, since) for worker, text in notes for position, since in positions_of(text)}


def positions_text(found: Runs) -> str:
    """Their positions, as the one parameter that passes them."""
    return ",".join(map(str, found))


def channels() -> Steps[list[str]]:
    """Every channel that there is: envelopes are found by one step down the index for each."""
    found = {row[0] for row in (yield Query("channels_with_lanes")).rows}
    found |= {row[2] for row in (yield Query("subscriptions")).rows}
    last = (yield Query("next_channel", ("",))).value
    while last is not None:
        found.add(last)
        last = (yield Query("next_channel", (last,))).value
    return sorted(found)


def backlog(channel: str, now: int) -> Steps[Backlog]:
    """What waits in a channel, stretch by stretch of its lanes."""
    lanes = yield from places(channel)
    running = positions_text((yield from runs(channel, now)))
    counts: Counter[str] = Counter()
    oldest: list[int] = []
    more, is_late = False, False
    for begin, until in ((0, 0), (1, now), (now + 1, FOREVER)):
        found = (yield Query("tally", (now, begin, until, COUNTED + 1, running), lanes)).rows
        for reason, count, sent_at in found:
            counts[reason] += int(count)
            if reason == "ready":
                oldest.append(sent_at)
        if sum(int(row[1]) for row in found) > COUNTED:
            more, is_late = True, is_late or begin <= now
    if is_late:  # the lanes that were not counted may have older ones
        oldest += [row[0] for row in (yield Query("oldest", (now, running), lanes)).rows if row[0] is not None]
    return Backlog(channel, _cut(counts), more, max(now - min(oldest), 0) if oldest else None)


def places(channel: str) -> Steps[list[tuple[object, ...]]]:
    """All lanes of a channel, whether any worker has leased them or not."""
    lanes = (yield Query("lanes_setting")).value or 0
    return [(channel, lane) for lane in range(lanes)]


def journal(correlation_id: str, after: JournalMark, limit: int) -> Steps[list[JournalRow]]:
    """A page of the journal's rows of one conversation."""
    return list(map(rows.journalled, (yield Query("conversation_page", (correlation_id, *after, limit))).rows))


def letters(correlation_id: str) -> Steps[LettersSeen]:
    """By the text of the id in the envelope of a letter first, and then by the id itself."""
    asked = (rows.json_of(correlation_id), SCANNED, _MOST_LETTERS + 1)
    found = list(map(rows.letter_of, (yield Query("letters_naming", asked)).rows))
    oldest: int | None = (yield Query("any_letter_at", (SCANNED,))).value
    own = [each for each in found if (each.envelope.correlation_id or each.envelope.message_id) == correlation_id]
    return LettersSeen(tuple(own[:_MOST_LETTERS]), stopped=oldest is not None or len(found) > _MOST_LETTERS)


def letter_counts() -> Steps[LetterCounts]:
    """The open dead letters by channel and cause."""
    found = (yield Query("letter_counts", (COUNTED + 1,))).rows
    counts: dict[tuple[str, str], list[int]] = {}
    for channel, cause, begins, count, parked, oldest in found:
        row = counts.setdefault((channel, Cause.of(cause, begins or "").value), [0, 0, oldest])
        row[:] = [row[0] + int(count), row[1] + int(parked or 0), min(row[2], oldest)]
    every = (LetterCount(channel, cause, *row) for (channel, cause), row in sorted(counts.items()))
    return LetterCounts(tuple(every), more=sum(int(row[3]) for row in found) > COUNTED)


def lane_counts(now: int) -> Steps[list[LaneCount]]:
    """The lanes of each channel."""
    found: Sequence[Sequence[object]] = (yield Query("lane_counts", (now,))).rows
    return [LaneCount(str(row[0]), _number(row[1]), _number(row[2])) for row in found]


def sizes() -> Steps[dict[str, int]]:
    """Bytes by table or file."""
    return {row[0]: int(row[1]) for row in (yield Query("sizes")).rows if row[1] is not None}


def _cut(counts: Mapping[str, int]) -> dict[str, int]:
    return {reason: min(count, COUNTED) for reason, count in counts.items()}


def _number(value: object) -> int:
    return int(str(value)) if value is not None else 0
