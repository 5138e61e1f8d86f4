"""asyncmy, whose types a checker could not follow."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sagabus.errors import ConfigurationError

try:
    asyncmy: Any = import_module("asyncmy.connection")
    asyncmy_cursors: Any = import_module("asyncmy.cursors")
    asyncmy_errors: Any = import_module("asyncmy.errors")
    asyncmy_flags: Any = import_module("asyncmy.constants.CLIENT")
except ImportError as error:
    raise ConfigurationError(
        f"the MySQL and MariaDB store needs asyncmy: pip install 'sagabus[mysql]' ({error})"
    ) from error
