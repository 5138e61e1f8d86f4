"""Which lanes a fetch need not ask: those that were fetched to their end, and in which nothing can have come in since.

This process knows what it stores itself. What others store, it learns when its next write begins: SQLite says then
whether another connection has changed the file. While it writes, no other connection can. What others store after its
last write stays unseen for `_PATIENCE` at most: then a fetch asks all lanes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple, TypeAlias

import msgspec

from sagabus.clock import Clock
from sagabus.envelope import Envelope
from sagabus.outcome import Completed
from sagabus.refs import LaneLike
from sagabus.store import Batch, Cursor, Fetched, by_place

Ends: TypeAlias = dict[LaneLike, int | None]
"""Up to where each lane was fetched that has nothing more; None for one that may have."""

_due_at = attrgetter("due_at")

_PATIENCE = 0.05
"""Seconds: that often, at most, other processes' changes are looked for as well (see `waking`)."""
_LONGEST_PATIENCE = 0.5
"""Seconds: after that everything is looked at, whatever this process writes. So a worker hears of one that has died."""


class Asked(NamedTuple):
    """What to ask the file for now."""

    cursors: Sequence[Cursor]
    is_all: bool
    look: int
    """The number of the look at everything that it belongs to, or comes after."""


def _frees_none(completed: Completed) -> bool:
    """Whether nothing of its key was held back or put aside for this message, its timers, or its saga."""
    effects = completed.effects
    save = effects.save
    ends_others = save is not None and (save.wakes or (save.completed and save.leaves_timers))
    return not (completed.envelope.due_at or effects.cancelled or ends_others)


class OtherWriters:
    """Whether others may have changed the file, since it was looked at last. Two threads use it: the one that writes
    says when it does, and the event loop asks.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._version: int | None = None
        self._wrote = True
        self._is_excluded = False
        self._until = self._next_look = 0.0

    def exclude(self, version: int) -> None:
        """Our write has begun: `version` is another one if others have written since our last one."""
        if version != self._version:
            self._version, self._wrote = version, True
        self._is_excluded = True  # last: who sees it sees that they wrote

    def admit(self) -> None:
        """Our write is about to end."""
        self._until = self._clock.monotonic() + _PATIENCE
        self._is_excluded = False

    def may_have_written(self) -> bool:
        """Whether it is time to look at everything."""
        is_excluded = self._is_excluded  # first: what is seen after it was there when our write began
        now = self._clock.monotonic()
        return self._wrote or now >= self._next_look or not (is_excluded or now < self._until)

    def looking(self) -> None:
        """Everything is looked at from now on: nothing of others before this moment will be missed."""
        self._wrote = False
        now = self._clock.monotonic()
        self._next_look = now + _LONGEST_PATIENCE
        if not self._is_excluded:
            self._until = now + _PATIENCE


class QuietLanes:
    """What the workers of one process need not ask the file for."""

    def __init__(self, others: OtherWriters) -> None:
        self._others = others
        self._ends: dict[LaneLike, int | None] = {}
        """Up to where each quiet lane was fetched."""
        self._news: set[LaneLike] = set()
        self._upcoming: int | None = None
        """When something is due in any quiet lane, at the earliest."""
        self._is_unknown = self._has_asked_all = True
        self._look = 0

    def news(self, places: Iterable[LaneLike]) -> None:
        """This process has stored something in these lanes."""
        self._news.update(places)

    @property
    def has_news(self) -> bool:
        """Whether something may have come into any lane that no fetch has asked for yet."""
        return self._is_unknown or bool(self._news)

    def ends_before(self, place: LaneLike, position: int) -> bool:
        """Whether this lane was fetched to its end, and that is before this position. A fetch may have seen what a
        commit stored before that has ended; then it is behind. What else came into the lane has the file asked first.
        """
        end = self._ends.get(place)
        return end is not None and end < position

    def sifting(self, place: LaneLike) -> None:
        """Some keys of this lane are fetched apart: where it ends says no more what was fetched of it."""
        self._ends.pop(place, None)

    def freed_by(self, batch: Batch) -> None:
        """These outcomes are stored: where some messages waited for others, these may go on."""
        if not batch.epochs:
            self.news_anywhere()
        for outcome in batch.outcomes:
            if type(outcome) is not Completed or not _frees_none(outcome):
                self._news.add((outcome.envelope.channel, outcome.envelope.lane))

    def news_anywhere(self) -> None:
        """Something may have changed in any lane."""
        self._is_unknown = True

    def worth_asking(self, cursors: Sequence[Cursor], now: int) -> Asked:
        """Those of the lanes in which something may be. What is returned is asked next."""
        if self._is_time_to_look(now):
            self._look += 1
            self._others.looking()
            self._is_unknown, self._upcoming, self._has_asked_all = False, None, True
            self._ends.clear()
            self._news.clear()
            return Asked(cursors, True, self._look)
        ends, news = self._ends, self._news
        asked = [c for c in cursors if ends.get(place := (c.channel, c.lane)) != c.after or place in news]
        for cursor in asked:
            place = (cursor.channel, cursor.lane)
            ends.pop(place, None)  # until the answer is there, which may be an error
            news.discard(place)
        is_all = len(asked) == len(cursors)
        self._has_asked_all = self._has_asked_all and is_all
        return Asked(asked, is_all, self._look)

    def _is_time_to_look(self, now: int) -> bool:
        is_late = self._upcoming is not None and now >= self._upcoming
        return self._is_unknown or is_late or self._others.may_have_written()

    def came(self, asked: Asked, fetched: Fetched, ends: Ends, now: int) -> Fetched:
        """This came of the lanes that were worth asking at `now`; the same, as the answer for all lanes."""
        if asked.look == self._look:  # else others may have written in between
            self._ends.update(ends)
            if fetched.next_due_in is not None:
                due_at = now + fetched.next_due_in
                self._upcoming = due_at if self._upcoming is None else min(due_at, self._upcoming)
        return fetched if asked.is_all else msgspec.structs.replace(fetched, next_due_in=self.until(now))

    def went_on(self, ends: Ends) -> None:
        """What was kept here of these quiet lanes was fetched up to here, and so are they."""
        self._ends.update(ends)

    def given(self, cursors: Sequence[Cursor], ends: Ends) -> None:
        """A fetch had what came last into these lanes without asking: those that were quiet before are so again."""
        self._has_asked_all = False
        for cursor in cursors:
            place = (cursor.channel, cursor.lane)
            if self._ends.get(place) == cursor.after:
                self._ends[place] = ends[place]

    def until(self, now: int) -> int | None:
        """Microseconds until something is due in a quiet lane; None if nothing is scheduled there."""
        return None if self._upcoming is None else max(self._upcoming - now, 0)

    def patience(self, timeout: float | None) -> float | None:
        """How long to wait for changes, at most: lanes that were not asked are to be asked in time."""
        return timeout if self._has_asked_all else min(_PATIENCE, _PATIENCE if timeout is None else timeout)


def ends_of(cursors: Sequence[Cursor], envelopes: Sequence[Envelope], limit: int) -> Ends:
    """Where these lanes end, of which these envelopes came, in the order of their positions."""
    came = by_place(envelopes)
    ends: Ends = {}
    for cursor in cursors:
        same = came.get((cursor.channel, cursor.lane))
        if same is None:
            ends[cursor.channel, cursor.lane] = cursor.after
        else:
            # What is due comes again, as long as it is stored.
            is_end = len(same) < limit and not any(map(_due_at, same))
            ends[cursor.channel, cursor.lane] = same[-1].position if is_end else None
    return ends
