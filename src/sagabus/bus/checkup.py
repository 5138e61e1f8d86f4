"""The part of a health check that has to wait: whether the store answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from sagabus.bus.home_loop import HomeLoop
from sagabus.engine.health import Health
from sagabus.store import Routed
from sagabus.text import discreet

LONGEST_ANSWER = timedelta(seconds=2)
_REST = "nothing is accepted and no outcome is committed meanwhile"


def asking(health: Health, store: Routed, home: HomeLoop, *, is_open: bool, within: timedelta) -> Health:
    """The health of the parts of a bus, which asks the store when it is awaited."""

    async def ask(health: Health) -> Health:
        home.check("await bus.health()")
        trouble = await _trouble(store, within) if is_open else "the bus is not open"
        found = Health(waits=() if trouble is None else (trouble,), answers=trouble is None)
        parts: Mapping[str, Health] = {**health.parts, "store": found}
        answers = found.answers and health.answers is not False
        return replace(health, waits=health.waits + found.waits, parts=parts, answers=answers, ask=None)

    return replace(health, ask=ask)


async def _trouble(store: Routed, within: timedelta) -> str | None:
    """Why the store cannot be relied on just now."""
    try:
        async with asyncio.timeout(within.total_seconds()):
            await store.routing()
    except TimeoutError:
        return f"the store did not answer within {within.total_seconds():g} s; {_REST}"
    except Exception as error:  # noqa: BLE001  # whatever it is, it is the answer to what was asked
        return f"the store does not answer: {type(error).__name__}: {discreet(str(error))}; {_REST}"
    return None
