"""Bounded looks at a memory store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import TypeAlias

from msgspec.structs import replace

from sagabus.clock import Clock
from sagabus.envelope import Envelope, lane_of
from sagabus.store.journal import JOURNAL_BEGIN, JournalMark, JournalRow
from sagabus.store.survey import (
    BEGIN,
    COUNTED,
    SCANNED,
    Backlog,
    KeySeen,
    LaneCount,
    LetterCount,
    LetterCounts,
    LettersSeen,
    Mark,
    Waiting,
    WaitingPage,
    Wanted,
)
from sagabus.stores.memory.tables import Tables
from sagabus.stores.running_text import positions_of
from sagabus.stores.wanting import conversation_of, is_in_time, is_wanted, mark_of

_MOST_LETTERS = 100
_Runs: TypeAlias = Mapping[int, tuple[str, int]]
"""By the position of the message: which worker runs it, and since when."""


class MemorySurvey:
    """It counts no further than other stores, so that what stands on it meets the same limits."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    async def channels(self) -> Sequence[str]:
        """Every channel that there is."""
        tables = self._tables
        found = {channel for _, channel in tables.subscriptions} | {channel for channel, _ in tables.lanes}
        return sorted(found | {each.channel for each in tables.queue.envelopes.values()})

    async def backlog(self, channel: str) -> Backlog:
        """What waits in a channel."""
        now = self._clock.now()
        runs = runs_of(self._tables, now)
        stored = [each for each in self._tables.queue.envelopes.values() if each.channel == channel]
        stretches = (
            (each for each in stored if each.due_at == 0),
            (each for each in stored if 0 < each.due_at <= now),
            (each for each in stored if each.due_at > now),
        )
        counts: Counter[str] = Counter()
        more = False
        for stretch in stretches:
            found = [why(self._tables, each, now, runs) for each in islice(stretch, COUNTED + 1)]
            more |= len(found) > COUNTED
            counts.update(found)
        ready = [each.sent_at for each in stored if why(self._tables, each, now, runs) == "ready"]
        cut = {reason: min(count, COUNTED) for reason, count in counts.items()}
        return Backlog(channel, cut, more, max(now - min(ready), 0) if ready else None)

    async def waiting(self, wanted: Wanted, *, after: Mark = BEGIN, limit: int = 100) -> WaitingPage:
        """A page of stored envelopes."""
        stored = (each for each in self._tables.queue.envelopes.values() if wanted.channel in {None, each.channel})
        behind = sorted((each for each in stored if mark_of(each) > after and is_in_time(each, wanted)), key=mark_of)
        now, found = self._clock.now(), list[Waiting]()
        runs = runs_of(self._tables, now)
        if wanted.why == "running":
            behind = [each for each in behind if each.position in runs]
        for number, each in enumerate(behind):
            if wanted.is_filter and number == SCANNED:
                return WaitingPage(tuple(found), mark_of(behind[number - 1]), stopped=True)
            waiting = _waiting(self._tables, each, now, runs)
            if is_wanted(each, waiting.why, wanted):
                found.append(waiting)
                if len(found) == limit:
                    return WaitingPage(tuple(found), mark_of(each))
        return WaitingPage(tuple(found))

    async def key(self, channel: str, key: str) -> KeySeen:
        """What decides whether messages of a key may run."""
        tables, now = self._tables, self._clock.now()
        of_channel = [row for (name, _), row in tables.lanes.items() if name == channel]
        lane = lane_of(key, len(of_channel) or 1)
        row = tables.lanes.get((channel, lane))
        open_ = [each.letter for each in tables.letters.values() if each.letter.status == "open"]
        latest = sorted(open_, key=lambda each: -each.id)[:SCANNED]
        address = (channel, key)
        first = tables.holds.get(address)
        holder = tables.queue.envelopes.get(first or 0)
        letters = (each for each in latest if (each.envelope.channel, each.envelope.partition_key) == address)
        return KeySeen(
            channel,
            key,
            lane,
            row.owner if row is not None and row.expires_at >= now else None,
            first,
            None if holder is None else _waiting(tables, holder, now, runs_of(tables, now)),
            tuple(islice(letters, 100)),
            stopped=len(open_) > SCANNED,
        )

    async def journal(
        self, correlation_id: str, *, after: JournalMark = JOURNAL_BEGIN, limit: int = 100
    ) -> Sequence[JournalRow]:
        """A page of the journal's rows of one conversation."""
        rows = self._tables.handled.values()
        found = [each for each in rows if each.correlation_id == correlation_id]
        behind = [each for each in found if (each.handled_at, each.position) > after]
        return sorted(behind, key=attrgetter("handled_at", "position"))[:limit]

    async def letters(self, correlation_id: str) -> LettersSeen:
        """The dead letters of one conversation."""
        every = [row.letter for row in self._tables.letters.values()]
        latest = sorted(every, key=lambda each: -each.id)[:SCANNED]
        found = [each for each in latest if conversation_of(each.envelope) == correlation_id]
        return LettersSeen(tuple(found[:_MOST_LETTERS]), stopped=len(every) > SCANNED or len(found) > _MOST_LETTERS)

    async def letter_counts(self) -> LetterCounts:
        """The open dead letters by channel and cause."""
        open_ = (row.letter for row in self._tables.letters.values() if row.letter.status == "open")
        letters = list(islice(open_, COUNTED + 1))
        kinds = {(each.envelope.channel, each.cause.value): [0, 0, each.last_failed_at] for each in letters}
        for each in letters:
            row = kinds[each.envelope.channel, each.cause.value]
            row[:] = [row[0] + 1, row[1] + each.parked, min(row[2], each.last_failed_at)]
        every = (LetterCount(channel, cause, *row) for (channel, cause), row in sorted(kinds.items()))
        return LetterCounts(tuple(every), more=len(letters) > COUNTED)

    async def lane_counts(self) -> Sequence[LaneCount]:
        """The lanes of each channel."""
        now, lanes = self._clock.now(), self._tables.lanes
        owned = Counter(c for (c, _), row in lanes.items() if row.owner is not None and row.expires_at >= now)
        every = Counter(channel for channel, _ in lanes)
        return [LaneCount(channel, count, owned[channel]) for channel, count in sorted(every.items())]

    async def sizes(self) -> Mapping[str, int]:
        """Nothing is on a disk."""
        return {}


def runs_of(tables: Tables, now: int) -> _Runs:
    """What live workers have noted as running."""
    live = [(each, tables.running.get(each)) for each, expires_at in tables.workers.items() if expires_at >= now]
    return {position: (worker, since) for (_, worker), text in live for position, since in positions_of(text)}


def why(tables: Tables, envelope: Envelope, now: int, runs: _Runs) -> str:
    """Why an envelope waits."""
    if envelope.stashed:
        return "stashed"
    if envelope.due_at <= now and tables.is_held(envelope):
        return "held"
    if envelope.due_at <= now:
        return "running" if envelope.position in runs else "ready"
    if envelope.failed_at is not None:
        return "retrying"
    return "timer" if envelope.timer is not None else "scheduled"


def _waiting(tables: Tables, envelope: Envelope, now: int, runs: _Runs) -> Waiting:
    reason = why(tables, envelope, now, runs)
    worker, since = runs[envelope.position] if reason == "running" else (None, None)
    return Waiting(replace(envelope, body=b""), reason, worker, since)
