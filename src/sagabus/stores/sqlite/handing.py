"""A fresh publication goes from its append to the next fetch of this process, past the file: two hops of a thread less.

An append of a few messages to lanes that were fetched to their end looks there, in its own transaction. If nothing
else has come in, it hands its messages over, with the instances of their keys. Whatever changes before the next fetch,
dropping what was handed over is always right: it is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sagabus.envelope import Envelope
from sagabus.outcome import Admission, Completed, Outcome
from sagabus.refs import LaneLike
from sagabus.store import Cursor, Fetched, Loaded
from sagabus.stores.sql import appending, rows
from sagabus.stores.sql.handover import MOST, Findings, Handover, KeyRow, LaneCursor
from sagabus.stores.sql.steps import Query, Steps

_FEW_LANES = 4


class Handing:
    """What this process knows of the lanes that it fetches."""

    def __init__(self) -> None:
        self._ends: dict[LaneLike, int] = {}
        """Up to where the lanes were fetched that had nothing more then."""
        self._handover = Handover()

    def ends_of(self, envelopes: Sequence[Envelope]) -> list[LaneCursor]:
        """The lanes of a few messages that are due at once, where each was fetched to its end; else none."""
        if len(envelopes) > MOST or any(e.due_at or e.delay > 0 or e.timer is not None for e in envelopes):
            return []
        places = {(envelope.channel, envelope.lane) for envelope in envelopes}
        if len(places) > _FEW_LANES or not places <= self._ends.keys() or self._handover.waits_in(places):
            return []
        return [(*place, self._ends[place]) for place in places]

    def stored(self, envelopes: Sequence[Envelope], lanes: Sequence[LaneCursor], news: Findings | None) -> None:
        """These messages are stored; `news` is what the append found in their lanes, if nothing else was new there."""
        if not lanes:
            self._handover.drop()  # it would come before these
        elif news is not None and all(self._ends.get((channel, lane)) == after for channel, lane, after in lanes):
            self._handover.take(envelopes, lanes, news)

    def give(self, cursors: Sequence[Cursor], limit: int) -> Fetched | None:
        """What a fetch at these cursors need not ask the file for, if there is anything. The file is asked next."""
        given = self._handover.give(cursors, limit)
        if not given.envelopes:
            return None
        self._note(given.cursors, given.envelopes, limit)
        loaded = [
            (channel, Loaded(key, rows.instance_of(row) if row else None)) for channel, key, row in given.instances
        ]
        return Fetched(tuple(given.envelopes), 0, tuple(loaded))

    def fetched(self, cursors: Sequence[Cursor], envelopes: Iterable[Envelope], limit: int) -> None:
        """The file gave these."""
        self._handover.drop()
        self._note(cursors, envelopes, limit)

    def committed(self, outcomes: Sequence[Outcome]) -> None:
        """These outcomes are stored: one that keeps its message may hold back a key of what was handed over."""
        if any(type(outcome) is not Completed for outcome in outcomes):
            self._handover.drop()

    def drop(self) -> None:
        """Something else has changed the file."""
        self._handover.drop()

    def _note(self, cursors: Sequence[Cursor], envelopes: Iterable[Envelope], limit: int) -> None:
        came: dict[LaneLike, list[int]] = {}
        for envelope in envelopes:
            came.setdefault((envelope.channel, envelope.lane), []).append(0 if envelope.due_at else envelope.position)
        for cursor in cursors:
            place = (cursor.channel, cursor.lane)
            positions = came.get(place, [])
            if len(positions) < limit:
                self._ends[place] = max(cursor.after, *positions, 0)
            else:
                self._ends.pop(place, None)


def append_and_tell(
    envelopes: Sequence[Envelope], routing: int, now: int, lanes: Sequence[LaneCursor]
) -> Steps[tuple[list[Admission] | None, Findings | None]]:
    """As `appending.append_at`; and what the next fetch of these lanes would find, if that is these messages alone."""
    if not lanes:
        return (yield from appending.append_at(envelopes, routing, now)), None
    has_more: bool = (yield Query("any_after", rows=lanes)).value or (yield Query("any_held")).value
    answers = yield from appending.append_at(envelopes, routing, now)
    if has_more or answers is None or any(answer is not Admission.ACCEPTED for answer in answers):
        return answers, None
    last: int = (yield Query("last_position")).value
    instances: list[KeyRow] = []
    keys = sorted({(e.channel, e.partition_key) for e in envelopes if e.partition_key is not None})
    for channel, key in keys:
        if (yield Query("stashed", (channel,), [(key,)])).rows:
            return answers, None
        found = (yield Query("instances", (channel,), [(key,)])).rows
        instances.append((channel, key, found[0] if found else None))  # type: ignore[arg-type]
    return answers, Findings(list(range(last - len(envelopes) + 1, last + 1)), [], instances)
