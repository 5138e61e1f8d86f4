"""A store belongs to the process that opened it: connections, locks and rows in memory do not cross a fork.

Its worker says which release of the library the process runs.
"""

from __future__ import annotations

import os
from functools import cache

from sagabus.errors import ForkedProcess


def check_process(opened_by: int, place: str) -> None:
    """Raise ForkedProcess in any process but the one that opened the store."""
    if opened_by != os.getpid():
        text = f"was opened by process {opened_by}, this is {os.getpid()}: open a bus of its own after the fork"
        raise ForkedProcess(f"{place} {text}", store=place)


@cache
def own_version() -> str:
    """The version of the installed distribution; empty where none is installed."""
    from importlib.metadata import PackageNotFoundError, version  # loaded when asked for: it costs much

    try:
        return version("sagabus")
    except PackageNotFoundError:
        return ""
