"""What a store on a server remembers between fetches: what it handed out of each lane, and where news can be.

Late commits. A server gives positions when rows are written and shows rows when they commit. Who fetches on from the
last position would never see what commits late. So each fetch also reads which positions stand before the cursor. Those
that the worker has not received are late, and it receives them then. The order of a key is safe. If one message was
accepted before another was sent, the first is visible whenever the second is.

News. A lane that gave less than the limit has nothing more until the next append to it. What this process appended
itself it knows; others are looked for in all lanes at short intervals. Between them, a fetch asks only the lanes with
news. If an append has found that nothing else was new in its lanes, the worker receives what it stored without a fetch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from sagabus.clock import Clock
from sagabus.envelope import Envelope
from sagabus.outcome import Completed, Outcome
from sagabus.refs import LaneLike
from sagabus.store import Cursor, Fetched, Loaded
from sagabus.store.loud import Sift
from sagabus.stores.sql import rows
from sagabus.stores.sql.handover import MOST, Findings, Given, Handover, KeyRow, LaneCursor, Standing
from sagabus.stores.sql.sifting import Sifting
from sagabus.stores.sql.steps import Query, Steps

_EVERYWHERE_SECONDS = 0.05
_FEW = 4
"""So many lanes that were empty are asked together with the instances of their keys: a round trip less then."""


class FetchExtra(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a fetch reports in addition to the envelopes, in the body of the one row whose position is 0."""

    upcoming: int | None
    """When the next envelope of these lanes is due."""
    standing: list[Standing]
    instances: list[KeyRow] = []


_extra_of = msgspec.json.Decoder(FetchExtra).decode
_BODY = 7


