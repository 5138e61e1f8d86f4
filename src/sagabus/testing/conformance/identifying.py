"""What tells a store from every other one, for a broker that remembers which store a queue feeds."""

from __future__ import annotations

from sagabus.testing.conformance.trial import StoreSuite, Trial, conformance


class IdentityConformance(StoreSuite):
    """`identity`: made once, the same for everyone, and new on demand. Empty for a store that ends with its process."""

    @conformance
    async def test_a_store_has_one_identity(self, trial: Trial) -> None:
        first = await trial.store.identity(11)

        assert await trial.store.identity(12) == await trial.store.identity(13, keeps=False) == first

    @conformance
    async def test_it_can_be_renewed(self, trial: Trial) -> None:
        first = await trial.store.identity(11, renew=True)
        second = await trial.store.identity(2**63 - 1, renew=True)

        assert (first == second) == (first == "")
        assert await trial.store.identity(13) == second
