"""Every promise of the store port, on the stores that need no server."""

from sagabus.clock import Clock
from sagabus.store import Store
from sagabus.stores.memory import MemoryStore
from sagabus.testing.conformance import StoreConformance


class TestMemoryStore(StoreConformance):
    async def make_store(self, clock: Clock) -> Store:
        return MemoryStore(clock)
