"""Where a demonstration plays: the store's file, the user's tables in it, and what stands in them in the end.

The tables are read and made by a plain connection beside the bus, as any application does with its own.
"""

from __future__ import annotations

from collections import Counter
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

import apsw

from sagabus.cli.demonstration.oracle import Row
from sagabus.cli.output import Refused

_SCHEME = "sqlite:///"


def file_of(url: str) -> str:
    """The path in a store's URL; refused where it is not a SQLite file, which several processes can share."""
    if not url.startswith(_SCHEME) or len(url) == len(_SCHEME):
        raise Refused(f"--store {url!r}: name a SQLite file, such as sqlite:///demo.db or sqlite:////tmp/demo.db")
    return unquote(url.removeprefix(_SCHEME))


class Stage:
    """The application's own tables in the store's file."""

    def __init__(self, path: str, tables: str) -> None:
        self._connection: Any = apsw.Connection(path)
        self._connection.set_busy_timeout(30_000)
        self._connection.execute(tables)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def begin_run(self, seed: int) -> int:
        """The number of this run in this file, from 1: it is in every id, so runs do not meet."""
        self._connection.execute("INSERT INTO demo_run (seed) VALUES (?)", (str(seed),))
        number: int = self._connection.last_insert_rowid()
        return number

    def count(self, table: str, where: str, value: str) -> int:
        """How many rows of a table have the value (a LIKE pattern)."""
        found: int = self._connection.execute(f"SELECT count(*) FROM {table} WHERE {where} LIKE ?", (value,)).get  # noqa: S608  # names are ours
        return found

    def rows(self, sql: str, value: str) -> Counter[Row]:
        """Rows as a multiset."""
        return Counter(tuple(row) for row in self._connection.execute(sql, (value,)))
