"""The database's clock, as this process knows it: no two machines' clocks are ever compared."""

from __future__ import annotations

from collections.abc import Callable

from sagabus.clock import Cancellable, Clock


class DatabaseClock:
    """Tells the time of the database, never ahead of it: the last reading, and what has passed since it arrived.

    A reading is older than its arrival, so what is scheduled can be late by a round trip and is never early.
    """

    def __init__(self, local: Clock) -> None:
        self._local = local
        self._offset = 0

    def set(self, reading: int) -> None:
        """Take a reading that has just arrived, in microseconds since 1970."""
        self._offset = reading - int(self._local.monotonic() * 1_000_000)

    def now(self) -> int:
        """The present instant by the database."""
        return self._offset + int(self._local.monotonic() * 1_000_000)

    def monotonic(self) -> float:
        """Seconds of the local clock that never goes back."""
        return self._local.monotonic()

    def call_after(self, seconds: float, callback: Callable[[], object]) -> Cancellable:
        """Leave local waiting to the local clock."""
        return self._local.call_after(seconds, callback)
