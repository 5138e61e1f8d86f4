"""Looks for what people on call have to hear of. It counts lanes without a worker, recent dead letters and timers
without an instance, and says how old the oldest messages are.

Outside the way of messages: housekeeping has it look soon after the start, and after each purge. Each look is bounded,
so that a round costs the same whatever a store holds.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import timedelta

from sagabus.clock import micros
from sagabus.engine.health import Health
from sagabus.store import Inspected
from sagabus.store.examination import FaultKind

log = logging.getLogger("sagabus")

RECENTLY = timedelta(minutes=15)
"""Dead letters that failed within this time tell whether most messages fail now."""


class StoreWatch:
    """What one process has seen at its last look. `sagas`: whose timers count from 0."""

    def __init__(self, store: Inspected, sagas: Iterable[str]) -> None:
        self._store, self._sagas = store, [*sagas]
        self._oldest: Mapping[str, timedelta] = {}
        self._unowned: Mapping[str, int] = {}
        self._recent: Mapping[str, int] = {}
        self._orphans: Mapping[str, int] = {}

    @property
    def looks(self) -> Sequence[tuple[str, Callable[[], Awaitable[None]]]]:
        """What it does in a round, in words and as a call. Each is of use without the others."""
        return (
            ("look for timers without an instance", self._look_for_timers),
            ("look at what waits", self._look_at_messages),
            ("look for lanes without a worker", self._look_at_lanes),
            ("count recent dead letters", self._look_at_letters),
        )

    def health(self) -> Health:
        """What the last round has found. None of it is a reason to restart this process."""
        return Health(
            orphan_timers=self._orphans,
            oldest_messages=self._oldest,
            unowned_lanes=self._unowned,
            recent_dead_letters=self._recent,
        )

    async def _look_for_timers(self) -> None:
        faults = await self._store.inspect.faults(FaultKind.ORPHAN_TIMER)
        found = {**dict.fromkeys(self._sagas, 0), **Counter(each.channel for each in faults)}
        for saga, count in found.items():
            before = self._orphans.get(saga, 0)
            if count > before:
                log.warning("%s: timers without an instance: %d, %d more than before", saga, count, count - before)
        self._orphans = found

    async def _look_at_messages(self) -> None:
        found = [await self._store.inspect.backlog(name) for name in await self._store.inspect.channels()]
        self._oldest = {each.channel: timedelta(microseconds=each.oldest_age or 0) for each in found}

    async def _look_at_lanes(self) -> None:
        found = await self._store.inspect.lane_counts()
        self._unowned = {each.channel: each.lanes - each.owned for each in found}

    async def _look_at_letters(self) -> None:
        inspect = self._store.inspect
        found = await inspect.recent_letters(micros(RECENTLY))
        self._recent = {**dict.fromkeys(await inspect.channels(), 0), **found}
