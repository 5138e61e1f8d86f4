"""Temporary files of a test run in memory, where there is room: a killed process leaves them there as on a disk.

What only a power failure could tell apart is no matter of these tests. Half of the time of a test on a SQLite file, or
of the start of a private server, would be waiting for the disk.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")  # a folder for all users, as the usual one is
ROOM = 4 * 1024**3
"""Bytes. Where a container has little, as by default, the disk has to do."""


def in_memory() -> None:
    """For this process and its children, unless a folder was chosen for them."""
    is_chosen = any(name in os.environ for name in ("TMPDIR", "TEMP", "TMP"))
    if not is_chosen and sys.platform == "linux" and _has_room():
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None


def _has_room() -> bool:
    return MEMORY.is_dir() and os.access(MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(MEMORY).free > ROOM
