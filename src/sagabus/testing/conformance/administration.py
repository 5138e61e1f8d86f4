"""What operators ask: whether a store is there, which schema it has, and how to make it by hand."""

from __future__ import annotations

from sagabus.store import Capability
from sagabus.testing.conformance.trial import StoreSuite, Trial, conformance


class AdministrationConformance(StoreSuite):
    """`versions`, `absence`, `newest_version` and `script`."""

    @conformance
    async def test_a_store_that_was_opened_is_there_with_a_schema_or_without_one(self, trial: Trial) -> None:
        versions, script = await trial.store.versions(), trial.store.script()

        assert await trial.store.absence() is None
        if versions is None:
            assert script is None
            assert trial.store.newest_version() is None
        else:
            assert list(versions) == sorted(set(versions)) != []
            assert versions[-1] == trial.store.newest_version()
            assert script

    @conformance
    async def test_another_handle_sees_the_same_without_being_opened(self, trial: Trial) -> None:
        if not trial.has(Capability.SHARED):
            return
        other = await self.same_store(trial.clock)

        assert await other.absence() is None
        assert await other.versions() == await trial.store.versions()
        assert other.script() == trial.store.script()

    @conformance
    async def test_looking_makes_nothing_and_answers_after_closing(self, trial: Trial) -> None:
        before = await trial.store.versions()
        await trial.store.close()

        assert await trial.store.absence() is None
        assert await trial.store.versions() == before
