"""From an append to the next fetch of the same process, past the database: a round trip less where little is to do.

An append may find, in the same statement, what a fetch of its lanes would ask. It finds that nothing else is new there,
which positions stand before the cursors, and the instances of the keys. Then a fetch that comes next need not ask.
Whatever has changed in between, dropping what is here is always right: it is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from sagabus.envelope import Envelope
from sagabus.refs import LaneLike
from sagabus.store import Cursor

LaneCursor: TypeAlias = tuple[str, int, int]
"""Channel, lane, and the position after which it goes on."""
Standing: TypeAlias = tuple[str, int, list[int]]
"""Channel, lane, and the positions that stand before its cursor."""
InstanceRow: TypeAlias = tuple[str, str, int, str, str | None, str | None, int | None, int, int, str | None]
KeyRow: TypeAlias = tuple[str, str, InstanceRow | None]
"""Channel and key of some of the envelopes, and the instance that is stored."""

MOST = 16
"""So many envelopes are few."""


class Findings(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What an append tells of lanes that had nothing new before it."""

    positions: list[int]
    """Of the envelopes, in their order."""
    standing: list[Standing]
    instances: list[KeyRow]


findings_of = msgspec.json.Decoder(Findings).decode


class Given(NamedTuple):
    """What a fetch is given instead of asking."""

    cursors: Sequence[Cursor] = ()
    envelopes: Sequence[Envelope] = ()
    instances: Sequence[KeyRow] = ()
    left: Sequence[LaneLike] = ()
    """Lanes that have to be asked all the same, now or later."""


class Handover:
    """What was stored last and not fetched yet."""

    def __init__(self) -> None:
        self._after: dict[LaneLike, int] = {}
        self._waiting: dict[LaneLike, list[Envelope]] = {}
        self._instances: list[KeyRow] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def take(self, envelopes: Sequence[Envelope], lanes: Iterable[LaneCursor], findings: Findings) -> None:
        """Keep envelopes that are stored, for the fetch that goes on at these cursors."""
        self._after.update({(channel, lane): after for channel, lane, after in lanes})
        self._instances += findings.instances
        for envelope, position in zip(envelopes, findings.positions, strict=True):
            stored = msgspec.structs.replace(
                envelope, position=position, guarded=False, delay=0, headers=envelope.headers or None
            )
            self._waiting.setdefault((envelope.channel, envelope.lane), []).append(stored)

    def waits_in(self, places: Iterable[LaneLike]) -> bool:
        """Whether one of these lanes has something here."""
        return not self._waiting.keys().isdisjoint(places)

    def give(self, cursors: Sequence[Cursor], limit: int) -> Given:
        """What fits the cursors; nothing is left here afterwards."""
        if not self._waiting:
            return Given()
        fitting = [cursor for cursor in cursors if self._fits(cursor, limit)]
        envelopes = [each for cursor in fitting for each in self._waiting.pop((cursor.channel, cursor.lane))]
        instances, left = self._instances, self.drop()
        return Given(fitting, envelopes, () if left else instances, left)

    def drop_unless(self, ends: Mapping[LaneLike, int | None]) -> list[LaneLike]:
        """Keep it, unless one of its lanes was fetched and does not end where this begins; the lanes it was of, then.

        All or nothing: the instances are of all of them.
        """
        if all(ends.get(place, after) == after for place, after in self._after.items()):
            return []
        return self.drop()

    def drop(self) -> list[LaneLike]:
        """Forget everything; the lanes it was of."""
        left = list(self._waiting)
        self._after, self._waiting, self._instances = {}, {}, []
        return left

    def _fits(self, cursor: Cursor, limit: int) -> bool:
        place = (cursor.channel, cursor.lane)
        waiting = self._waiting.get(place)
        return waiting is not None and len(waiting) <= limit and self._after[place] == cursor.after
