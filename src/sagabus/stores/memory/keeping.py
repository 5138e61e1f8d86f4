"""Leases that a thread renews: it leaves a note, and the next reader of leases reads the notes first.

The tables belong to the event loop. A note is one append to a deque, which needs no lock.
"""

from __future__ import annotations

from collections import deque

from msgspec.structs import replace

from sagabus.clock import Clock
from sagabus.stores.memory.tables import Renewal, Tables


class MemoryKeeper:
    """See `sagabus.store.Keeper`."""

    def __init__(self, renewals: deque[Renewal], clock: Clock) -> None:
        self._renewals = renewals
        self._clock = clock

    def renew(self, worker: str, *, duration: int, within: float) -> None:
        self._renewals.append((worker, self._clock.now() + duration))

    def close(self) -> None:
        """Nothing is to be done."""


def take_note(tables: Tables) -> None:
    """Enter what threads have renewed since the last call: no worker can have taken it over meanwhile."""
    while tables.renewals:
        worker, expires_at = tables.renewals.popleft()
        for place, row in [(place, row) for place, row in tables.lanes.items() if row.owner == worker]:
            tables.lanes[place] = replace(row, expires_at=expires_at)
        for registration in [known for known in tables.workers if known[1] == worker]:
            tables.workers[registration] = expires_at
