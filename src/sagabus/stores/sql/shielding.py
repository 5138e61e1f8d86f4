"""Work that continues when the task that waits for it is cancelled: a transaction runs to its end.

As `asyncio.shield`, but the answer comes a turn of the event loop sooner, and a cancellation waits for the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def unbroken(work: Awaitable[T]) -> T:
    """What the work comes to. If cancelled meanwhile, this raises CancelledError only after the work has ended, so that
    no other call follows too early. The result is lost then.
    """
    answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    running = asyncio.ensure_future(_tell(work, answer))
    try:
        return await answer
    except asyncio.CancelledError:
        while not running.done():
            with suppress(asyncio.CancelledError):  # once more: a task may be cancelled repeatedly
                await asyncio.wait([running])
        if not answer.cancelled():
            answer.exception()  # read, so that asyncio does not warn of it
        raise


async def _tell(work: Awaitable[T], answer: asyncio.Future[T]) -> None:
    try:
        result = await work
    except asyncio.CancelledError:
        answer.cancel()
        raise
    except BaseException as error:  # noqa: BLE001  # the caller that waits gets it
        if not answer.done():
            answer.set_exception(error)
    else:
        if not answer.done():
            answer.set_result(result)
