"""Waiting for something to become due, with the clock's own idea of time."""

from __future__ import annotations

import asyncio

from sagabus.clock import Clock
from sagabus.stores.hints import Hints


class Bell:
    """Wakes all who wait. Who does not wait meanwhile is let through the next time, so that no ring is lost."""

    def __init__(self, clock: Clock) -> None:
        self._hints = Hints(clock)

    def ring(self) -> None:
        """Wake them."""
        self._hints.give()

    async def wait(self, timeout: float | None) -> None:
        """Return after the next ring, or when the time is over."""
        if self._hints.take() or (timeout is not None and timeout <= 0):
            await asyncio.sleep(0)  # the others get their turn, whatever the caller's loop does
            return
        await self._hints.nap(timeout)
        self._hints.take()
