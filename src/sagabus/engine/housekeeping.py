"""Forgetting, in small steps: de-duplication records below a horizon, tombstones, closed dead letters. After each time,
and soon after its start, it has the store looked at, for people to see.

Outside the way of messages: a task of the worker's process. It trusts the wall clock only while that keeps pace with
the monotonic one. After a jump it refuses and says so, because a purge at the wrong time costs availability. It never
costs a second effect: see the horizon.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeAlias

from sagabus.clock import SECOND, Clock, sleep
from sagabus.engine.health import Health
from sagabus.engine.lifecycle import BackgroundTask, joined
from sagabus.engine.store_watch import StoreWatch
from sagabus.errors import StoreError
from sagabus.store import Retention, Upkeep
from sagabus.store.upkeep import Purged

log = logging.getLogger("sagabus")

FIRST_LOOK = timedelta(seconds=1)
"""So long after the start, when the worker has its lanes: a look in the start would hold it up, and see too little."""
_LARGEST_JUMP = 3600 * SECOND
_Step: TypeAlias = tuple[str, Callable[[], Awaitable[object]]]


class Housekeeping:
    """Purges every so often while it runs; several processes may do so at once.

    `watch` looks after each purge, and once before the first.
    """

    name = "housekeeping"

    def __init__(
        self,
        store: Upkeep,
        clock: Clock,
        retention: Sequence[Retention],
        *,
        watch: StoreWatch,
        every: float,
        limit: int,
    ) -> None:
        self._store = store
        self._clock = clock
        self._retention = retention
        self._every = every
        self._limit = limit
        self._watch = watch
        self._task = BackgroundTask("sagabus-housekeeping", "forgets nothing that is past its retention")
        self._offset = self._clock_offset()

    async def start(self) -> None:
        """Begin."""
        self._task.start(self._run)

    async def stop(self, grace: float) -> None:  # a purge is short
        """End; a purge under way finishes first."""
        await self._task.stop()

    def health(self) -> Health:
        """Whether it purges, and what was seen at the last look."""
        return joined((self._task.health(), self._watch.health()))

    async def purge(self) -> Purged:
        """One bounded step now; nothing at all after a jump of the wall clock."""
        offset = self._clock_offset()
        jump = offset - self._offset
        if abs(jump) > _LARGEST_JUMP:
            log.error("the clock jumped by %.0f s: the bus purges nothing until it is restarted", jump / SECOND)
            return Purged()
        self._offset = offset
        return await self._store.purge(self._retention, self._limit)

    async def purge_all(self) -> None:
        """Step after step, until nothing is left to remove."""
        while (await self.purge()).more:  # noqa: ASYNC110  # nothing to wait for: others get a turn between steps
            await asyncio.sleep(0)

    async def _run(self) -> None:
        due = self._clock.monotonic() + self._every
        await sleep(self._clock, min(FIRST_LOOK.total_seconds(), self._every))
        await self._round(self._watch.looks)
        while True:
            if (left := due - self._clock.monotonic()) > 0:
                await sleep(self._clock, left)
            await self._round([("purge", self.purge_all), *self._watch.looks])
            due = self._clock.monotonic() + self._every

    async def _round(self, steps: Sequence[_Step]) -> None:
        for what, step in steps:
            try:
                await step()
            except StoreError as error:
                log.warning("cannot %s now: %s", what, error)
            except Exception:
                log.exception("cannot %s, for an error was met; the next time is the usual one", what)

    def _clock_offset(self) -> int:
        return self._clock.now() - int(self._clock.monotonic() * SECOND)
