"""Looks at a file by tools: a thread and a connection of their own, made when they are first needed.

So no look holds up a worker that fetches or commits. A connection that only reads blocks no writer of a write-ahead
log. A look that takes too long is cut short, since it would keep the log from being emptied.
"""

from __future__ import annotations

import time
from typing import TypeVar

import apsw

from sagabus.errors import StoreUnavailable
from sagabus.stores.sql.steps import Steps, drive
from sagabus.stores.sqlite.driver import Driver
from sagabus.stores.sqlite.file import DatabaseFile, translated
from sagabus.stores.sqlite.sets import Executor
from sagabus.stores.sqlite.statements import STATEMENTS
from sagabus.stores.sqlite.thread import DatabaseThread

T = TypeVar("T")

_STEPS = 20_000
"""Of the database's machine, between two looks at the clock: some tenths of a millisecond."""


class Looker:
    """One store's."""

    def __init__(self, file: DatabaseFile) -> None:
        self._file = file
        self._thread: DatabaseThread | None = None
        self._connection: Driver | None = None

    async def look(self, steps: Steps[T], seconds: float | None) -> T:
        """Run it; StoreUnavailable when it takes longer than so many seconds."""
        if self._thread is None:
            self._thread = DatabaseThread("sagabus-sqlite-looker")
        return await self._thread.run(self._looked, steps, seconds)

    async def stop(self) -> None:
        """Finish what runs, and disconnect; twice is harmless. It may begin again."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await thread.stop()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _looked(self, steps: Steps[T], seconds: float | None) -> T:
        with translated(self._file.path):
            connection = self._connected()
            end = None if seconds is None else time.monotonic() + seconds
            connection.set_progress_handler(None if end is None else lambda: time.monotonic() > end, _STEPS)
            try:
                return drive(steps, Executor(connection, STATEMENTS))
            except apsw.InterruptError as error:
                path = self._file.path
                raise StoreUnavailable(f"{path}: no answer within {seconds:g} s", store=path) from error

    def _connected(self) -> Driver:
        if self._connection is None:
            self._connection = self._file.connect()
            self._connection.execute("PRAGMA query_only = 1")
        return self._connection
