"""Every promise of the store port on PostgreSQL through a pooler: each transaction may meet another session."""

from collections.abc import Iterator

import pytest
from tests.conformance import test_postgres_store as direct
from tests.conformance.pooler import Pooler

from sagabus.clock import Clock
from sagabus.errors import UnsupportedCapability
from sagabus.store import Store
from sagabus.stores.postgres import PostgresStore
from sagabus.testing.conformance.transactions import UnitConformance
from sagabus.testing.conformance.trial import Trial, conformance


@pytest.fixture(scope="module")
def strict() -> Iterator[Pooler]:
    with Pooler(direct.URL) as pooler:
        yield pooler


@pytest.fixture(scope="module")
def silent() -> Iterator[Pooler]:
    with Pooler(direct.URL, silent=True) as pooler:
        yield pooler


class TestPostgresStoreBehindAPooler(direct.TestPostgresStore):
    """One that refuses what it does not know."""

    pooler: Pooler

    @pytest.fixture(autouse=True)
    def through(self, strict: Pooler) -> None:
        self.pooler = strict

    async def make_store(self, clock: Clock) -> Store:
        return PostgresStore(f"{self.pooler.url()}?schema={self.schema}", clock=clock)

    async def same_store(self, clock: Clock) -> Store:
        return await self.make_store(clock)

    @conformance
    async def test_transactions_really_meet_other_sessions(self, trial: Trial) -> None:
        before = self.pooler.switches
        for number in range(10):
            await trial.accept_one(f"m{number}")

        assert self.pooler.switches > before

    @conformance
    async def test_hints_are_refused(self, trial: Trial) -> None:
        store = PostgresStore(f"{self.pooler.url()}?schema={self.schema}&notify=1")

        with pytest.raises(UnsupportedCapability, match="notify=1"):
            await store.open()


class TestPostgresStoreBehindASilentPooler(direct.PostgresDatabase, UnitConformance):
    """One that leaves out what it does not know, without a word."""

    pooler: Pooler

    @pytest.fixture(autouse=True)
    def through(self, silent: Pooler) -> None:
        self.pooler = silent

    async def make_store(self, clock: Clock) -> Store:
        return PostgresStore(f"{self.pooler.url()}?schema={self.schema}", clock=clock)

    async def same_store(self, clock: Clock) -> Store:
        return await self.make_store(clock)
