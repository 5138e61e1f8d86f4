"""The application's own tables in a SQLite file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw

from sagabus.cli.demonstration.app_table import Words, file_of
from sagabus.stores.sqlite.file import translated

_WORDS = Words(  # one transaction writes at a time: there is no row to lock
    placeholder=lambda _: "?",
    number="INTEGER PRIMARY KEY",
    count_run=("INSERT INTO demo_run (seed) VALUES (?)", "SELECT last_insert_rowid()"),
)


class SqliteDatabase:
    """See `stage.Database`. It never waits long for another process, so it does not leave the event loop."""

    words = _WORDS

    def __init__(self, url: str) -> None:
        self._path = file_of(url)
        self._connection: Any = None

    async def query(self, sql: str, parameters: Sequence[object] = ()) -> Sequence[Sequence[Any]]:
        """Run one statement; its rows."""
        with translated(self._path):
            if self._connection is None:
                self._connection = apsw.Connection(self._path)
                self._connection.set_busy_timeout(30_000)
            return list(self._connection.execute(sql, tuple(parameters)))

    async def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
