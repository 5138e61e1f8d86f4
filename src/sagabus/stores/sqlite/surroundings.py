"""Where a SQLite file lies: who else may write it, and whether its file system keeps SQLite's promises."""

from __future__ import annotations

import logging
import os
import shutil
import stat
from pathlib import Path

from sagabus.errors import ConfigurationError

log = logging.getLogger("sagabus")

# Locks and shared memory do not reach from one machine to the other there; SQLite's documentation rules them out.
_OVER_A_NETWORK = frozenset(
    [
        "afs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "fuse.ceph",
        "fuse.davfs2",
        "fuse.glusterfs",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
        "gfs2",
        "glusterfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "smb2",
        "smb3",
        "smbfs",
    ]
)
_INDEX = 32 * 1024
"""Bytes that the index of the write-ahead log takes at least."""
MOUNTS = Path("/proc/self/mountinfo")


def check_name(path: str) -> None:
    """ConfigurationError for a name that no file can have for SQLite."""
    if not path or "\0" in path or any("\ud800" <= character <= "\udfff" for character in path):
        raise ConfigurationError("the path of a SQLite store is empty, holds a NUL, or is no UTF-8: name another file")


def warn_of_writers(path: str) -> None:
    """Log a WARNING for a file that every user of the machine may write: what it holds, handlers act upon."""
    if os.name == "posix" and stat.S_IMODE(os.stat(path).st_mode) & stat.S_IWOTH:  # noqa: PTH116  # a path is a text here
        log.warning("%s: every user of this machine may write this file: take that right away (chmod o-w)", path)


def room(path: str) -> tuple[int, str]:
    """How many bytes are free on the disk of a file, and the folder of the file."""
    folder = Path(path).resolve().parent
    return shutil.disk_usage(folder).free, str(folder)


def is_full(path: str) -> bool:
    """Whether the disk of a file lacks room even for the index of the log, which the first opening makes."""
    try:
        return room(path)[0] < _INDEX
    except OSError:
        return False


def network_file_system(path: str) -> str | None:
    """The kind of a file system that other machines share, if the file lies on one and the system tells."""
    try:
        table = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    found, longest = "", -1
    for line in table.splitlines():
        before, _, behind = line.partition(" - ")
        where = _unescaped(before.split(" ")[4]) if before.count(" ") > 3 else ""  # the fifth field
        if where and len(where) >= longest and _is_below(path, where):
            found, longest = behind.split(" ")[0], len(where)
    return found if found in _OVER_A_NETWORK else None


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _unescaped(field: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field
