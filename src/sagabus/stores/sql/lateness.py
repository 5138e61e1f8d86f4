"""Envelopes that appear behind the cursor: a transaction may commit after a later one, and a position is no promise.

A server gives positions when rows are written and shows rows when they commit. Who fetches on from the last position
would never see what commits late. So each fetch is also told which positions stand before the cursor; those that were
not handed out are late, and are handed out then. A key's own order is safe: of two messages one of which was accepted
before the other was sent, the first is visible whenever the second is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sagabus.envelope import Envelope
from sagabus.store import Cursor

Place = tuple[str, int]


class Lateness:
    """What has been handed out of each lane since it was last read from its beginning, and is still there."""

    def __init__(self) -> None:
        self._handed: dict[Place, set[int]] = {}

    def late(self, cursors: Sequence[Cursor], standing: Iterable[tuple[Place, Sequence[int]]]) -> list[int]:
        """Of the positions that stand before the cursors, those never handed out."""
        for cursor in cursors:
            if cursor.after == 0:
                self._handed.pop((cursor.channel, cursor.lane), None)
        late: list[int] = []
        for place, positions in standing:
            handed = self._handed.get(place, set())
            late += [position for position in positions if position not in handed]
            self._handed[place] = handed.intersection(positions)
        return late

    def hand_out(self, envelopes: Iterable[Envelope]) -> None:
        """These are with the caller now."""
        for envelope in envelopes:
            if envelope.due_at == 0:
                self._handed.setdefault((envelope.channel, envelope.lane), set()).add(envelope.position)
