"""From a URL to a store: the one place that knows the adapters by name."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from sagabus.clock import Clock, SystemClock
from sagabus.envelope import LANES
from sagabus.errors import ConfigurationError
from sagabus.store import Store

_KNOWN = (
    "sqlite:///relative/path.db, sqlite:////absolute/path.db, postgresql://user@host/database, "
    "mysql://user@host/database, mariadb://user@host/database, or memory:"
)


def store_from_url(url: str, clock: Clock, lanes: int | None = None) -> Store:
    """The store that a URL names, not opened yet; should it be made, with so many lanes. ConfigurationError for a URL
    that names none.
    """
    lanes = LANES if lanes is None else lanes
    parts = urlsplit(url)
    if url == "memory:":
        from sagabus.stores.memory import MemoryStore  # an adapter is loaded only when it is used

        return MemoryStore(clock, lanes=lanes)
    if parts.scheme == "sqlite":
        from sagabus.stores.sqlite import SqliteStore

        return SqliteStore(_path(url), clock=clock, lanes=lanes)
    if parts.scheme in ("postgresql", "postgres"):
        from sagabus.stores.postgres import PostgresStore

        return PostgresStore(url, clock=_own(clock), lanes=lanes)
    if parts.scheme in ("mysql", "mariadb"):
        from sagabus.stores.mysql import MysqlStore

        return MysqlStore(url, clock=_own(clock), lanes=lanes)
    if parts.scheme:
        raise ConfigurationError(f"no store is known for {parts.scheme + ':'!r}: use {_KNOWN}")
    raise ConfigurationError(f"{url!r} is no store URL: use {_KNOWN}")


def _own(clock: Clock) -> Clock | None:
    """A clock that a test moves; a server goes by its own otherwise."""
    return None if isinstance(clock, SystemClock) else clock


def _path(url: str) -> str:
    parts = urlsplit(url)
    if not url.startswith("sqlite://"):
        raise ConfigurationError(f"{url!r} is no store URL: use {_KNOWN}")
    if parts.netloc:
        raise ConfigurationError(
            f"{url!r} has a host ({parts.netloc!r}); a file takes three slashes (relative) or four (absolute)"
        )
    if parts.query or parts.fragment:
        raise ConfigurationError(f"{url!r}: a SQLite URL takes no options")
    path = unquote(parts.path.removeprefix("/"))
    if not path:
        raise ConfigurationError(f"{url!r} names no file: use {_KNOWN}")
    return path
