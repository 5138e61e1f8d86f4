"""Waiting for a fact that has no event of its own: other processes' rows, a server's list of who waits.

The one place of the tests that lets time pass by the clock to look again. A test that waits for anything else awaits
the thing itself: an event, a failpoint, the bus.
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

_TURNS = 50
"""What others in this event loop do is seen at once; a server needs the processor more than we do."""


async def until(
    holds: Callable[[], object] | Callable[[], Awaitable[object]], timeout: float = 20, *, every: float = 0.002
) -> float:
    """Wait until something holds; the seconds that took. TimeoutError when it never does."""
    begun = time.monotonic()
    async with asyncio.timeout(timeout):
        for turn in count():
            found = holds()
            if inspect.isawaitable(found):
                found = await found
            if found:
                break
            await asyncio.sleep(0 if turn < _TURNS else every)
    return time.monotonic() - begun


def watched(happened: Callable[[], Any], timeout: float = 30, *, every: float = 0.02) -> Any:
    """The same outside an event loop; what was found."""
    end = time.monotonic() + timeout
    while not (found := happened()):
        assert time.monotonic() < end, "it never happened"
        time.sleep(every)
    return found
