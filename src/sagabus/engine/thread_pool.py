"""Threads for handlers with `thread=True`. One that outlasts its limit is abandoned: its run fails, and it goes on.

The threads are daemons of a separate pool. A handler that never returns takes no thread from other code, and does not
keep the process from ending.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue

from sagabus.engine.health import Health

log = logging.getLogger("sagabus")


class ThreadsExhausted(Exception):
    """No thread is left to wait for: the message waits, uncounted."""


class _Call:
    """One call on its way through a thread."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.loop = asyncio.get_running_loop()
        self.context = contextvars.copy_context()
        self.function = function
        self.answer: asyncio.Future[object] = self.loop.create_future()
        self.is_abandoned = False
        self.result: object = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self.context.run(self.function)
        except BaseException as error:  # noqa: BLE001  # handed over to the run that waits for it
            self.error = error


class ThreadPool:
    """At most `size` calls at a time; the others wait their turn."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free = size
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._threads = 0
        self.abandoned = 0
        """Threads whose run has failed by its limit and that have not returned since."""

    @property
    def is_exhausted(self) -> bool:
        """Whether every thread is abandoned: no call can begin until one returns."""
        return self.abandoned >= self._size

    def health(self) -> Health:
        """Whether handlers can have a thread."""
        return Health(reasons=(self.exhausted,) if self.is_exhausted else (), abandoned_threads=self.abandoned)

    @property
    def exhausted(self) -> str:
        """What to say of that."""
        return (
            f"the handlers of all {self._size} threads do not return, so no handler with thread=True can run here. "
            "Restart this process, and give the calls in these handlers a time-out"
        )

    async def run(self, function: Callable[[], object], begins: Callable[[], None]) -> object:
        """The result of `function`, called in a thread with a copy of the present context; `begins` is called before.

        Cancelled, it abandons the thread. Raises ThreadsExhausted where no thread is left to wait for.
        """
        await self._turn()
        begins()
        call = _Call(function)
        self._start(call)
        try:
            await asyncio.shield(call.answer)
        except asyncio.CancelledError:
            if not call.answer.done():
                self._abandon(call)
            raise
        if call.error is not None:
            raise call.error
        return call.result

    def close(self) -> None:
        """End the threads that are idle, and the others as soon as they return; calling twice is harmless."""
        for _ in range(self._threads):
            self._calls.put(None)
        self._threads = 0

    async def _turn(self) -> None:
        if self.is_exhausted:
            raise ThreadsExhausted(self.exhausted)
        if self._free > 0:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._pass_on()
            raise

    def _start(self, call: _Call) -> None:
        if self._threads < self._size - self._free:
            self._threads += 1
            threading.Thread(target=self._work, name="sagabus-thread", daemon=True).start()
        self._calls.put(call)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call.run()
            with suppress(RuntimeError):  # the loop is closed: no task waits any more
                call.loop.call_soon_threadsafe(self._returned, call)

    def _returned(self, call: _Call) -> None:
        if call.is_abandoned:
            self.abandoned -= 1
            log.warning("an abandoned thread has returned; %d others have not", self.abandoned)
        elif not call.answer.done():
            call.answer.set_result(None)
        self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _abandon(self, call: _Call) -> None:
        call.is_abandoned = True
        self.abandoned += 1
        log.warning("abandoned a thread whose handler has not returned; %d of %d threads", self.abandoned, self._size)
        if self.is_exhausted:
            log.error("%s", self.exhausted)
            waiting, self._waiting = self._waiting, deque()
            for turn in waiting:
                if not turn.done():
                    turn.set_exception(ThreadsExhausted(self.exhausted))
