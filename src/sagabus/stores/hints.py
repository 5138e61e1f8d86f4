"""Hints that something has changed, for every task that waits for one: no waiter takes the hint of another.

A store may have several workers in one process, such as the one of a bus and those of its bridges.
"""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

from sagabus.clock import Clock


class Hints:
    """Counts what has changed, and knows up to where each task has heard of it. For one event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changes = self._latest = 0
        self._heard: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
        self._napping: set[asyncio.Event] = set()

    def give(self) -> None:
        """Something has changed: all who nap are woken, and those who work hear of it with their next `take`."""
        self._changes += 1
        for nap in self._napping:
            nap.set()

    def take(self) -> bool:
        """Whether something has changed since the running task took its last hint. A task that took none has heard
        what any other has.
        """
        task = asyncio.current_task()
        heard = self._latest if task is None else self._heard.get(task, self._latest)
        self._latest = self._changes
        if task is not None:
            self._heard[task] = self._changes
        return heard < self._changes

    async def nap(self, seconds: float | None) -> None:
        """Return at the next `give`, or after so many seconds of the clock; None waits for a hint."""
        nap = asyncio.Event()
        self._napping.add(nap)
        alarm = None if seconds is None else self._clock.call_after(seconds, nap.set)
        try:
            await nap.wait()
        finally:
            self._napping.discard(nap)
            if alarm is not None:
                alarm.cancel()
