"""From a URL to a store: the one place that knows the adapters by name."""

from __future__ import annotations

from sagabus.clock import Clock, SystemClock
from sagabus.envelope import LANES
from sagabus.store import Store
from sagabus.url import POSTGRES, parsed, scheme_of


def store_from_url(url: str, clock: Clock, lanes: int | None = None) -> Store:
    """The store that a URL names, not opened yet; should it be made, with so many lanes. ConfigurationError for a URL
    that names none, without a part of it that may be secret.
    """
    lanes = LANES if lanes is None else lanes
    scheme = scheme_of(url)
    if scheme == "memory":
        from sagabus.stores.memory import MemoryStore  # an adapter is loaded only when it is used

        return MemoryStore(clock, lanes=lanes)
    if scheme == "sqlite":
        from sagabus.stores.sqlite import SqliteStore

        return SqliteStore(parsed(url).path, clock=clock, lanes=lanes)
    if scheme in POSTGRES:
        from sagabus.stores.postgres import PostgresStore

        return PostgresStore(url, clock=_own(clock), lanes=lanes)
    from sagabus.stores.mysql import MysqlStore

    return MysqlStore(url, clock=_own(clock), lanes=lanes)


def _own(clock: Clock) -> Clock | None:
    """A clock that a test moves; a server goes by its own otherwise."""
    return None if isinstance(clock, SystemClock) else clock
