"""Waiting for a store that cannot be reached just now, as any sender and any reader of it does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sagabus.errors import SagaBusError

T = TypeVar("T")

_NO_STORE = 60.0
_PAUSE = 0.05


async def persistently(call: Callable[[], Awaitable[T]]) -> T:
    """Call until the store has answered: errors that may pass are waited out, by doing the very same once more.

    What publishes has the same ids each time, so it does not matter whether an unanswered call took effect.
    """
    end = time.monotonic() + _NO_STORE
    while True:
        try:
            return await call()
        except SagaBusError as error:
            if not error.is_transient or time.monotonic() > end:
                raise
        await asyncio.sleep(_PAUSE)
