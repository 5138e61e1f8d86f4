"""What runs outside the way of a message: one contract for all such parts, so that none of them ends unnoticed.

A part starts, stops within a grace, and says what keeps it from its work. Its task or thread ends when the part stops
it. If other code cancels it, or an error gets out of it, the log and `health` say so.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from sagabus.engine.health import Health
from sagabus.text import discreet

log = logging.getLogger("sagabus")

IN_HASTE = 1.0
"""Seconds for each step of a stop that no caller waits for any more."""
_RESTART = ". Restart it"


class Part(Protocol):
    """Something that works until it is stopped. Starting twice and stopping twice are harmless."""

    @property
    def name(self) -> str:
        """What `health` calls it: one name for one part of a bus."""
        ...

    async def start(self) -> None:
        """Begin. A part that was stopped meanwhile does not begin."""
        ...

    async def stop(self, grace: float) -> None:
        """End; what is under way has `grace` seconds. Cancelled, it ends without that, and raises CancelledError."""
        ...

    def health(self) -> Health:
        """What keeps it from its work."""
        ...


class Parts:
    """Starts parts in order, stops them in the reverse order, and asks each how it is."""

    def __init__(self) -> None:
        self._begun: list[Part] = []

    async def start(self, part: Part) -> None:
        """Start one more; `stop` stops it too, even when its start fails."""
        self._begun.append(part)
        await part.start()

    async def stop(self, grace: float) -> None:
        """Stop all. If one fails or is cancelled, the rest stops without the grace, and the error is raised then."""
        async with AsyncExitStack() as ending:
            while self._begun:
                ending.push_async_exit(partial(_stop, self._begun.pop(0), grace))

    def forget(self) -> None:
        """Stop none of them, as if the process had been killed."""
        self._begun.clear()

    def health(self) -> Health:
        """What keeps any of them from its work, and each by its name."""
        each = [(part.name, part.health()) for part in self._begun]
        return replace(joined(health for _, health in each), parts=dict(each))


def joined(healths: Iterable[Health]) -> Health:
    """Several as one."""
    everything = list(healths)
    return Health(
        reasons=tuple(reason for health in everything for reason in health.reasons),
        waits=tuple(wait for health in everything for wait in health.waits),
        answers=False if any(health.answers is False for health in everything) else None,
        abandoned_threads=sum(health.abandoned_threads for health in everything),
        stuck={saga: count for health in everything for saga, count in health.stuck.items()},
        orphan_timers={saga: count for health in everything for saga, count in health.orphan_timers.items()},
        oldest_messages={name: age for health in everything for name, age in health.oldest_messages.items()},
        unowned_lanes={name: count for health in everything for name, count in health.unowned_lanes.items()},
        recent_dead_letters={
            name: count for health in everything for name, count in health.recent_dead_letters.items()
        },
        long_runs={name: count for health in everything for name, count in health.long_runs.items()},
    )


async def _stop(part: Part, grace: float, kind: object, *_: object) -> None:
    # A task that was cancelled before this point gets no second cancellation, so it waits for nothing.
    await part.stop(grace if kind is None else 0.0)


class _Watch:
    """Notices that something ended before its part stopped it. `loss`: what this process does no longer."""

    def __init__(self, name: str, loss: str, cure: str) -> None:
        self.name, self._loss, self._cure = name, loss, cure
        self._reason: str | None = None

    def well(self) -> None:
        self._reason = None

    def ended(self, why: str, error: BaseException | None = None) -> None:
        reason = f"{self.name} ended before the bus stopped it ({why}): this process {self._loss}{self._cure}"
        log.error("%s", reason, exc_info=error)
        self._reason = reason

    def health(self) -> Health:
        return Health(reasons=() if self._reason is None else (self._reason,))


class BackgroundTask:
    """The task of a part. One that `returns` has ended well when its work returns, and starts again for more."""

    def __init__(
        self, name: str, loss: str, *, returns: bool = False, broken: Callable[[], None] = lambda: None
    ) -> None:
        """`loss`: what the process does no longer without it. `broken` is called when it has ended before its time."""
        self._watch = _Watch(name, loss, " until its work is done again" if returns else _RESTART)
        self._returns, self._broken = returns, broken
        self._stopped: asyncio.Task[None] | None = None
        self.task: asyncio.Task[None] | None = None

    @property
    def runs(self) -> bool:
        """Whether its work is under way."""
        return self.task is not None and not self.task.done()

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin, unless its work is under way."""
        if self.task is None or self.task.done():
            if not self._returns:
                self._watch.well()
            self.task = asyncio.get_running_loop().create_task(work(), name=self._watch.name)
            self.task.add_done_callback(self._ended)

    async def stop(self, grace: float = 0.0) -> None:
        """End; its work has `grace` seconds to return."""
        task = self._stopped = self.task
        if task is None or task.done():
            return
        try:
            if grace > 0:
                await asyncio.wait([task], timeout=grace)
        finally:
            task.cancel()
        await asyncio.wait([task])

    async def ended(self) -> None:
        """Wait for the end of its work, and until everything that follows from it is done."""
        if self.task is not None:
            await asyncio.wait([self.task])

    def health(self) -> Health:
        """Whether it has ended before its time, and has not done its work since."""
        return self._watch.health()

    def give_up(self) -> set[asyncio.Task[None]]:
        """Stop by another hand: what the caller has to cancel."""
        task = self._stopped = self.task
        return set() if task is None else {task}

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            if task is not self._stopped:
                self._failed(task, "other code cancelled it")
        elif (error := task.exception()) is not None:
            self._failed(task, _cause(error), error)
        elif self._returns:
            self._watch.well()
        elif task is not self._stopped:
            self._failed(task, _cause(None))

    def _failed(self, task: asyncio.Task[None], why: str, error: BaseException | None = None) -> None:
        self._watch.ended(why, error)
        if task is self.task:  # or the next one runs already
            self._broken()


