"""The thread that owns a database connection: calls go in, futures come out.

One hop there and one back per call, whatever the size of its work. A future that is cancelled does not stop its call:
what the database does is never cut in half (`failures` F08).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

from sagabus.errors import StoreUnavailable

T = TypeVar("T")


class DatabaseThread:
    """Runs calls one after another. `stop` lets those already made finish; calls after it raise StoreUnavailable."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def run(self, call: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        """A future of the call's result or exception, in the running event loop."""
        if self._stopped:
            raise StoreUnavailable("the store is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            try:
                result = call(*arguments)
            except BaseException as error:  # noqa: BLE001  # handed to the caller, whatever it is
                _tell(loop, future, error, failed=True)
            else:
                _tell(loop, future, result, failed=False)

        self._calls.put(work)
        return future

    async def call(self, call: Callable[..., T], *arguments: Any) -> T:
        """Run and wait. A cancellation is raised only after the call has ended, so that no other call follows too
        early.
        """
        running = self.run(call, *arguments)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await _ended(running)
            raise

    @property
    def stopped(self) -> bool:
        """Whether it takes no more calls."""
        return self._stopped

    async def stop(self) -> None:
        """Finish the calls made so far and end the thread; calling twice is harmless."""
        if not self._stopped:
            self._stopped = True
            self._calls.put(None)
        while self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


def _tell(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], value: Any, *, failed: bool) -> None:
    def settle() -> None:
        if future.done():
            return
        if failed:
            future.set_exception(value)
        else:
            future.set_result(value)

    # A loop that closed meanwhile has no task left to answer; the database's rows have the outcome.
    if not loop.is_closed():
        loop.call_soon_threadsafe(settle)


async def _ended(running: asyncio.Future[Any]) -> None:
    while not running.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([running])
    if not running.cancelled():
        running.exception()  # read, so that asyncio does not warn of it
