"""The thread that owns a database connection: calls go in, futures come out.

One hop there and one back per call, whatever the size of its work. A future that is cancelled does not stop its call:
what the database does is never cut in half (`failures` F08).
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

from sagabus.errors import StoreUnavailable

T = TypeVar("T")


class _Turns:
    """While a database works for an event loop of this process, threads take turns more often.

    A statement runs without the interpreter's lock. When it ends, its thread waits until a busy event loop gives the
    lock up. Python lets that take 5 ms, and a flush has a dozen statements: it took three times as long as they did
    (measured).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = 0
        self._before = self._set = 0.0

    def forked(self) -> None:
        """The child of a fork has none of the threads, and so none of the calls."""
        calls, self._lock, self._calls = self._calls, threading.Lock(), 0
        if calls:
            self._put_back()

    def shorten(self) -> None:
        """A call begins."""
        with self._lock:
            self._calls += 1
            if self._calls == 1:
                self._before = sys.getswitchinterval()
                if self._before > _TURN:
                    sys.setswitchinterval(_TURN)
                self._set = sys.getswitchinterval()

    def restore(self) -> None:
        """A call has ended. After the last one all is as before, unless another has set it meanwhile."""
        with self._lock:
            self._calls -= 1
            if not self._calls:
                self._put_back()

    def _put_back(self) -> None:
        if self._before > sys.getswitchinterval() == self._set:
            sys.setswitchinterval(self._before + _ROUNDING)


_TURN = 0.0005
"""Seconds. Shorter ones cost more processor time than they gain (measured)."""
_ROUNDING = 5e-7
"""Python rounds to a microsecond downwards: without this each call would leave a little less."""
_TURNS = _Turns()  # of the process, as the interval is
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_TURNS.forked)


class DatabaseThread:
    """Runs calls one after another. `stop` lets those already made finish; calls after it raise StoreUnavailable."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def run(self, call: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        """A future of the call's result or exception, in the running event loop."""
        return self._run(call, arguments, asyncio.get_running_loop().create_future())

    def _run(self, call: Callable[..., T], arguments: tuple[Any, ...], future: asyncio.Future[T]) -> asyncio.Future[T]:
        if self._stopped:
            raise StoreUnavailable("the store is closed")
        loop = future.get_loop()

        def work() -> None:
            try:
                result = call(*arguments)
            except BaseException as error:  # noqa: BLE001  # handed to the caller, whatever it is
                _TURNS.restore()
                _tell(loop, future, error, failed=True)
            else:
                _TURNS.restore()
                _tell(loop, future, result, failed=False)

        _TURNS.shorten()
        self._calls.put(work)
        return future

    async def call(self, call: Callable[..., T], *arguments: Any) -> T:
        """Run and wait. A cancellation is raised only after the call has ended, so that no other call follows too
        early.
        """
        return await self._run(call, arguments, _Whole(loop=asyncio.get_running_loop()))

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
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(settle)


class _Whole(asyncio.Future[Any]):
    """Does not let itself be cancelled: the task that waits for it is, once it has its result.

    What `asyncio.shield` and waiting on would come to, with two turns of the event loop less for each call.
    """

    def cancel(self, msg: object = None) -> bool:
        """Refuse."""
        return False
