"""From a URL to a store: the one place that knows our adapters by name, and finds those of others by their scheme."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sagabus.clock import Clock, SystemClock
from sagabus.envelope import LANES
from sagabus.store import Store
from sagabus.url import parsed, scheme_of
from sagabus.url.adapters import STORES, adapter


class StoreFactory(Protocol):
    """What an entry point of the group `sagabus.stores` names: it makes a store and opens nothing."""

    def __call__(self, url: str, *, clock: Clock | None, lanes: int) -> Store:
        """The store at a URL of the factory's scheme. ConfigurationError for one that it cannot use, with no part of it
        that may be secret: take it apart with `sagabus.url.parsed`.

        `clock` is None unless a test brings its own: then the store goes by the clock that it has. `lanes`: how many
        lanes a store gets that is yet to be made.
        """
        ...


def store_from_url(url: str, clock: Clock, lanes: int | None = None) -> Store:
    """The store that a URL names, not opened yet; should it be made, with so many lanes. ConfigurationError for a URL
    that names none, without a part of it that may be secret.
    """
    scheme = scheme_of(url)
    make = _OURS.get(scheme) or _of_others(scheme)
    return make(url, clock=None if isinstance(clock, SystemClock) else clock, lanes=LANES if lanes is None else lanes)


def _of_others(scheme: str) -> StoreFactory:
    return adapter(STORES, scheme)


def _memory(url: str, *, clock: Clock | None, lanes: int) -> Store:
    from sagabus.stores.memory import MemoryStore  # an adapter is loaded only when it is used

    return MemoryStore(clock, lanes=lanes)


def _sqlite(url: str, *, clock: Clock | None, lanes: int) -> Store:
    from sagabus.stores.sqlite import SqliteStore

    return SqliteStore(parsed(url).path, clock=clock, lanes=lanes)


def _postgres(url: str, *, clock: Clock | None, lanes: int) -> Store:
    from sagabus.stores.postgres import PostgresStore

    return PostgresStore(url, clock=clock, lanes=lanes)


def _mysql(url: str, *, clock: Clock | None, lanes: int) -> Store:
    from sagabus.stores.mysql import MysqlStore

    return MysqlStore(url, clock=clock, lanes=lanes)


_OURS: Mapping[str, StoreFactory] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "postgresql": _postgres,
    "postgres": _postgres,
    "mysql": _mysql,
    "mariadb": _mysql,
}
"""A table of our own, so that a source checkout works that is not installed. No other distribution can replace these:
a store of the same scheme would find tables that it cannot read.
"""
