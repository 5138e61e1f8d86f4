"""SQLite: the store that is there out of the box, one file, many processes."""

from sagabus.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
