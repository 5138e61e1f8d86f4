"""How long one call may take; and what is done about a connection that has been cut for taking longer.

A server does not look at a connection while a statement runs on it, so what was cut goes on there, and with it the
locks of its transaction: whoever repeats the work would wait for them. So another connection asks the server to end it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sagabus.errors import StoreError, StoreUnavailable
from sagabus.stores.sql.link import Link

log = logging.getLogger("sagabus")
T = TypeVar("T")


class Deadline:
    """One store's; `connect` makes a new connection."""

    def __init__(self, seconds: float, place: str, connect: Callable[[], Awaitable[Link]]) -> None:
        self._seconds = seconds
        self._place = place
        self._connect = connect
        self._ending: set[asyncio.Task[None]] = set()

    async def within(self, work: Awaitable[T], link: Link) -> T:
        """Wait for it no longer than the deadline; a server that does not answer loses its connection.

        The work is not cancelled but hears that its connection has ended: a driver that is cancelled asks the server to
        cancel too, which may meet a COMMIT that waits for its replica, and waits for an answer that may never come.
        """
        late = False

        def cut() -> None:
            nonlocal late
            late = True
            self._cut(link)

        timer = asyncio.get_running_loop().call_later(self._seconds, cut)
        try:
            return await work
        except Exception as error:
            if late:
                raise StoreUnavailable(
                    f"{self._place}: no answer within {self._seconds:g} s", store=self._place
                ) from error
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
