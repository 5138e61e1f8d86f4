"""How long one call may take; and what is done about a connection that has been cut for taking longer.

A server does not look at a connection while a statement runs on it. So a cut statement continues there with the locks
of its transaction, and the repetition would wait for them. So another connection asks the server to end it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

from sagabus.errors import StoreError, StoreUnavailable
from sagabus.stores.sql.link import Link

log = logging.getLogger("sagabus")
T = TypeVar("T")

_STOOD_STILL, _TO_READ = 0.25, 0.25
"""Seconds by which a timer is late in an event loop that was blocked, and for which the loop may catch up."""

_SHORTEST_LOOK = 1.0
_MOST_DOUBLED = 10


class LookLimit:
    """How long the calls may take by which a worker keeps its lanes at work: half a lease, and no longer than others.

    A call that was given up is given twice as long the next time: a server that is slow, not silent, answers one day.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._doubled = 0
        self.lease: float | None = None
        """Seconds of the lease that this store takes for a worker; None without one."""

    @contextmanager
    def applied(self) -> Generator[float, None, None]:
        """The limit of one call, in seconds. The next limit depends on how the call ends."""
        try:
            yield self.seconds
        except StoreUnavailable:
            self._doubled = min(self._doubled + 1, _MOST_DOUBLED)
            raise
        self._doubled = 0

    @property
    def seconds(self) -> float:
        """For the next call."""
        if self.lease is None:
            return self._deadline
        return min(max(self.lease / 2, _SHORTEST_LOOK) * (1 << self._doubled), self._deadline)


class Deadline:
    """One store's; `connect` makes a new connection."""

    def __init__(self, seconds: float, place: str, connect: Callable[[], Awaitable[Link]]) -> None:
        self._seconds = seconds
        self._place = place
        self._connect = connect
        self._ending: set[asyncio.Task[None]] = set()

    async def within(self, work: Awaitable[T], link: Link, seconds: float | None = None) -> T:
        """Wait for it no longer than the deadline, or `seconds`; a server that does not answer loses its connection.

        The work is not cancelled but learns that its connection has ended. A cancelled driver asks the server to cancel
        too, which may hit a COMMIT that waits for its replica. It also waits for an answer that may never come.
        """
        limit = self._seconds if seconds is None else seconds
        loop = asyncio.get_running_loop()
        due, late = loop.time() + limit, False
        timer: asyncio.TimerHandle

        def cut() -> None:
            nonlocal late, timer, due
            if loop.time() - due > _STOOD_STILL:
                # The event loop was blocked. What the server has answered meanwhile is there, and is not read yet.
                due = loop.time() + _TO_READ
                timer = loop.call_at(due, cut)
                return
            late = True
            self._cut(link)

        timer = loop.call_at(due, cut)
        try:
            return await work
        except Exception as error:
            if late:
                raise StoreUnavailable(f"{self._place}: no answer within {limit:g} s", store=self._place) from error
            raise
        finally:
            timer.cancel()

    async def close(self) -> None:
        """Leave what is still being ended to the server; calling twice is harmless."""
        for task in self._ending:
            task.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _cut(self, link: Link) -> None:
        link.terminate()
        task = asyncio.get_running_loop().create_task(self._end(link), name="sagabus-ending")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _end(self, cut: Link) -> None:
        """Once, and no longer than a call may take: a server that does not answer has other things to end."""
        try:
            async with asyncio.timeout(self._seconds):
                link = await self._connect()
                try:
                    await link.end(cut)
                finally:
                    link.terminate()
        except (StoreError, TimeoutError) as error:
            log.info("%s: what was cut off may go on there for a while: %s", self._place, error)
