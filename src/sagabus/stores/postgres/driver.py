"""asyncpg, which brings no types that a checker could read."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sagabus.errors import ConfigurationError

try:
    asyncpg: Any = import_module("asyncpg")
except ImportError as error:
    raise ConfigurationError(
        f"the PostgreSQL store needs asyncpg: pip install 'sagabus[postgres]' ({error})"
    ) from error
