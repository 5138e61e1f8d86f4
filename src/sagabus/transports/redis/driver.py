"""redis-py: its connections, whose types a checker could not follow, and its errors."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sagabus.errors import ConfigurationError

try:
    connections: Any = import_module("redis.asyncio.connection")
    from redis.exceptions import AuthenticationError, MovedError, NoScriptError, RedisError, ResponseError
except ImportError as error:
    raise ConfigurationError(f"Redis needs redis-py: pip install 'sagabus[redis]' ({error})") from error

__all__ = [
    "AuthenticationError",
    "MovedError",
    "NoScriptError",
    "RedisError",
    "ResponseError",
    "connections",
    "cut",
    "moved_to",
]


def cut(connection: Any) -> None:
    """Close its socket at once. Twice is harmless."""
    connection._close()  # noqa: SLF001  # the driver's own way waits


def moved_to(error: MovedError) -> tuple[str, int]:
    """The host and the port at which a cluster has the keys."""
    found: Any = error
    return str(found.host), int(found.port)
