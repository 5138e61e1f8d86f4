"""Fixtures for pytest, found by themselves when sagabus is installed.

They need no plugin for asynchronous tests: `asyncio.run(...)` in a plain test does, and an `async def` test where a
plugin runs it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sagabus.testing.clock import ManualClock
    from sagabus.testing.harness import Harness


@pytest.fixture
def manual_clock() -> ManualClock:
    """A clock that stands still until the test advances it."""
    from sagabus.testing.clock import ManualClock  # loaded for those who ask, not in every pytest run

    return ManualClock()


@pytest.fixture
def sagabus_harness(tmp_path: Path) -> Callable[..., Harness]:
    """What makes a `Harness`, for `async with` and the definitions that it is called with.

    With `store="sqlite"` it is on a file of this test.
    """
    from sagabus.testing.harness import Harness

    def make(*definitions: Any, **options: Any) -> Harness:
        if options.get("store") == "sqlite":
            options["store"] = tmp_path / "bus.db"
        return Harness(*definitions, **options)

    return make
