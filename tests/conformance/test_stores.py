"""Every promise of the store port, on the stores that need no server."""

import asyncio
from collections import Counter

import pytest

from sagabus.clock import Clock
from sagabus.errors import StoreBusy
from sagabus.store import Store
from sagabus.stores.memory import MemoryStore
from sagabus.testing.conformance import StoreConformance
from sagabus.testing.conformance.trial import Trial, conformance


class TestMemoryStore(StoreConformance):
    async def make_store(self, clock: Clock) -> Store:
        return MemoryStore(clock)

    @conformance
    async def test_a_unit_that_others_overtook_is_to_be_run_again(self, trial: Trial) -> None:
        async with trial.store.transaction() as unit:
            await unit.append([trial.envelope("m1"), trial.envelope("m2")], trial.routing.version)
            await trial.accept_one("m1")
            with pytest.raises(StoreBusy):
                await unit.commit()

        assert await trial.stored_ids() == ["m1"]

    @conformance
    async def test_a_hint_reaches_everybody_who_waits(self, trial: Trial) -> None:
        await trial.store.changed(0)
        waiting = [asyncio.create_task(trial.store.changed(None)) for _ in range(3)]
        await asyncio.sleep(0)

        await trial.accept_one()

        async with asyncio.timeout(10):
            await asyncio.gather(*waiting)


def test_no_promise_hides_another() -> None:
    """The suites are the bases of one class: of two tests with one name, the second would never run."""
    names = Counter(name for suite in StoreConformance.__bases__ for name in vars(suite) if name.startswith("test_"))

    assert [name for name, suites in names.items() if suites > 1] == []
