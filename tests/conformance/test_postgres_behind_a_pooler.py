"""Every promise of the store port on PostgreSQL through a pooler: each transaction may meet another session."""

from collections.abc import Iterator

import pytest
from tests.conformance.joined import OnPostgres
from tests.conformance.pooler import Pooler
from tests.conformance.test_postgres_store import TestPostgresStore as Direct
from tests.support.databases import POSTGRES

from sagabus.clock import Clock
from sagabus.errors import UnsupportedCapability
from sagabus.store import Store
from sagabus.stores.postgres import PostgresStore
from sagabus.testing.conformance.transactions import UnitConformance
from sagabus.testing.conformance.trial import Trial, conformance


@pytest.fixture(scope="module")
def strict() -> Iterator[Pooler]:
    with Pooler(POSTGRES) as pooler:
        yield pooler


@pytest.fixture(scope="module")
def silent() -> Iterator[Pooler]:
    with Pooler(POSTGRES, silent=True) as pooler:
        yield pooler


class BehindAPooler(OnPostgres):
    """Nothing of the session's but the address: settings at its start are what poolers do not take."""

    pooler: Pooler

    @property
    def url(self) -> str:
        return f"{self.pooler.url()}?schema={self.database.name}"

    async def make_store(self, clock: Clock) -> Store:
        return PostgresStore(self.url, clock=clock)

    async def same_store(self, clock: Clock) -> Store:
        return PostgresStore(self.url, clock=clock)


@pytest.mark.share(8)
class TestPostgresStoreBehindAPooler(BehindAPooler, Direct):
    """One that refuses what it does not know."""

    @pytest.fixture(autouse=True)
    def through(self, strict: Pooler) -> None:
        self.pooler = strict

    @conformance
    async def test_transactions_really_meet_other_sessions(self, trial: Trial) -> None:
        before = self.pooler.switches
        for number in range(10):
            await trial.accept_one(f"m{number}")

        assert self.pooler.switches > before

    @conformance
    async def test_hints_are_refused(self, trial: Trial) -> None:
        store = PostgresStore(f"{self.url}&notify=1")

        with pytest.raises(UnsupportedCapability, match="notify=1"):
            await store.open()


class TestPostgresStoreBehindASilentPooler(BehindAPooler, UnitConformance):
    """One that leaves out what it does not know, without a word."""

    placeholder = "$1"

    @pytest.fixture(autouse=True)
    def through(self, silent: Pooler) -> None:
        self.pooler = silent
