"""Notes in the store which runs of a worker last, so that people see it from any process.

Most runs end within a moment, and of those nothing is noted. So it costs nothing for a message, and for runs that last,
one call when the leases are renewed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from sagabus.clock import Clock
from sagabus.engine.time_limit import TimeLimits, Watched
from sagabus.errors import StoreError
from sagabus.store import Leasing, Running

log = logging.getLogger("sagabus")

NOTED_AFTER = 1.0
"""Seconds that a run has lasted before it is noted."""
_AGAIN = 30.0
"""Seconds until the same is noted again, should the worker have been taken for dead meanwhile."""
_Noted: TypeAlias = Mapping[str, Sequence[tuple[int, float]]]


class RunNotes:
    """The notes of one worker."""

    def __init__(self, identity: str, store: Leasing, clock: Clock, limits: TimeLimits) -> None:
        self._identity, self._store, self._clock, self._limits = identity, store, clock, limits
        self._noted: _Noted = {}
        self._noted_at = 0.0

    async def note(self) -> None:
        """Note what lasts, unless the store knows it. If the store does not take it, the next renewal tries again."""
        now = self._clock.monotonic()
        found = self._limits.lasting(NOTED_AFTER)
        noted = {channel: [(id(run), run.began) for run in runs] for channel, runs in found.items()}
        if noted == self._noted and not (noted and now - self._noted_at >= _AGAIN):
            return
        running = {
            channel: [_running(run, now) for run in found.get(channel, ())] for channel in {*noted, *self._noted}
        }
        try:
            await self._store.note_running(self._identity, running)
        except StoreError as error:
            log.debug("cannot note which runs last: %s", error)  # for people to see: no message waits for it
            return
        self._noted, self._noted_at = noted, now


def _running(run: Watched, now: float) -> Running:
    envelope = run.envelope
    lasted = int((now - run.began) * 1_000_000)
    return Running(envelope.message_id, envelope.message_type, envelope.partition_key, lasted, envelope.position)
