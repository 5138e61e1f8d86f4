"""Leases renewed on a server from a thread: a connection for each renewal, on an event loop that lives as long.

It is made when it is needed, which is seldom, and so it is never one that has ended in silence. Nothing is shared with
the store that the event loop uses: its twin has the same address and is never opened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Protocol

from sagabus.errors import ConfigurationError, StoreUnavailable
from sagabus.stores.sql.link import Link

_GOODBYE_SECONDS = 0.5


class Twin(Protocol):
    """A store of the same address, of which only single connections are used."""

    place: str

    async def connect(self) -> Link:
        """A new connection."""
        ...

    async def renew_on(self, link: Link, worker: str, duration: int) -> None:
        """Renew what the worker still owns, in one transaction."""
        ...


class ServerKeeper:
    """See `sagabus.store.Keeper`."""

    def __init__(self, make_twin: Callable[[], Twin], check_process: Callable[[], None]) -> None:
        self._make_twin = make_twin
        self._check_process = check_process
        self._twin: Twin | None = None

    def renew(self, worker: str, *, duration: int, within: float) -> None:
        """Renew what the worker still owns."""
        self._check_process()
        twin = self._twin = self._twin or self._made()
        asyncio.run(_renew(twin, worker, duration, within))

    def close(self) -> None:
        """No connection is kept."""

    def _made(self) -> Twin:
        problem = ""
        try:
            return self._make_twin()
        except ConfigurationError as error:  # the store was made once: a file of a secret is missing for a moment
            problem = str(error)
        raise StoreUnavailable(problem)


class _Unwaited(ThreadPoolExecutor):
    """Threads of an event loop that ends without those that hang, in the user's code or a look-up of a name. Waiting
    for one, the thread that renews leases would not come back.
    """

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  # as its base
        super().shutdown(wait=False, cancel_futures=cancel_futures)


async def _renew(twin: Twin, worker: str, duration: int, within: float) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(_Unwaited())
    end = loop.time() + within
    try:
        async with asyncio.timeout_at(end):
            link = await twin.connect()
    except TimeoutError:
        raise StoreUnavailable(f"{twin.place}: no connection within {within:g} s", store=twin.place) from None
    # Cut, not cancelled: a driver that is cancelled asks the silent server to cancel as well, and waits for it.
    timer = loop.call_at(end, link.terminate)
    try:
        await twin.renew_on(link, worker, duration)
    except Exception as error:
        link.terminate()
        if loop.time() < end:
            raise
        raise StoreUnavailable(f"{twin.place}: no answer within {within:g} s", store=twin.place) from error
    finally:
        timer.cancel()
    with suppress(Exception):
        async with asyncio.timeout(_GOODBYE_SECONDS):
            await link.close()
