"""Time as the library sees it: a port, so that tests move it by hand.

Instants are whole microseconds since 1970 (UTC), because they are stored and compared in databases; local waiting uses
the monotonic side only. Nothing above this file reads the system's clocks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

MICROSECOND = 1
SECOND = 1_000_000


class Cancellable(Protocol):
    """Something scheduled that can still be called off; calling off twice is harmless."""

    def cancel(self) -> None:
        """Call it off."""
        ...


class Clock(Protocol):
    """Where instants, elapsed time and local wake-ups come from."""

    def now(self) -> int:
        """The present instant, in microseconds since 1970; may jump when the machine's clock is set."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for measuring what passed in this process."""
        ...

    def call_after(self, seconds: float, callback: Callable[[], object]) -> Cancellable:
        """Call `callback` in the running event loop once `seconds` have passed."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> int:
        """The machine's wall clock."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """The machine's monotonic clock."""
        return time.monotonic()

    def call_after(self, seconds: float, callback: Callable[[], object]) -> Cancellable:
        """Leave the waiting to the event loop."""
        return asyncio.get_running_loop().call_later(seconds, callback)


async def sleep(clock: Clock, seconds: float) -> None:
    """Wait until `seconds` of the clock have passed."""
    woken = asyncio.Event()
    timer = clock.call_after(seconds, woken.set)
    try:
        await woken.wait()
    finally:
        timer.cancel()


def micros(duration: timedelta) -> int:
    """A duration in whole microseconds."""
    return duration // timedelta(microseconds=1)


def instant(moment: datetime) -> int:
    """An aware datetime in microseconds since 1970; a naive one is a ValueError, for its zone would be a guess."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; use an aware datetime, such as datetime.now(UTC)")
    return micros(moment - _EPOCH)


def moment(at: int) -> datetime:
    """The aware datetime of an instant."""
    return _EPOCH + timedelta(microseconds=at)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
