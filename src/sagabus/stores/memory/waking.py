"""Waiting for something to become due, with the clock's own idea of time."""

from __future__ import annotations

import asyncio

from sagabus.clock import Clock


class Bell:
    """Wakes all who wait. If it rings while no task waits, it lets the next one through at once, so that no ring is
    lost.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: set[asyncio.Future[None]] = set()
        self._has_rung = False

    def ring(self) -> None:
        """Wake them."""
        self._has_rung = not self._waiting
        for waiting in self._waiting:
            _wake(waiting)

    async def wait(self, timeout: float | None) -> None:
        """Return after the next ring, or when the time is over."""
        if self._has_rung or (timeout is not None and timeout <= 0):
            self._has_rung = False
            await asyncio.sleep(0)  # the others get their turn, whatever the caller's loop does
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        alarm = self._clock.call_after(timeout, lambda: _wake(waiting)) if timeout is not None else None
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)
            if alarm is not None:
                alarm.cancel()


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
