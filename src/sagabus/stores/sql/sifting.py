"""Fetching past the loud keys of a lane, or for one of them, on a server: without looking at their backlog each time.

Whatever stands before a cursor and was not handed out was committed late (see `fetching`), and goes before what stands
behind the cursor. To find it, all that stands there is looked through, from a **floor** on: before the floor nothing
can be committed late any more. A transaction that stores envelopes locks the routing from before they have positions
until the commit. So in a moment in which no transaction locks it, all transactions have ended whose positions are known
then.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeAlias

import msgspec

from sagabus.clock import Clock
from sagabus.envelope import Envelope
from sagabus.store import Fetched
from sagabus.store.loud import Sift
from sagabus.stores.sql import rows
from sagabus.stores.sql.handover import KeyRow, Standing
from sagabus.stores.sql.loud_keys import padded
from sagabus.stores.sql.steps import Query, Steps

_PAUSE = 0.1
"""Seconds between two attempts to find no transaction that stores envelopes."""
_LOOK = 1.0
"""Seconds, at most, until what is committed late is found, though nothing else is new in its lane."""
_REMEMBERED = 60.0

SiftPlace: TypeAlias = tuple[str, int, str | None]
"""Channel and lane, and the key where it is one only."""


class SiftExtra(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a sift reports in addition to the envelopes, in the body of the one row whose position is 0."""

    upcoming: int | None
    """When the next envelope of the lane is due."""
    standing: list[Standing]
    """What stands before the cursor, from a floor on."""
    instances: list[KeyRow] = []
    last: int = 0
    """The highest position that is due at once in the lane."""


_extra_of = msgspec.json.Decoder(SiftExtra).decode
_BODY = 7


class Cut:
    """How far one cursor's past is known."""

    __slots__ = ("floor", "handed", "looked_at", "used_at")

    def __init__(self, handed: Collection[int]) -> None:
        self.handed = set(handed)
        """Positions that were handed out, and stood before the cursor when that was looked at last."""
        self.floor = 0
        self.looked_at = self.used_at = 0.0


class Sifting:
    """Sifts for one worker process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._cuts: dict[SiftPlace, Cut] = {}
        self._ended = 0
        """No transaction that is still open has given a position up to this one."""
        self._tried_at = 0.0

    def sift(self, sift: Sift, limit: int, now: int, handed: Collection[int]) -> Steps[Fetched]:
        """What is due at the cursor. `handed`: what was handed out of the lane before any sift of it."""
        moment = self._clock.monotonic()
        cut = self._cut(sift, handed, moment)
        is_probe = sift.only is None and sift.after > 0 and moment - cut.looked_at < _LOOK
        envelopes, extra = yield from self._asked(sift, limit, now, cut, is_probe=is_probe)
        if is_probe and any(envelope.due_at == 0 for envelope in envelopes):
            envelopes, extra = yield from self._asked(sift, limit, now, cut, is_probe=False)
        upcoming = None if extra.upcoming is None or sift.only is not None else max(extra.upcoming - now, 0)
        return Fetched(tuple(envelopes), upcoming, reached=extra.last)

    def _cut(self, sift: Sift, handed: Collection[int], moment: float) -> Cut:
        place = (sift.channel, sift.lane, sift.only)
        cut = self._cuts.get(place) if sift.after else None
        if cut is None:
            # What is forgotten of others is that they were handed out: they come once more.
            self._cuts = {place: cut for place, cut in self._cuts.items() if moment - cut.used_at < _REMEMBERED}
            cut = self._cuts[place] = Cut(handed if sift.after else ())
        cut.used_at = moment
        return cut

    def _asked(
        self, sift: Sift, limit: int, now: int, cut: Cut, *, is_probe: bool
    ) -> Steps[tuple[list[Envelope], SiftExtra]]:
        """A probe looks only behind the cursor: nothing may be handed out of what it finds."""
        ended = cut.floor if is_probe else (yield from self._all_ended())
        floor = sift.after if is_probe else min(cut.floor, sift.after)
        keys = padded(sift.without) if sift.only is None else (sift.only,)
        asked = (sift.channel, sift.lane, sift.after, floor, limit, now, *keys)
        answer = (yield Query("sift" if sift.only is None else "sift_key", asked)).rows
        envelopes = [rows.envelope_of(row) for row in answer if row[0]]
        extra = _extra_of(next(row[_BODY] for row in answer if not row[0]))
        if is_probe:
            return envelopes, extra
        ((*_, standing),) = extra.standing
        cut.handed.intersection_update(standing)
        late = sorted(set(standing) - cut.handed)
        if late:
            found = yield Query("at_positions", rows=[(position,) for position in late[:limit]])
            envelopes = [each for each in envelopes if each.due_at or len(late) <= limit]
            envelopes += map(rows.envelope_of, found.rows)
        if len(late) <= limit:
            cut.floor, cut.looked_at = ended, self._clock.monotonic()
        envelopes.sort(key=_position)
        cut.handed.update([envelope.position for envelope in envelopes if envelope.due_at == 0])
        return envelopes, extra

    def _all_ended(self) -> Steps[int]:
        moment = self._clock.monotonic()
        if moment - self._tried_at >= _PAUSE:
            self._tried_at = moment
            found: int | None = (yield Query("ended_position")).value
            self._ended = max(self._ended, found or 0)
        return self._ended


def _position(envelope: Envelope) -> int:
    return envelope.position
