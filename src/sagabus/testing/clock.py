"""A clock that only the test moves: time-outs, retries and timers of hours pass in no time, and in a known order."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from math import ceil

from sagabus.clock import instant, micros, moment

_START = datetime(2030, 1, 1, tzinfo=UTC)


class ManualClock:
    """Time stands still until `advance` or `set`. Not for use by several threads at once."""

    def __init__(self, start: datetime = _START) -> None:
        self._now = instant(start)
        self._passed = 0
        self._alarms: list[_Alarm] = []
        self._order = count()

    def now(self) -> int:
        """The instant it shows, in microseconds since 1970."""
        return self._now

    def monotonic(self) -> float:
        """The seconds that `advance` has let pass; `set` does not count."""
        return self._passed / 1_000_000

    def call_after(self, seconds: float, callback: Callable[[], object]) -> _Alarm:
        """Call `callback` inside the `advance` that lets these seconds pass; in order of time, then of asking."""
        # Never early: who waits for the small part of a microsecond that is left would otherwise wait for ever.
        wait = max(1, ceil(round(seconds * 1_000_000, 3))) if seconds > 0 else 0
        due = self._passed + wait
        alarm = _Alarm(due, next(self._order), callback)
        heapq.heappush(self._alarms, alarm)
        return alarm

    def advance(self, duration: timedelta) -> None:
        """Let time pass. Each callback that comes due runs at its own moment, and may ask for more of them."""
        if duration < timedelta(0):
            raise ValueError(f"time does not pass backwards ({duration}); use set() to put the clock back")
        end = self._passed + micros(duration)
        while self._alarms and self._alarms[0].due <= end:
            alarm = heapq.heappop(self._alarms)
            self._move_to(max(alarm.due, self._passed))
            alarm.ring()
        self._move_to(end)

    def set(self, now: datetime) -> None:
        """Put the wall clock to another instant, as an administrator would: nothing passes, no callback runs."""
        self._now = instant(now)

    def jump(self, by: timedelta) -> None:
        """`set`, by a distance: forward, or back when negative."""
        self.set(moment(self._now) + by)

    def next_alarm(self) -> timedelta | None:
        """How long until the next callback; None when none is waiting."""
        while self._alarms and self._alarms[0].is_cancelled:
            heapq.heappop(self._alarms)
        return timedelta(microseconds=max(0, self._alarms[0].due - self._passed)) if self._alarms else None

    def _move_to(self, passed: int) -> None:
        self._now += passed - self._passed
        self._passed = passed


class _Alarm:
    """A callback and when it is due."""

    __slots__ = ("_callback", "due", "is_cancelled", "order")

    def __init__(self, due: int, order: int, callback: Callable[[], object]) -> None:
        self.due = due
        self.order = order
        self.is_cancelled = False
        self._callback = callback

    def __lt__(self, other: _Alarm) -> bool:
        return (self.due, self.order) < (other.due, other.order)

    def cancel(self) -> None:
        """Call it off; twice is harmless."""
        self.is_cancelled = True

    def ring(self) -> None:
        if not self.is_cancelled:
            self._callback()
