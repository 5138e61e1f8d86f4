"""A look at what waits in a store and at the health of its bus, seldom enough for any number of exporters."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from sagabus.clock import Clock
from sagabus.errors import WrongEventLoop
from sagabus.telemetry.facts import Waiting, Whole

__all__ = ["FRESH", "PATIENCE", "Look"]

FRESH = 5.0
"""Seconds for which a look at the store stands for further questions."""
PATIENCE = 4.0
"""Seconds that a look may take: Prometheus waits for ten by default."""


class Inspected(Protocol):
    """The questions that are asked of a bus."""

    async def subscriptions(self) -> Sequence[Waiting]:
        """As `bus.inspect.subscriptions()`."""
        ...

    async def oldest_transaction(self) -> timedelta | None:
        """As `bus.inspect.oldest_transaction()`."""
        ...


class Watched(Protocol):
    """What metrics ask of a bus."""

    @property
    def inspect(self) -> Inspected: ...
    def health(self) -> Whole: ...


class Look:
    """The last look, to be read in any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._looked: float | None = None
        self._looking = asyncio.Lock()
        self.health: Whole | None = None
        self.waiting: Sequence[Waiting] | None = None
        """None if the store did not answer, or was not asked yet."""
        self.oldest_transaction: timedelta | None = None
        """None if the store cannot say."""

    @property
    def has_looked(self) -> bool:
        """Whether the store was asked, whatever came of it."""
        return self._looked is not None

    async def at(self, bus: Watched) -> None:
        """Look, at the store at most every 5 seconds. WrongEventLoop in another loop than that of the bus; a store that
        does not answer raises nothing. Cancelled, all stays as it was.
        """
        async with self._looking:
            self.health, now = bus.health(), self._clock.monotonic()
            if self._looked is not None and now - self._looked < FRESH:
                return
            try:
                async with asyncio.timeout(PATIENCE):
                    self.waiting = await bus.inspect.subscriptions()
                    self.oldest_transaction = await bus.inspect.oldest_transaction()
            except WrongEventLoop:
                raise
            except Exception:  # noqa: BLE001  # whatever it is, the metric is the answer, and `health` says why
                self.waiting = self.oldest_transaction = None
            self._looked = now
