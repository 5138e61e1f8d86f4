"""The connections of one store: a few, opened when needed, and closed when their state is unknown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from sagabus.errors import StoreUnavailable
from sagabus.stores.sql.link import Link

_GOODBYE_SECONDS = 2.0


class Pool:
    """At most `size` connections; who asks for one more waits `patience` seconds at most, then StoreUnavailable."""

    def __init__(self, connect: Callable[[], Awaitable[Link]], size: int, patience: float, place: str) -> None:
        self._connect = connect
        self._places = asyncio.Semaphore(size)
        self._loans = asyncio.Semaphore(size - 1)
        self._size = size
        self._patience = patience
        self._place = place
        self._idle: list[Link] = []
        self._busy: set[Link] = set()
        self._closed = False

    @asynccontextmanager
    async def lent(self) -> AsyncGenerator[Link, None]:
        """The same for a transaction that waits for user code. There is one less of these than there are connections,
        so that workers renew leases and commit while all of them wait.
        """
        await self._one_of(self._loans, self._size - 1)
        try:
            async with self.link() as link:
                yield link
        finally:
            self._loans.release()

    @asynccontextmanager
    async def link(self) -> AsyncGenerator[Link, None]:
        """A connection for the block. It is kept for the next user only if it is in order afterwards."""
        await self._one_of(self._places, self._size)
        try:
            link = await self._take()
            self._busy.add(link)
            try:
                yield link
            except StoreUnavailable:
                if not link.usable:
                    self._forget_the_idle()
                raise
            finally:
                self._busy.discard(link)
                self._put_back(link)
        finally:
            self._places.release()

    async def close(self) -> None:
        """Say goodbye on every connection at rest, and cut the others; calling twice is harmless. Cancelled, it
        cuts them all.
        """
        self._closed = True
        idle, self._idle = self._idle, []
        try:
            for link in idle:
                with suppress(Exception):
                    async with asyncio.timeout(_GOODBYE_SECONDS):
                        await link.close()
        finally:
            for link in (*idle, *self._busy):
                link.terminate()

    async def _one_of(self, places: asyncio.Semaphore, size: int) -> None:
        if not places.locked():
            await places.acquire()  # at once
            return
        try:
            async with asyncio.timeout(self._patience):
                await places.acquire()
        except TimeoutError:
            raise StoreUnavailable(
                f"{self._place}: all {size} connections that may be have been in use for {self._patience:g} s",
                store=self._place,
            ) from None

    async def _take(self) -> Link:
        if self._closed:
            raise StoreUnavailable(f"{self._place} is closed", store=self._place)
        while self._idle:
            link = self._idle.pop()  # the last one used: its statements are prepared, its caches are warm
            if link.usable:
                return link
            link.terminate()
        try:
            async with asyncio.timeout(self._patience):
                return await self._connect()
        except TimeoutError:
            raise StoreUnavailable(
                f"{self._place}: no connection within {self._patience:g} s", store=self._place
            ) from None

    def _forget_the_idle(self) -> None:
        """Whatever has ended one connection may have ended those at rest without a sign: a host that is gone, a
        firewall that has forgotten them. Each of them would cost the next call its deadline.
        """
        idle, self._idle = self._idle, []
        for link in idle:
            link.terminate()

    def _put_back(self, link: Link) -> None:
        if link.usable and not self._closed:
            self._idle.append(link)
        else:
            link.terminate()
