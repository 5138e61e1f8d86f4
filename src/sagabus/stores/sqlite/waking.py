"""Hints that something may have become due: at once inside this process, by a cheap look for other processes.

`PRAGMA data_version` reads a counter in shared memory, so looking every few milliseconds costs nothing a user would
notice. It is asked on the connection that writes, so what this process stores is no change of others. A hint may be
late or idle; fetching is the truth.
"""

from __future__ import annotations

from collections.abc import Callable

from sagabus.clock import Clock
from sagabus.stores.hints import Hints

_SHORTEST = 0.002
_LONGEST = 0.05


class Waking:
    """Waits for a change of the file by any process, for any number of waiters."""

    def __init__(self, version: Callable[[], int | None], clock: Clock) -> None:
        """`version`: another one after each change by others; None while this process writes."""
        self._version = version
        self._clock = clock
        self._hints = Hints(clock)
        self._seen = version()

    def wake(self) -> None:
        """Something changed in this process."""
        self._hints.give()

    def look(self) -> None:
        """What was changed by now is known: no waiter has to hear of it."""
        self._changed_elsewhere()

    async def wait(self, timeout: float | None) -> bool:
        """Return at the next change (or the one since the last call), or after `timeout` seconds of the clock. Whether
        others have changed the file.
        """
        pause = _SHORTEST
        end = None if timeout is None else self._clock.monotonic() + timeout
        while True:
            if self._hints.take():
                return False  # at once: a message waits; others are looked for the next time
            if self._changed_elsewhere():
                self._hints.give()  # the other waiters see no difference any more
                self._hints.take()
                return True
            left = pause if end is None else min(pause, end - self._clock.monotonic())
            if left <= 0:
                return False
            await self._hints.nap(left)
            pause = min(pause * 1.5, _LONGEST)

    def _changed_elsewhere(self) -> bool:
        version = self._version()
        if version is None or version == self._seen:
            return False
        self._seen = version
        return True
