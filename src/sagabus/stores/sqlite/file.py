"""One SQLite file: how it is opened, how it is protected, and how its errors are translated.

Two copies of SQLite in one process (ours and that of Python's `sqlite3`) do not see each other's locks. Closing a file
in one drops the POSIX locks of the other. A user's `sqlite3.connect(...).close()` would then believe it is the last
connection, checkpoint, and delete the write-ahead log that we write to. Open-file-description locks do not have that
flaw. So each store holds a shared one over SQLite's lock bytes, and no other connection can be "the last". It also
holds an exclusive one on its own byte while it writes.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import apsw

from sagabus.errors import (
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
    TransactionLost,
)
from sagabus.stores.sqlite.driver import Driver
from sagabus.stores.sqlite.holders import holders_of
from sagabus.stores.sqlite.locking import handle_locks
from sagabus.stores.sqlite.surroundings import is_full

T = TypeVar("T")


def _locking() -> Any:
    """The module `fcntl` where it knows locks of open file descriptions, else None."""
    try:
        import fcntl
    except ImportError:  # pragma: no cover - not on this platform
        return None
    return fcntl if hasattr(fcntl, "F_OFD_SETLK") else None


_LOCKING = _locking()

_OPENING_PAUSE = 0.005
_PRAGMAS = {
    "synchronous": "FULL",
    "cache_size": -65_536,
    "wal_autocheckpoint": 4_000,
    "journal_size_limit": 64 << 20,
    "mmap_size": 0,
    "temp_store": "MEMORY",
}
"""Durability first. What savepoints and statements would spill to a temporary file stays in memory. Recovery after a
crash does not read it, and it was half of all that was written.
"""
_SHARED_BYTES = (0x40000002, 510)
_WRITER_BYTE = (0x40000000 + 768, 1)

_ERRORS: tuple[tuple[type[apsw.Error], type[StoreError]], ...] = (
    (apsw.BusyError, StoreBusy),
    (apsw.LockedError, StoreBusy),
    (apsw.FullError, StoreFull),
    (apsw.ReadOnlyError, StoreReadOnly),
    (apsw.PermissionsError, StoreReadOnly),
    (apsw.NotADBError, StoreCorrupt),
    (apsw.CorruptError, StoreCorrupt),
    (apsw.CantOpenError, StoreUnavailable),
    (apsw.IOError, StoreUnavailable),
    (apsw.InterruptError, StoreUnavailable),
    (apsw.NoMemError, StoreUnavailable),
)


@contextmanager
def translated(path: str) -> Generator[None, None, None]:
    """Turn the driver's errors into the store's, by class."""
    try:
        yield
    except apsw.Error as error:
        raise store_error(error, path) from error


def store_error(error: Exception, path: str, text: str | None = None) -> StoreError:
    """The store's error for a driver's, by class."""
    if isinstance(error, apsw.IOError) and is_full(path):
        return StoreFull(f"{path}: {text or error}; its disk is full: make room", store=path)
    for theirs, ours in _ERRORS:
        if isinstance(error, theirs):
            if ours is StoreBusy:
                text = f"{text or error}{holders_of(path)}"
            return ours(f"{path}: {text or error}", store=path)
    return StoreError(f"{path}: {type(error).__name__}: {text or error}", store=path)


def is_fatal(error: apsw.Error) -> bool:
    """Whether the error is of the database as a whole, not of the one statement that met it."""
    return isinstance(error, tuple(theirs for theirs, _ in _ERRORS if theirs is not apsw.PermissionsError))


def _owner(path: str) -> str:
    """Who may use it, where that can be said."""
    try:
        return f": run this as {Path(path).owner()}, who owns it"
    except (OSError, KeyError, NotImplementedError):
        return ""


class DatabaseFile:
    """The path of a store, its guard, and the right to write."""

    def __init__(self, path: str, *, busy_timeout: float = 30.0) -> None:
        self.path = path
        self._busy_timeout = busy_timeout
        self._guard: int | None = None

    def prepare(self) -> None:
        """Make the file, for its owner only, unless it is there; raise with the way out when it cannot be used."""
        with self._explained():
            if os.path.exists(self.path):  # noqa: PTH110  # a path is a text here
                # Opened and closed, it would drop the locks that another copy of SQLite in this process may hold on it.
                self._check_usable()
            else:
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))

    def check(self) -> None:
        """Raise with the way out when a file that is there cannot be used."""
        with self._explained():
            self._check_usable()

    @contextmanager
    def _explained(self) -> Generator[None, None, None]:
        try:
            yield
        except FileNotFoundError as error:
            raise StoreUnavailable(
                f"{self.path}: the folder does not exist; create it first", store=self.path
            ) from error
        except IsADirectoryError as error:
            raise StoreUnavailable(f"{self.path} is a folder; name a file in it", store=self.path) from error
        except PermissionError as error:
            text = f"{self.path}: no permission to read and write it{_owner(self.path)}"
            raise StoreReadOnly(text, store=self.path) from error
        except OSError as error:
            raise StoreUnavailable(f"{self.path}: {error.strerror}", store=self.path) from error

    def _check_usable(self) -> None:
        if os.path.isdir(self.path):  # noqa: PTH112  # a path is a text here
            raise IsADirectoryError
        effective = os.access in os.supports_effective_ids
        if not os.access(self.path, os.R_OK | os.W_OK, effective_ids=effective):
            raise PermissionError
        folder, is_in_use = os.path.split(self.path)[0], os.path.exists(f"{self.path}-shm")  # noqa: PTH110
        if not is_in_use and not os.access(folder, os.W_OK, effective_ids=effective):
            text = f"{self.path}: no permission to write in its folder, where the database keeps its log"
            raise StoreReadOnly(f"{text}{_owner(folder)}", store=self.path)

    def connect(self, cached_statements: int = 200) -> Driver:
        """A connection with the durability that the guarantee needs: write-ahead log, `synchronous=FULL`."""
        handle_locks()
        with translated(self.path):
            native = apsw.Connection(self.path, flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=cached_statements)
            native.set_busy_timeout(int(self._busy_timeout * 1000))
            connection = cast("Driver", native)
            self._log_ahead(connection)
            for name, value in _PRAGMAS.items():
                # One by one: the driver stops at the first row that a text of several gives, and some give one.
                connection.execute(f"PRAGMA {name} = {value}").fetchall()
            return connection

    def _log_ahead(self, connection: Driver) -> None:
        # SQLite does not wait here by itself, and another process may be opening or closing the file at this moment.
        deadline = time.monotonic() + self._busy_timeout
        while True:
            try:
                mode = connection.execute("PRAGMA journal_mode = WAL").get
                break
            except apsw.BusyError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_OPENING_PAUSE)
        if mode != "wal":
            raise StoreReadOnly(f"{self.path}: cannot switch to a write-ahead log (it stays {mode!r})", store=self.path)

    def hold(self) -> None:
        """Take the guard; taking it twice is harmless."""
        if self._guard is None:
            self._guard = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            if (locks := handle_locks()) is not None:
                locks.handles.add(self._guard)
            self._lock(_SHARED_BYTES, write=False)

    def let_go(self) -> None:
        """Give the guard up, before the last connection closes."""
        if self._guard is not None:
            if (locks := handle_locks()) is not None:
                locks.handles.discard(self._guard)
            os.close(self._guard)
            self._guard = None

    def begin(self, connection: Driver) -> None:
        """Begin a write transaction; waits for other processes at most the busy timeout, then raises StoreBusy."""
        deadline = time.monotonic() + self._busy_timeout
        pause = 0.0002
        while not self._lock(_WRITER_BYTE, write=True):
            if time.monotonic() > deadline:
                text = f"the file has been locked for {self._busy_timeout:g} s{holders_of(self.path)}"
                raise StoreBusy(f"{self.path}: {text}", store=self.path)
            time.sleep(pause)
            pause = min(pause * 1.5, 0.005)
        try:
            connection.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._unlock()
            raise

    def commit(self, connection: Driver) -> None:
        """Commit, and make sure of it: SQLite may have rolled back by itself and would then commit nothing at all."""
        try:
            if not connection.in_transaction:
                raise TransactionLost(f"{self.path}: the transaction ended before its commit", store=self.path)
            connection.execute("COMMIT")
        finally:
            self.end(connection)

    def end(self, connection: Driver) -> None:
        """Leave no transaction open, whatever happened."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        finally:
            self._unlock()

    def write(self, connection: Driver, work: Callable[[], T]) -> T:
        """Run `work` in one write transaction and commit; on any error nothing of it remains."""
        with translated(self.path):
            self.begin(connection)
            try:
                result = work()
            except BaseException:
                self.end(connection)
                raise
            self.commit(connection)
            return result

    def _lock(self, region: tuple[int, int], *, write: bool) -> bool:
        return self._set(region, _LOCKING.F_WRLCK if write else _LOCKING.F_RDLCK) if _LOCKING is not None else True

    def _unlock(self) -> None:
        if _LOCKING is not None and self._guard is not None:
            self._set(_WRITER_BYTE, _LOCKING.F_UNLCK)

    def _set(self, region: tuple[int, int], kind: int) -> bool:
        if self._guard is None or _LOCKING is None:
            return True
        start, length = region
        try:
            region_lock = struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)
            _LOCKING.fcntl(self._guard, _LOCKING.F_OFD_SETLK, region_lock)
        except OSError:
            return False
        return True
