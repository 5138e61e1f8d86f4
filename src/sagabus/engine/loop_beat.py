"""Notices from a thread of its own that the event loop is blocked, and says what blocks it while it does.

Nothing that runs in the loop can: a plain handler that computes for a minute stops every timer with it. Nor can it be
interrupted; what it costs is at least written down.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import sysconfig
import threading
import time
from types import FrameType

from sagabus.engine.health import Health
from sagabus.engine.lifecycle import BackgroundThread
from sagabus.engine.runner_pool import RunnerPool
from sagabus.envelope import named

log = logging.getLogger("sagabus")

INTERVAL = 0.25
_BLOCKED = 2.0


class LoopBeat:
    """Asks the running loop for a sign of life, again and again."""

    def __init__(self, runners: RunnerPool) -> None:
        self.silence = 0.0
        """Seconds for which the loop has not answered, not counting those in which the whole process stood still."""
        self._runners = runners
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._answered = True
        self._warn_at = _BLOCKED
        self._thread = BackgroundThread("sagabus-loop-beat", "does not say what blocks its event loop")

    async def start(self) -> None:
        """Begin to watch, from a daemon thread."""
        self._thread.start(self._work)

    async def stop(self, grace: float) -> None:  # no look takes long enough to be waited for
        """End the thread."""
        await self._thread.stop(0.0)

    def health(self) -> Health:
        """Whether it watches."""
        return self._thread.health()

    def look(self) -> None:
        """One look, at the end of an interval; called by the thread. RuntimeError when the loop is closed."""
        if self._answered:
            self._answered = False
            self.silence, self._warn_at = 0.0, _BLOCKED
            self._loop.call_soon_threadsafe(self._answer)
            return
        self.silence += INTERVAL
        if self.silence >= self._warn_at:
            self._warn_at *= 2
            log.warning("the event loop has been blocked for %.0f s by %s", self.silence, self._cause())

    def _answer(self) -> None:
        self._answered = True

    def _cause(self) -> str:
        task = asyncio.current_task(self._loop)
        mailbox = None if task is None else self._runners.serving(task)
        running = None if mailbox is None else mailbox.running
        if running is not None:
            what = f"the handler of {named(running)}"
        else:
            what = "a callback" if task is None else f"the task {task.get_name()!r}, which is no handler of this bus"
        return what + _at(sys._current_frames().get(self._loop_thread))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # documented

    def _work(self) -> None:
        began = time.monotonic()
        while self._thread.rest(INTERVAL):
            late = time.monotonic() - began - INTERVAL
            if late >= _BLOCKED:
                log.warning(
                    "the process stood still for %.0f s: it was stopped, or code held the interpreter's lock", late
                )
            self.look()
            began = time.monotonic()


def _at(innermost: FrameType | None) -> str:
    """The innermost line of the user's own code."""
    frame = innermost
    while frame is not None:
        if not frame.f_code.co_filename.startswith(_NOT_THE_USERS):
            return f"; it is at {frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


_NOT_THE_USERS = (*{sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}, "<frozen")
