"""What the other live workers know: releases side by side share a channel by that.

The store gives all lanes of a channel to those that know most (`stores.lane_shares`). This tells the
operator when a worker has given its lanes away, and keeps a message waiting while some live worker knows its type.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from sagabus.engine.in_flight import InFlight
from sagabus.engine.recoverability import Recoverability
from sagabus.store import Inspected

log = logging.getLogger("sagabus")


class Crew:
    """The workers of this worker's channels, as it has seen them last."""

    def __init__(
        self, store: Inspected, hand: InFlight, failing: Recoverability, knows: Mapping[str, tuple[str, ...]]
    ) -> None:
        self._store, self._hand, self._failing = store, hand, failing
        self._knows = {channel: frozenset(types) for channel, types in knows.items()}
        self._without_lanes: set[str] = set()

    async def look(self) -> None:
        """Look at the others where that matters: after each renewal, mostly for nothing."""
        without = self._knows.keys() - {channel for channel, _ in self._hand.lanes}
        if without == self._without_lanes and not self._failing.unknown_types:
            return
        known: dict[str, frozenset[str]] = {}
        for seen in await self._store.inspect.workers():
            known[seen.channel] = known.get(seen.channel, frozenset()) | (seen.knows or frozenset())
        for channel in sorted(without - self._without_lanes):
            if others := known.get(channel, frozenset()) - self._knows[channel]:
                log.info(
                    "%s: this worker gives all lanes to live workers of another release, which also know %s",
                    *(channel, ", ".join(sorted(others))),
                )
        self._without_lanes = without
        self._failing.note_known(known)
