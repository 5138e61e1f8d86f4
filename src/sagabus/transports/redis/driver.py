"""redis-py: its connections, whose types a checker could not follow, and its errors."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sagabus.errors import ConfigurationError

try:
    connections: Any = import_module("redis.asyncio.connection")
    from redis.exceptions import NoScriptError, RedisError, ResponseError
except ImportError as error:
    raise ConfigurationError(f"Redis needs redis-py: pip install 'sagabus[redis]' ({error})") from error

__all__ = ["NoScriptError", "RedisError", "ResponseError", "connections"]
