"""Locks that belong to a file handle, for our copy of SQLite: the other copy in this process has to see them.

POSIX locks belong to the process. Two copies of SQLite in one process never see each other's locks, so both may write
at once. Closing a file in one drops the locks of the other. SQLite takes its locks by `fcntl`, and lets that call be
replaced. Here each `F_SETLK` becomes an `F_OFD_SETLK`. It conflicts with all other locks, also those of the same
process, and survives their closing.

It survives its process, too, where a forked child has inherited the handle. So a child gives up, as soon as it begins,
every handle that locks were taken on, and the shared memory behind them (`forked`).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl as commands
import mmap
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import apsw

# struct flock of 64-bit Linux: type and whence (padded to 8), start, length, pid; these locks want a pid of 0.
_PID_OFFSET = 24
_UNLOCK = commands.F_UNLCK
# struct stat of 64-bit Linux begins with the device and the inode.
_INODE_OFFSET = 8
_FIXED = 0x10
"""MAP_FIXED, which Python does not name."""
_FAILED = ctypes.c_void_p(-1).value

_OURS = (
    {commands.F_SETLK: commands.F_OFD_SETLK, commands.F_GETLK: commands.F_OFD_GETLK}
    if hasattr(commands, "F_OFD_SETLK")
    else {}
)
_FCNTL = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, use_errno=True)
_SALT_SHIFT = 40

_CLOSE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, use_errno=True)
_MMAP = ctypes.CFUNCTYPE(
    *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64),
    use_errno=True,
)
_MUNMAP = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, use_errno=True)
_FSTAT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, use_errno=True)
_STAT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, use_errno=True)


_installed: list[HandleLocks] = []


def handle_locks() -> HandleLocks | None:
    """Replace the calls once, before the first connection; None where the system has no such locks."""
    if not (sys.platform == "linux" and sys.maxsize > 2**32 and _OURS):
        return None
    if not _installed:
        _installed.append(HandleLocks())
        os.register_at_fork(after_in_child=_installed[0].forked)
    return _installed[0]


class HandleLocks:
    """The calls of our copy of SQLite, and what it holds by them. One per process, for good: it keeps the pointers."""

    def __init__(self) -> None:
        self._vfs = apsw.VFS("sagabus-locking", "unix")
        self._kept: list[Any] = []
        self.handles: set[int] = set()
        """Those that locks were taken on, and that are not closed since."""
        self._mapped: dict[int, int] = {}
        """Address and length of each piece of shared memory."""
        self._lost: set[int] = set()
        """Handles of connections that were opened before a fork: nothing is done by them any more."""
        self._fcntl = self._replace("fcntl", _FCNTL, self._on_fcntl)
        self._close = self._replace("close", _CLOSE, self._on_close)
        self._mmap = self._replace("mmap", _MMAP, self._on_mmap)
        self._munmap = self._replace("munmap", _MUNMAP, self._on_munmap)
        self._fstat: Any = None
        self._stat: Any = None
        self._salt = 0

    def forked(self) -> None:
        """Give up, in a forked child, all that its parent's locks hang on; the parent keeps them, and only it does.

        What was opened before the fork can do no harm from here on. A file that is opened now looks to SQLite like
        another file, or the child would share its parent's locks.
        """
        if not self.handles and not self._mapped:
            return
        empty = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for handle in self.handles:
            with suppress(OSError):
                os.dup2(empty, handle, inheritable=False)
        os.close(empty)
        for address, length in self._mapped.items():
            self._make_private(address, length)
        self._lost |= self.handles
        self.handles.clear()
        self._mapped.clear()
        # Never collected: closing one would wait for a thread that does not exist here.
        self._kept.append(apsw.connections())
        if self._fstat is None:
            self._fstat = self._replace("fstat", _FSTAT, self._on_fstat)
            self._stat = self._replace("stat", _STAT, self._on_stat)
        self._salt = os.getpid() << _SALT_SHIFT

    def _replace(self, name: str, signature: Any, call: Callable[..., int]) -> Any:
        """Put our call in the place of SQLite's; the one that was there."""
        there = signature(self._vfs.xGetSystemCall(name) or 0)
        ours = signature(call)
        self._kept.append(ours)
        self._vfs.xSetSystemCall(name, ctypes.cast(ours, ctypes.c_void_p).value or 0)
        return there

    def _on_fcntl(self, handle: int, command: int, argument: int | None) -> int:
        try:
            if argument is not None and command in _OURS:
                if handle in self._lost:
                    return self._refuse(argument)
                ctypes.c_int.from_address(argument + _PID_OFFSET).value = 0
                command = _OURS[command]
                self.handles.add(handle)
            result: int = self._fcntl(handle, command, argument)
        except BaseException:  # noqa: BLE001  # SQLite must not take an interrupted call for a lock that it has
            ctypes.set_errno(errno.EAGAIN)
            return -1
        return result

    @staticmethod
    def _refuse(argument: int) -> int:
        if ctypes.c_short.from_address(argument).value == _UNLOCK:
            return 0
        ctypes.set_errno(errno.EAGAIN)
        return -1

    def _on_close(self, handle: int) -> int:
        self.handles.discard(handle)
        self._lost.discard(handle)
        result: int = self._close(handle)
        return result

    def _on_mmap(self, *arguments: Any) -> int:
        address: int = self._mmap(*arguments)
        if address != _FAILED:
            self._mapped[address] = arguments[1]
        return address

    def _on_munmap(self, address: int, length: int) -> int:
        self._mapped.pop(address, None)
        result: int = self._munmap(address, length)
        return result

    def _make_private(self, address: int, length: int) -> None:
        """Put a copy in the place of shared memory: it keeps the file's handle alive, and with it the locks."""
        copy = ctypes.string_at(address, length)
        access = mmap.PROT_READ | mmap.PROT_WRITE
        kind = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _FIXED
        if self._mmap(address, length, access, kind, -1, 0) == address:
            ctypes.memmove(address, copy, length)

    def _on_fstat(self, handle: int, found: int) -> int:
        result: int = self._fstat(handle, found)
        return self._disguised(result, found)

    def _on_stat(self, path: bytes, found: int) -> int:
        result: int = self._stat(path, found)
        return self._disguised(result, found)

    def _disguised(self, result: int, found: int) -> int:
        """The file has another number than in the process that this one was forked from."""
        if result == 0:
            ctypes.c_uint64.from_address(found + _INODE_OFFSET).value ^= self._salt
        return result
