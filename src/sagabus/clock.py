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

from sagabus.errors import InvalidTime

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

    monotonic = staticmethod(time.monotonic)
    """The machine's monotonic clock: read twice for a run that is timed, so without a call of our own."""

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


def span(duration: object, option: str) -> int:
    """A duration from 0 to LONGEST in microseconds; InvalidTime, naming the option, for anything else."""
    if not isinstance(duration, timedelta):
        raise InvalidTime(option, f"must be a timedelta, not {_named(duration)}")
    if duration < timedelta(0):
        raise InvalidTime(option, f"must not be negative, unlike {duration}")
    if duration > LONGEST:
        raise InvalidTime(option, f"must be at most {LONGEST.days} days (1000 years), not {duration.days}")
    return micros(duration)


def span_problems(owner: str, **durations: object) -> list[str]:
    """What is wrong with these settings of one owner, one sentence each."""
    problems: list[str] = []
    for name, duration in durations.items():
        try:
            span(duration, f"{owner}.{name}")
        except InvalidTime as error:
            problems.append(f"{error.option} {error.reason}")
    return problems


def instant(moment: object, option: str = "instant") -> int:
    """An aware datetime in microseconds since 1970; InvalidTime, naming the option, for anything else.

    A naive datetime is refused because its zone would be a guess.
    """
    if not isinstance(moment, datetime):
        raise InvalidTime(option, f"must be an aware datetime, not {_named(moment)}")
    if moment.utcoffset() is None:
        raise InvalidTime(
            option, f"{moment!r} has no time zone; pass an aware datetime, such as datetime(2030, 1, 1, tzinfo=UTC)"
        )
    at = micros(moment - _EPOCH)
    if not _FIRST <= at <= _LAST:
        raise InvalidTime(option, f"{moment!r} is outside the years 1 to 9999 of UTC")
    return at


def moment(at: int) -> datetime:
    """The aware datetime of an instant."""
    return _EPOCH + timedelta(microseconds=at)


def _named(value: object) -> str:
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


LONGEST = timedelta(days=365_250)
"""The longest delay, retention or wait: a sum of now and this fits in every store and in a datetime."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = micros(datetime.min.replace(tzinfo=UTC) - _EPOCH)
_LAST = micros(datetime.max.replace(tzinfo=UTC) - _EPOCH)