class Fetching:
    """Fetches for one worker process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._handed: dict[LaneLike, set[int]] = {}
        self._drained: dict[LaneLike, int] = {}
        self._news: set[LaneLike] = set()
        self._handover = Handover()
        self._everywhere_at = 0.0
        self._upcoming: int | None = None
        self._sifting = Sifting(clock)

    def news(self, places: Iterable[LaneLike]) -> None:
        """This process has stored something in these lanes."""
        self._news.update(places)

    def drained(self, envelopes: Sequence[Envelope]) -> list[LaneCursor]:
        """The lanes of a few envelopes that are due at once, if the worker has received everything that was stored in
        them. Otherwise none: asking what a fetch would ask is then of no use.
        """
        if len(envelopes) > MOST or any(envelope.due_at or envelope.delay > 0 for envelope in envelopes):
            return []
        places = {(envelope.channel, envelope.lane) for envelope in envelopes}
        is_known = places <= self._drained.keys() and self._news.isdisjoint(places)
        if not is_known or len(places) > _FEW or self._handover.waits_in(places):
            return []
        return [(*place, self._drained[place]) for place in places]

    def stored(self, envelopes: Sequence[Envelope], lanes: Sequence[LaneCursor], findings: Findings | None) -> None:
        """This process has stored these envelopes; also what the append found about their lanes, if nothing else was
        new there.
        """
        is_next = all(self._drained.get((channel, lane)) == after for channel, lane, after in lanes)
        if (
            findings is None
            or not is_next
            or len(findings.positions) < len(envelopes)
            or self._late_of(findings.standing)
        ):
            self.news((envelope.channel, envelope.lane) for envelope in envelopes)
        else:
            self._handover.take(envelopes, lanes, findings)

    def news_anywhere(self) -> None:
        """This process has stored something in unknown lanes."""
        self._everywhere_at = 0.0
        self._news.update(self._handover.drop())

    def news_of(self, outcomes: Iterable[Outcome]) -> None:
        """These outcomes were committed: what they sent is there, and keys that waited for a retry go on."""
        for outcome in outcomes:
            if type(outcome) is Completed:
                self._news.update([(sent.channel, sent.lane) for sent in outcome.effects.sent])
                if outcome.envelope.due_at == 0:
                    continue
            self._news.add((outcome.envelope.channel, outcome.envelope.lane))

    def fetch(self, cursors: Sequence[Cursor], limit: int, now: int, *, with_instances: bool) -> Steps[Fetched]:
        """What is due in the lanes at the cursors."""
        if not cursors:
            self._upcoming = None  # in lanes of others by now
        crew = (yield Query("crew", (now,))).value or 0 if self._everywhere(now) else None
        given = Given() if crew is not None or not self._handover else self._given(cursors, limit)
        asked = self._worth_asking([c for c in cursors if c not in given.cursors], everywhere=crew is not None)
        self._note(given.cursors, given.envelopes, limit)
        if not asked:
            return Fetched(tuple(given.envelopes), self._until(now), _loaded(given.instances), crew)
        name = "fetch_few" if with_instances and self._are_nearly_drained(asked) else "fetch"
        lanes = [(cursor.channel, cursor.lane, cursor.after) for cursor in asked]
        answer = (yield Query(name, (limit, now), lanes)).rows
        envelopes = [rows.envelope_of(row) for row in answer if row[0]]
        extra = _extra_of(next(row[_BODY] for row in answer if not row[0]))
        late = self._late(asked, extra)
        if late:
            found = yield Query("at_positions", rows=[(position,) for position in late[:limit]])
            envelopes = [each for each in envelopes if each.due_at or len(late) <= limit]
            envelopes += map(rows.envelope_of, found.rows)
        envelopes.sort(key=_position)
        self._note(asked, envelopes, limit)
        if len(late) > limit:  # they are older than what the cursors are at, and go first
            self._not_drained(asked)
        upcoming = extra.upcoming
        if len(asked) == len(cursors) or (upcoming is not None and upcoming < (self._upcoming or upcoming + 1)):
            self._upcoming = upcoming
        loaded = _loaded([*given.instances, *extra.instances])
        return Fetched((*given.envelopes, *envelopes), self._until(now), loaded, crew)

    def sift(self, sift: Sift, limit: int, now: int) -> Steps[Fetched]:
        """The same of one lane, for some of its keys. It may bring what was handed over."""
        self._news.update(self._handover.drop())
        self._drained.pop((sift.channel, sift.lane), None)
        return self._sifting.sift(sift, limit, now, self._handed.get((sift.channel, sift.lane), ()))

    def _are_nearly_drained(self, asked: Sequence[Cursor]) -> bool:
        """Whether a few lanes will hardly give much: of a full one most keys are known here."""
        return len(asked) <= _FEW and all((cursor.channel, cursor.lane) in self._drained for cursor in asked)

    def _given(self, cursors: Sequence[Cursor], limit: int) -> Given:
        # In a lane with other news the order is the database's to tell.
        given = self._handover.give([c for c in cursors if (c.channel, c.lane) not in self._news], limit)
        self._news.update(given.left)
        return given

    def _until(self, now: int) -> int | None:
        return None if self._upcoming is None else max(self._upcoming - now, 0)

    def _everywhere(self, now: int) -> bool:
        """Whether it is time to look at all lanes, and at who else works on them."""
        moment = self._clock.monotonic()
        # What has been handed over goes first, once.
        patience = _EVERYWHERE_SECONDS if self._handover else 0.0
        if moment < self._everywhere_at + patience and (self._upcoming is None or now < self._upcoming):
            return False
        self._everywhere_at = moment + _EVERYWHERE_SECONDS
        self._news.update(self._handover.drop())
        return True

    def _worth_asking(self, cursors: Sequence[Cursor], *, everywhere: bool) -> Sequence[Cursor]:
        asked = [
            cursor
            for cursor in cursors
            if everywhere
            or (place := (cursor.channel, cursor.lane)) in self._news
            or cursor.after < self._drained.get(place, cursor.after + 1)
        ]
        self._news.difference_update([(cursor.channel, cursor.lane) for cursor in asked])
        return asked

    def _not_drained(self, asked: Sequence[Cursor]) -> None:
        for cursor in asked:
            self._drained.pop((cursor.channel, cursor.lane), None)

    def _late(self, asked: Sequence[Cursor], extra: FetchExtra) -> list[int]:
        for cursor in asked:
            if cursor.after == 0:
                self._handed.pop((cursor.channel, cursor.lane), None)
        late = self._late_of(extra.standing)
        for channel, lane, positions in extra.standing:
            self._handed[channel, lane] = self._handed.get((channel, lane), set()).intersection(positions)
        return late

    def _late_of(self, standing: Iterable[Standing]) -> list[int]:
        """Those that stand before a cursor and were not handed out."""
        nothing: set[int] = set()
        return sorted(
            position
            for channel, lane, positions in standing
            for position in set(positions) - self._handed.get((channel, lane), nothing)
        )

    def _note(self, asked: Sequence[Cursor], envelopes: Sequence[Envelope], limit: int) -> None:
        ready: dict[LaneLike, list[int]] = {(cursor.channel, cursor.lane): [] for cursor in asked}
        full: set[LaneLike] = set()
        for envelope in envelopes:
            place = (envelope.channel, envelope.lane)
            if envelope.due_at == 0:
                ready[place].append(envelope.position)
            else:
                full.add(place)  # what is due comes again, as long as it is stored
        for cursor in asked:
            place = (cursor.channel, cursor.lane)
            positions = ready[place]
            self._handed.setdefault(place, set()).update(positions)
            if len(positions) < limit and place not in full:
                self._drained[place] = max([cursor.after, *positions[-1:]])
            else:
                self._drained.pop(place, None)


def _loaded(instances: Iterable[KeyRow]) -> tuple[tuple[str, Loaded], ...]:
    return tuple([(channel, Loaded(key, rows.instance_of(row) if row else None)) for channel, key, row in instances])


def _position(envelope: Envelope) -> int:
    return envelope.position
