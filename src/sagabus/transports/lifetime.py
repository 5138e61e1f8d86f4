"""How long a link lasts, in one place for all adapters: its end wakes what waits, and nothing goes on after it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from sagabus.errors import TransportError

T = TypeVar("T")


class Lifetime:
    """The life of one link, in one event loop. It ends once, for one reason."""

    def __init__(self, transport: str) -> None:
        """`transport`: the place of the broker, for errors."""
        self._transport = transport
        self._end: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._end.done()

    def end(self, why: str) -> bool:
        """End it; False where it had ended before. Only the first reason counts."""
        if self._end.done():
            return False
        self._end.set_result(why or "the connection has ended")
        return True

    def check(self) -> None:
        """Raise TransportError where it is over."""
        if self._end.done():
            raise self.error()

    def error(self) -> TransportError:
        """What a call of a link that is over raises."""
        return TransportError(f"the link has ended: {self._end.result()}", transport=self._transport)

    async def ended(self) -> str:
        """Wait for the end; the reason. May be cancelled."""
        return await asyncio.shield(self._end)

    async def within(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of some work, or a TransportError as soon as the link ends. The work is cancelled then.

        Cancelled itself, it cancels the work, and waits for its end.
        """
        if self._end.done():
            work.close()
            raise self.error()
        task = asyncio.ensure_future(work)
        either: list[asyncio.Future[Any]] = [task, self._end]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
        if task.cancelled():
            self.check()
        return task.result()
