"""Which keys are loud, and what is fetched by cursors of their own.

`worker` does the fetching: it asks what is due here, fetches it, and reports what came.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sagabus.clock import Clock
from sagabus.engine.held_lane import HeldLane
from sagabus.engine.in_flight import InFlight
from sagabus.engine.page import may_have_held, timers_last
from sagabus.envelope import Envelope
from sagabus.store import Fetched, Leasing
from sagabus.store.loud import MOST_LOUD, Loud, Sift

log = logging.getLogger("sagabus")

_PATIENCE = 0.2
"""How many seconds a lane is full before a key of it counts as loud. A backlog that is handled sooner delays no key."""
_EXPENSIVE = 0.01
_REST = 2
"""Looking past a long backlog takes so many times its own time to rest, so that other fetches are not late for it."""
_LONG_REST = 20
"""The same for looking through a lane from its beginning, without need."""


class LoudKeys:
    """The loud keys of one worker's lanes."""

    def __init__(self, identity: str, store: Leasing, clock: Clock, hand: InFlight) -> None:
        self._identity, self._store, self._clock, self._hand = identity, store, clock, hand

    async def notice(self) -> bool:
        """Make loud what fills a lane for longer than a moment, once the store knows it; whether the lanes are as this
        worker knows them.
        """
        crowded = [held for held in self._hand.lanes.values() if held.large]
        if not crowded:
            return True
        now = self._clock.monotonic()
        found = [
            (held, keys, self._to_note(held, keys))
            for held in crowded
            if held.is_behind(now, _PATIENCE) and (keys := held.filling())
        ]
        unknown = [Loud(held.lane.channel, held.lane.lane, held.lane.epoch, noted) for held, _, noted in found if noted]
        if unknown and not await self._store.note_loud(self._identity, unknown):
            return False
        for held, keys, noted in found:
            held.note(noted)
            for key in keys:
                log.debug("%s: %r fills its lane and now has its own cursor", held.lane.channel, key)
                held.make_loud(key, self._hand.in_flight_of(held.lane.channel, key))
        return True

    def due(self) -> list[Sift]:
        """What to fetch now: past the loud keys of each lane that has them, and more of those."""
        now, window = self._clock.monotonic(), self._hand.lane_window
        sifts: list[Sift] = []
        for (channel, lane), held in self._hand.lanes.items():
            if not held.loud:
                continue
            held.begin_again_in_time(now)
            if now >= held.rests_until and held.is_hungry(window):
                sifts.append(Sift(channel, lane, held.after, without=tuple(held.loud)))
            sifts += [Sift(channel, lane, held.loud[key].after, only=key) for key in held.hungry_keys(window)]
        return sifts

    def until_due(self) -> float:
        """Seconds, at most, until a lane has rested."""
        now = self._clock.monotonic()
        rests = [held.rests_until - now for held in self._hand.lanes.values() if held.loud and held.rests_until > now]
        return min(rests, default=float("inf"))

    def limit(self, sift: Sift) -> int:
        """How much to fetch at once."""
        held, window = self._hand.lanes[sift.channel, sift.lane], self._hand.lane_window
        return held.limit(window) if sift.only is None else held.limit_of_key(window)

    def came(self, sift: Sift, limit: int, fetched: Fetched, began: float) -> Sequence[Envelope]:
        """Go on behind what has come; what is to be run of it. Whatever was said to begin again while it was fetched
        comes once more.
        """
        place = (sift.channel, sift.lane)
        held = self._hand.lanes.get(place)
        at_once = [envelope.position for envelope in fetched.envelopes if envelope.due_at == 0]
        after = max([sift.after, *at_once[-1:]])
        if held is None:
            return ()
        if place in self._hand.restarted or not _is_at(held, sift):
            return list(filter(may_have_held, fetched.envelopes))
        if sift.only is not None:
            held.key_went_on(sift.only, after, max((each.sent_at for each in fetched.envelopes), default=0))
            if len(at_once) < limit:
                held.make_quiet(sift.only)
            return fetched.envelopes
        is_at_end = len(at_once) < limit
        held.go_on(max(after, fetched.reached) if is_at_end else after, self._hand.lane_window)
        self._rest(held, sift, began, is_at_end=is_at_end)
        found = timers_last(fetched.envelopes, limit)
        return [each for each in found if may_have_held(each) or not each.due_at or not held.is_before(each)]

    def _to_note(self, held: HeldLane, filling: Sequence[str]) -> tuple[str, ...]:
        """All keys that the store has to know, if it does not; with those that were loud and are still in flight."""
        keys = {*held.loud, *filling}
        if keys <= held.noted:
            return ()
        rest = [key for key in held.noted - keys if self._hand.in_flight_of(held.lane.channel, key)]
        return tuple(sorted(keys)) + tuple(rest)[: MOST_LOUD - len(keys)]

    def _rest(self, held: HeldLane, sift: Sift, began: float, *, is_at_end: bool) -> None:
        now = self._clock.monotonic()
        if now - began > _EXPENSIVE:
            held.rest(now + _REST * (now - began))
        if sift.after == 0:
            held.rest_from_beginning(now + _LONG_REST * (now - began))
        if is_at_end:
            held.at_its_end(now)


def _is_at(held: HeldLane, sift: Sift) -> bool:
    if sift.only is None:
        return held.after == sift.after
    return sift.only in held.loud and held.loud[sift.only].after == sift.after
