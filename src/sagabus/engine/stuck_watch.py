"""Looks for instances that have not changed for longer than their saga allows, and has the saga react to them.

Outside the way of messages: a task of the worker's process. It goes through the instances page by page, so that one
round costs the same however many there are.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Protocol

from sagabus.clock import Clock, sleep
from sagabus.definitions.saga import SagaDefinition
from sagabus.engine.health import Health
from sagabus.engine.lifecycle import BackgroundTask
from sagabus.engine.staying import envelope_of
from sagabus.errors import StoreError
from sagabus.store import Acceptance, Inspected
from sagabus.store.examination import Still

log = logging.getLogger("sagabus")

_PAGE = 1_000


class StuckStore(Acceptance, Inspected, Protocol):
    """What it looks at, and puts envelopes into."""


class StuckWatch:
    """Looks every so often while it runs; several processes may do so at once."""

    name = "stuck-watch"

    def __init__(self, store: StuckStore, clock: Clock, sagas: Iterable[SagaDefinition], *, every: float) -> None:
        self._store, self._clock, self._every = store, clock, every
        self._sagas = list(sagas)
        self._task = BackgroundTask("sagabus-stuck-watch", "looks for no stuck saga instances")
        self._counts: dict[str, int] = {}

    async def start(self) -> None:
        """Begin."""
        self._task.start(self._run)

    async def stop(self, grace: float) -> None:  # a look is short
        """End."""
        await self._task.stop()

    def health(self) -> Health:
        """Whether it looks, and how many instances it has found at its last round."""
        found = self._task.health()
        return Health(reasons=found.reasons, stuck=dict(self._counts))

    async def look(self) -> None:
        """One round over all sagas."""
        for saga in self._sagas:
            count = 0
            async for page, now in pages(self._store, saga):
                count += len(page)
                if saga.acts_on_stuck and page:
                    await self._tell(saga, page, now)
            before = self._counts.get(saga.name, 0)
            self._counts[saga.name] = count
            if count > before:
                log.warning("%s: %d instances are stuck, %d more than before", saga.name, count, count - before)

    async def _tell(self, saga: SagaDefinition, stuck: Sequence[Still], now: int) -> None:
        routing = await self._store.routing()
        envelopes = [envelope_of(saga.name, each, routing.lanes, now) for each in stuck]
        await self._store.append(envelopes, routing.version)  # None: the next round addresses them again

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except StoreError as error:
                log.warning("cannot look for stuck instances now: %s", error)
            except Exception:
                log.exception("a look for stuck instances met an error; the next one comes at its usual time")
            await sleep(self._clock, self._every)


async def pages(store: Inspected, saga: SagaDefinition) -> AsyncIterator[tuple[list[Still], int]]:
    """The stuck instances of a saga, some at a time, with the store's clock at that moment."""
    after: str | None = ""
    shortest = min(saga.stuck_after.values())
    while after is not None:
        page = await store.inspect.unchanged(saga.name, shortest, after=after, limit=_PAGE)
        yield [each for each in page.found if _is_stuck(saga, each, page.now)], page.now
        after = page.after


def _is_stuck(saga: SagaDefinition, each: Still, now: int) -> bool:
    limit = saga.longest_stay(each.status)
    return limit is not None and each.updated_at <= now - limit
