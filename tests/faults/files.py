"""A SQLite file under a test, by other means than the library's own."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any


def prepare(path: Path, tables: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(tables)


def query(path: Path, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(sql, parameters).fetchall()
