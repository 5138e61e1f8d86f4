"""Locks that belong to a file handle, for our copy of SQLite: the other copy in this process has to see them.

POSIX locks belong to the process. Two copies of SQLite in one process never see each other's (both may write at once),
and closing a file in one drops those of the other. SQLite takes its locks by `fcntl`, and lets that call be replaced:
here each `F_SETLK` becomes an `F_OFD_SETLK`, which conflicts with everybody else's locks, those of the same process
among them, and survives their closing.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl as commands
import sys
from typing import Any

import apsw

# struct flock of 64-bit Linux: type and whence (padded to 8), start, length, pid; these locks want a pid of 0.
_PID_OFFSET = 24
_INSTALLED: list[Any] = []


def use_handle_locks() -> bool:
    """Replace the call once, before the first connection; whether this system has such locks. Twice is harmless."""
    if not (sys.platform == "linux" and sys.maxsize > 2**32 and hasattr(commands, "F_OFD_SETLK")):
        return False
    if not _INSTALLED:
        call = _replacement()
        vfs = apsw.VFS("sagabus-locking", "unix")
        vfs.xSetSystemCall("fcntl", ctypes.cast(call, ctypes.c_void_p).value or 0)
        _INSTALLED.extend((call, vfs))  # SQLite keeps the bare pointer: nothing of this may ever be collected
    return True


def _replacement() -> Any:
    real = ctypes.CDLL(None, use_errno=True).fcntl
    real.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
    real.restype = ctypes.c_int
    ours = {commands.F_SETLK: commands.F_OFD_SETLK, commands.F_GETLK: commands.F_OFD_GETLK}

    def call(handle: int, command: int, argument: int | None) -> int:
        try:
            if command in ours and argument is not None:
                ctypes.c_int.from_address(argument + _PID_OFFSET).value = 0
                command = ours[command]
            result: int = real(handle, command, argument)
        except BaseException:  # noqa: BLE001  # SQLite must not take an interrupted call for a lock that it has
            ctypes.set_errno(errno.EAGAIN)
            return -1
        return result

    signature = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, use_errno=True)
    return signature(call)
