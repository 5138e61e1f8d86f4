"""Paused subscriptions: nothing of them is fetched, and nothing that waits begins.

The intake asks what it may fetch. Which subscriptions are paused is part of the routing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from sagabus.engine.in_flight import InFlight
from sagabus.store import Cursor
from sagabus.store.loud import Sift

log = logging.getLogger("sagabus")


class Pauses:
    """The pauses of one worker."""

    def __init__(self, hand: InFlight, known: Callable[[], frozenset[str]]) -> None:
        """`known`: which channels are paused, as far as this process knows."""
        self._hand = hand
        self._known = known
        self.paused: frozenset[str] = frozenset()

    def look(self) -> None:
        """Put down what waits of paused subscriptions: it comes again, in order, when they are resumed."""
        now = self._known()
        if now == self.paused and not now:
            return
        own = {channel for channel, _ in self._hand.lanes}
        for channel in sorted((now ^ self.paused) & own):
            log.warning("%s: %s", channel, "paused by an operator" if channel in now else "goes on after a pause")
        for mailbox in list(self._hand.mailboxes()):
            if mailbox.place[0] in now and mailbox.queue:
                self._hand.fetch_again(mailbox)
        for place in self._hand.lanes:
            if place[0] in self.paused - now:
                self._hand.rescan_lane(place)
        self.paused = now

    def waits(self) -> tuple[str, ...]:
        """What rests, for the health of the worker."""
        return tuple(f"{channel} is paused: `sagabus resume` lets it go on" for channel in sorted(self.own))

    @property
    def own(self) -> frozenset[str]:
        """The paused channels of which this worker has lanes."""
        return self.paused & {channel for channel, _ in self._hand.lanes}

    @property
    def has_open_lanes(self) -> bool:
        """Whether the worker owns any lane that is not paused."""
        lanes = self._hand.lanes
        return any(channel not in self.paused for channel, _ in lanes) if self.paused else bool(lanes)

    def lanes(self, cursors: Sequence[Cursor]) -> Sequence[Cursor]:
        """Those that may be fetched."""
        return cursors if not self.paused else [each for each in cursors if each.channel not in self.paused]

    def keys(self, sifts: Sequence[Sift]) -> Sequence[Sift]:
        """The same of lanes with loud keys."""
        return sifts if not self.paused else [each for each in sifts if each.channel not in self.paused]
