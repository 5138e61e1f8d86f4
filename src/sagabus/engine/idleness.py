"""What a bus has still to do when a caller has waited long enough for it to be idle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

from sagabus.clock import SECOND
from sagabus.errors import StoreError
from sagabus.store import Inspected

_PATIENCE = 1.0
"""Seconds for the store to answer: the caller's time is over."""


async def unfinished(
    store: Inspected,
    awaited: Callable[[], Awaitable[Collection[str]]],
    waits: Collection[str],
    *,
    is_quiet: bool | None,
    is_publishing: bool,
) -> str:
    """In words what was waited for; `is_quiet` is None where no worker runs, and `waits` what the parts say."""
    found = ["no worker runs in this process"] if is_quiet is None else []
    if is_publishing:
        found.append("publications wait for their commit")
    if is_quiet is False:
        found.append("handlers of this process have not finished, or their commit has not")
    try:
        async with asyncio.timeout(_PATIENCE):
            found += await _due(store, await awaited())
    except (TimeoutError, StoreError) as error:
        found.append(f"the store does not answer ({type(error).__name__})")
    found += waits
    return "; ".join(found) or "it became idle at this very moment"


async def _due(store: Inspected, awaited: Collection[str]) -> list[str]:
    return [
        f"subscription {each.channel!r} has {each.ready} due, the oldest {each.oldest_ready_age / SECOND:.1f} s old"
        for each in await store.inspect.counts()
        if each.ready and each.channel in awaited
    ]
