"""Leases renewed in a file from a thread: a connection and a guard of its own, made when they are first needed."""

from __future__ import annotations

from collections.abc import Callable

from sagabus.clock import Clock
from sagabus.stores.sql import leasing
from sagabus.stores.sql.steps import drive
from sagabus.stores.sqlite.driver import Driver
from sagabus.stores.sqlite.file import DatabaseFile
from sagabus.stores.sqlite.sets import Executor
from sagabus.stores.sqlite.statements import STATEMENTS


class SqliteKeeper:
    """See `sagabus.store.Keeper`. The right to write is asked for as by another process: it may be in use here."""

    def __init__(self, path: str, clock: Clock, check_process: Callable[[], None]) -> None:
        self._path = path
        self._clock = clock
        self._check_process = check_process
        self._file: DatabaseFile | None = None
        self._connection: Driver | None = None

    def renew(self, worker: str, *, duration: int, within: float) -> None:
        """Renew what the worker still owns."""
        self._check_process()
        if self._file is None or self._connection is None:
            self._file = DatabaseFile(self._path, busy_timeout=within)
            self._connection = self._file.connect()
        self._file.hold()
        execute = Executor(self._connection, STATEMENTS)

        def work() -> None:
            drive(leasing.renew(worker, self._clock.now(), duration=duration), execute)

        self._file.write(self._connection, work)

    def close(self) -> None:
        """Disconnect."""
        file, self._file = self._file, None
        connection, self._connection = self._connection, None
        if file is not None:
            file.let_go()
        if connection is not None:
            connection.close()
