"""Hints that something may have become due: at once inside this process, by a cheap look for other processes.

`PRAGMA data_version` reads a counter in shared memory, so looking every few milliseconds costs nothing a user would
notice. A hint may be late or idle; fetching is the truth.
"""

from __future__ import annotations

from sagabus.clock import Clock
from sagabus.stores.hints import Hints
from sagabus.stores.sqlite.driver import Driver
from sagabus.stores.sqlite.quiet_lanes import OtherWriters

_SHORTEST = 0.002
_LONGEST = 0.05


class Waking:
    """Waits for a change of the file by any process, for any number of waiters."""

    def __init__(self, connection: Driver, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._hints = Hints(clock)
        self._seen = self._version()

    def wake(self) -> None:
        """Something changed in this process."""
        self._hints.give()

    async def wait(self, timeout: float | None, others: OtherWriters) -> bool:
        """Return at the next change (or the one since the last call), or after `timeout` seconds of the clock. Whether
        the file has changed, and nothing here has said so.

        While this process writes, its own change is not taken for one of others: `wake` follows.
        """
        pause = _SHORTEST
        end = None if timeout is None else self._clock.monotonic() + timeout
        while True:
            # Looked at first: what this process has changed itself shall not wake it a second time.
            has_changed, is_known = not others.are_we and self._changed_elsewhere(), self._hints.take()
            if has_changed and not is_known:
                self._hints.give()  # the others see no difference any more
                self._hints.take()
            if has_changed or is_known:
                return has_changed and not is_known
            left = pause if end is None else min(pause, end - self._clock.monotonic())
            if left <= 0:
                return False
            await self._hints.nap(left)
            pause = min(pause * 1.5, _LONGEST)

    def _changed_elsewhere(self) -> bool:
        version = self._version()
        changed = version != self._seen
        self._seen = version
        return changed

    def _version(self) -> int:
        version: int = self._connection.execute("PRAGMA data_version").get
        return version
