"""`bus.doctor()`: all looks one after another, each bounded, and what they came to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta

from sagabus.bus.bridging import Bridging
from sagabus.bus.diagnosis import service, stored, surroundings
from sagabus.bus.diagnosis.records import Diagnosis, Finding
from sagabus.bus.diagnosis.subject import Subject
from sagabus.clock import Clock, moment
from sagabus.definitions.handler import HandlerDefinition
from sagabus.definitions.saga import SagaDefinition
from sagabus.engine.health import Health
from sagabus.errors import WrongEventLoop
from sagabus.settings import Settings
from sagabus.store import Store
from sagabus.text import discreet

OLD = timedelta(minutes=1)
_PATIENCE = 15.0
"""Seconds for one kind of look; each question that it asks of the store is bounded as well."""
_ORDER = ("error", "warning", "note")


class Doctor:
    """Examines the store of a bus, what works on it and what it stands on."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        check: Callable[[str], None],
        definitions: Mapping[str, HandlerDefinition | SagaDefinition],
        bridging: Bridging,
        *,
        health: Callable[[], Health],
        settings: Settings,
    ) -> None:
        self._store, self._clock, self._check = store, clock, check
        self._definitions, self._bridging, self._health = definitions, bridging, health
        self._warn_after = settings.warn_after

    async def __call__(self, *, fix: bool = False, max_age: timedelta = OLD, target: str = "MODULE:BUS") -> Diagnosis:
        """What is wrong, in sentences, each with the command that mends it; the bus is open, be it without a worker.

        `fix` removes rows that can have no effect, and lets keys go that wait for nothing; all else is only looked at.
        A message may be ready for `max_age`. `target` is how commands shall name the bus. What cannot be looked at is
        in `unknown`, so nothing is raised for a store or a broker that is away. Cancelled, it may have mended a part.
        """
        self._check("bus.doctor()")
        subject = Subject(
            store=self._store,
            clock=self._clock,
            definitions=self._definitions,
            bridging=self._bridging,
            target=target,
            max_age=max_age,
            fix=fix,
            warn_after=self._warn_after,
            long_runs=self._health().long_runs,
        )
        findings: list[Finding] = []
        unknown: list[str] = []
        for what, look in (*surroundings.LOOKS, *service.LOOKS, *stored.LOOKS):
            try:
                async with asyncio.timeout(_PATIENCE):
                    found = await _all(look(subject))
            except WrongEventLoop:
                raise
            except Exception as error:  # noqa: BLE001  # whatever it is, it is the answer to what was asked
                unknown.append(f"{what}: {discreet(str(error)) or type(error).__name__}")
                continue
            unknown += [f"{what}: {discreet(each)}" for each in found if isinstance(each, str)]
            findings += [each for each in found if not isinstance(each, str)]
        findings.sort(key=lambda each: (each.fixed, _ORDER.index(each.severity)))
        return Diagnosis(at=moment(self._clock.now()), findings=tuple(findings), unknown=tuple(unknown))


async def _all(found: AsyncIterator[Finding | str]) -> list[Finding | str]:
    return [each async for each in found]
