"""A store in this process's memory: for tests, scripts, and as the model of the others. It ends with the process."""

from sagabus.stores.memory.store import MemoryStore

__all__ = ["MemoryStore"]
