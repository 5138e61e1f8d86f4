"""Group commit: what has finished meanwhile commits together, one flush in flight, no timer to tune.

Two queues of this kind: outcomes of handlers (`committer`) and envelopes of publishers (`acceptor`). Alone, one commits
at once; under load hundreds share a commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from sagabus.engine.health import Health
from sagabus.engine.lifecycle import BackgroundTask

log = logging.getLogger("sagabus")
T = TypeVar("T")

LARGEST_FLUSH = 2_000
LARGEST_FLUSH_BYTES = 8 << 20
"""What is written together, is several times in memory: as it came, as text, and in the driver."""
_COMFORTABLE = 512
_TURNS = 8


class GroupCommit(Generic[T]):
    """Collects items and flushes what there is, never two flushes at once.

    `more` says whether further items are a moment away; then a few turns of the event loop are waited, never longer.
    """

    def __init__(
        self,
        flush: Callable[[list[T]], Awaitable[None]],
        give_up: Callable[[list[T]], None],
        more: Callable[[], bool] | None = None,
        *,
        size: Callable[[T], int] = lambda _: 0,
        loss: str = "commits nothing",
    ) -> None:
        """`loss`: what the process does no longer when its task has ended."""
        self._flush = flush
        self._give_up = give_up
        self._more = more or (lambda: False)
        self._size = size
        self.waiting: list[T] = []
        """What is to be flushed next."""
        self._flushing = False
        self._task = BackgroundTask("sagabus-group-commit", loss, returns=True, broken=self._broken)

    @property
    def busy(self) -> bool:
        """Whether anything waits or is being flushed."""
        return self._flushing or bool(self.waiting)

    def add(self, item: T) -> None:
        """Queue one item; the flush begins when the event loop is next free, or when the one in flight has ended."""
        self.waiting.append(item)
        if not self._flushing:
            self._flushing = True
            self._task.start(self._work)

    async def drain(self, grace: float) -> bool:
        """Wait until nothing waits and nothing is in flight, at most `grace` seconds; whether that is so."""
        try:
            async with asyncio.timeout(grace):
                while self._flushing:
                    await self._task.ended()
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """Give up what still waits, after the flush in flight; calling twice is harmless."""
        self.waiting.clear()
        try:
            await self._task.stop()
        finally:
            if not self._task.runs:
                self._broken()

    def health(self) -> Health:
        """Whether it flushes."""
        return self._task.health()

    async def _work(self) -> None:
        try:
            while self.waiting:
                for _ in range(_TURNS):
                    if len(self.waiting) >= _COMFORTABLE or not self._more():
                        break
                    await asyncio.sleep(0)
                count = fitting(self.waiting, self._size)
                batch, self.waiting = self.waiting[:count], self.waiting[count:]
                try:
                    await self._flush(batch)
                except Exception:
                    log.exception("a flush met an error")
        except asyncio.CancelledError:
            self._give_up_waiting()
            raise
        finally:
            self._flushing = False

    def _broken(self) -> None:
        """A task that was cancelled before its first step has run no line that could say so."""
        self._flushing = False
        self._give_up_waiting()

    def _give_up_waiting(self) -> None:
        left, self.waiting = self.waiting, []
        if left:
            self._give_up(left)


def fitting(items: Sequence[T], size: Callable[[T], int]) -> int:
    """How many of them, from the first one on, may be written together: one at least."""
    if len(items) <= LARGEST_FLUSH and sum(map(size, items)) <= LARGEST_FLUSH_BYTES:
        return len(items)
    taken = 0
    for number, item in enumerate(items[:LARGEST_FLUSH]):
        taken += size(item)
        if taken > LARGEST_FLUSH_BYTES and number:
            return number
    return min(len(items), LARGEST_FLUSH)
