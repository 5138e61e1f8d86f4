"""A pool of tasks that take mailboxes and serve them: no task per message, no hop per message.

A runner whose handler really waits stays with it, and another takes over what is ready. Before each call that might
wait, the next runner is made ready. So each turn of the event loop costs one wake-up, not each message.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from sagabus.engine.mailbox import Mailbox, activated

log = logging.getLogger("sagabus")

_OBEYED_WITHIN = 0.1
_MOST_CANCELLATIONS = 50
BURST = 64
"""Messages served before the event loop gets a turn: about a millisecond and a half."""


class RunnerPool:
    """Serves ready mailboxes with at most `limit` tasks; each mailbox is with one runner at a time."""

    _serve: Callable[[Mailbox], Awaitable[None] | None]

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._ready: deque[Mailbox] = deque()
        self._idle: list[asyncio.Future[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._at: dict[asyncio.Task[Any] | None, Mailbox] = {}
        self._turn: asyncio.Task[Any] | None = None
        """The runner that serves just now, until it waits."""
        self._relief = False
        self.served = 0
        """Messages since the event loop has turned last; with BURST of them it is time to `breathe`."""
        self._closed = True

    def start(self, serve: Callable[[Mailbox], Awaitable[None] | None]) -> None:
        """Begin. `serve` does what of a mailbox need not wait, and gives what does, if there is anything. It may go on
        with `another`.
        """
        self._serve, self._closed = serve, False
        self.relieve()

    @property
    def tasks(self) -> frozenset[asyncio.Task[None]]:
        """The runners that live."""
        return frozenset(self._tasks)

    @property
    def busy(self) -> bool:
        """Whether a runner is with a mailbox, or about to be."""
        return len(self._tasks) > len(self._idle)

    @property
    def loaded(self) -> bool:
        """Whether mailboxes wait for a runner: there will be more outcomes in a moment."""
        return bool(self._ready)

    def serving(self, task: asyncio.Task[Any]) -> Mailbox | None:
        """The mailbox that a runner has served last, which is the present one while it runs; None for other tasks."""
        return self._at.get(task)

    def offer(self, mailbox: Mailbox) -> None:
        """Have a mailbox served; one that is active already is left alone."""
        if mailbox.activate():
            self._ready.append(mailbox)
            self.relieve()

    def offer_all(self, mailboxes: Iterable[Mailbox]) -> None:
        """The same of several, one of which may stand there more than once."""
        self._ready.extend(activated(mailboxes))
        self.relieve()

    def relieve(self) -> None:
        """Make sure that a runner looks at what is ready, whatever the current runner does next."""
        if self._relief or not self._ready or self._closed:
            return
        while self._idle:
            idle = self._idle.pop()
            if not idle.done():  # or other code cancelled its runner
                self._relief = True
                idle.set_result(None)
                return
        if len(self._tasks) < self._limit:
            self._relief = True
            self.begin(self._run())

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Have a task that is with mailboxes for as long as it lasts."""
        task = asyncio.get_running_loop().create_task(work, name="sagabus-runner")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def another(self) -> Mailbox | None:
        """The next mailbox for the runner that serves just now, and had not to wait; None where it has to look up."""
        if self.served >= BURST or not self._ready:
            return None
        mailbox = self._at[self._turn] = self._ready.popleft()
        return mailbox

    async def breathe(self) -> None:
        """Let the event loop turn."""
        self.served = 0
        await asyncio.sleep(0)

    def close(self) -> None:
        """Take no further mailbox; runners end when they have finished what they are at."""
        self._closed = True
        self._ready.clear()
        for future in self._idle:
            if not future.done():
                future.set_result(None)
        self._idle.clear()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._at.pop(task, None)
        if task.cancelled():
            # Another runner must take what it was woken for.
            self._relief = False
            self.relieve()

    async def _run(self) -> None:
        self._relief = False
        task = asyncio.current_task()
        while not self._closed:
            if self._ready:
                self._turn = task
                mailbox = self._at[task] = self._ready.popleft()
                try:
                    if (rest := self._serve(mailbox)) is not None:
                        await rest
                except Exception:
                    log.exception("a mailbox of %s met an error", self._at[task].place[0])
                if self.served >= BURST:
                    await self.breathe()
            else:
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._idle.append(future)
                try:
                    await future
                finally:
                    self._relief = False


async def cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel until it is obeyed: user code may swallow a cancellation and go on waiting."""
    left = set(tasks)
    for _ in range(_MOST_CANCELLATIONS):
        for task in left:
            task.cancel()
        if left:
            _, left = await asyncio.wait(left, timeout=_OBEYED_WITHIN)
    if left:
        log.error("%d handlers ignored cancellation; abandoned", len(left))
