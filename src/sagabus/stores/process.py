"""A store belongs to the process that opened it: connections, locks and rows in memory do not cross a fork."""

from __future__ import annotations

import os

from sagabus.errors import ForkedProcess


def check_process(opened_by: int, place: str) -> None:
    """Raise ForkedProcess in any process but the one that opened the store."""
    if opened_by != os.getpid():
        text = f"was opened by process {opened_by}, this is {os.getpid()}: open a bus of its own after the fork"
        raise ForkedProcess(f"{place} {text}", store=place)