class BackgroundThread:
    """The thread of a part, a daemon: it ends with the event loop that started it, if that is closed first."""

    def __init__(self, name: str, loss: str) -> None:
        self._watch = _Watch(name, loss, _RESTART)
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None

    def start(self, work: Callable[[], None]) -> None:
        """Have a thread do `work`, which returns as soon as `rest` says so; not after a stop, and not twice."""
        if self._ended is not None or self._stopping.is_set():
            return
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        arguments = (work, self._loop, self._ended)
        threading.Thread(target=self._work, args=arguments, name=self._watch.name, daemon=True).start()

    def rest(self, seconds: float) -> bool:
        """Whether to go on, after so many seconds; at once, if it is to end."""
        return not (self._stopping.wait(seconds) or self._is_over)

    async def stop(self, grace: float) -> None:
        """End; waits for what the thread is at, at most `grace` seconds."""
        self._stopping.set()
        if self._ended is not None and grace > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await self._ended.wait()

    def abandon(self) -> None:
        """End, without waiting for it."""
        self._stopping.set()

    def health(self) -> Health:
        """Whether it has ended before its time."""
        return self._watch.health()

    @property
    def _is_over(self) -> bool:
        return self._stopping.is_set() or (self._loop is not None and self._loop.is_closed())

    def _note(self, error: BaseException | None) -> None:
        if not self._is_over:
            self._watch.ended(_cause(error), error)

    def _work(self, work: Callable[[], None], loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # nothing above a thread would see it
            self._note(error)
        else:
            self._note(None)
        finally:
            with suppress(RuntimeError):  # the loop is closed: nothing waits there
                loop.call_soon_threadsafe(ended.set)


def _cause(error: BaseException | None) -> str:
    return "its work returned" if error is None else f"{type(error).__name__}: {discreet(str(error))}"
