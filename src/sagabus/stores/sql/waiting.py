"""Hints that something may have become due: at once inside this process, by looking for other processes.

Looking is a fetch, at a pace that adapts: often while there is something to find, seldom when there is not. A hint may
be late or idle; fetching is the truth.
"""

from __future__ import annotations

from collections.abc import Callable

from sagabus.clock import Clock
from sagabus.stores.hints import Hints

_SHORTEST = 0.005
_LONGEST = 0.1


class Waiting:
    """Waits for a change by this process, or until it is time to look for one by others."""

    def __init__(self, clock: Clock) -> None:
        self._hints = Hints(clock)
        self._pause = _SHORTEST
        self.tell: Callable[[], None] | None = None
        """Called with each change of this process, if other processes are to learn of it."""

    def wake(self) -> None:
        """Something changed in this process."""
        self.hear()
        if self.tell is not None:
            self.tell()

    def hear(self) -> None:
        """Something changed, somewhere."""
        self._hints.give()

    def found(self, anything: bool) -> None:  # noqa: FBT001  # the one thing it is told
        """What the last look brought: more of it is likely, or not."""
        self._pause = _SHORTEST if anything else min(self._pause * 1.5, _LONGEST)

    async def wait(self, timeout: float | None) -> None:
        """Return at the next change, when it is time to look, or after `timeout` seconds of the clock."""
        if self._hints.take():
            return
        left = self._pause if timeout is None else min(self._pause, timeout)
        if left > 0:
            await self._hints.nap(left)
            self._hints.take()
