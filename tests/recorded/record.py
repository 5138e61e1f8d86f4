"""Record a store of this release for all that come after it: `python -m tests.recorded.record`, with both servers.

Run it once for each release that changes the schema, and commit what it writes. Until that release is out it may be run
again; afterwards its recordings stay as they are.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.recorded.workload import DEFINITIONS, START, leave
from tests.support.databases import Database, ServerDatabase, SqliteDatabase, server_database

from sagabus import Settings
from sagabus.cli.opening import store_of
from sagabus.stores.sql.dialect import TABLES
from sagabus.stores.sqlite.schema import LATEST
from sagabus.testing import Harness, ManualClock

HERE = Path(__file__).parent
NAME = "recorded"
"""Of the schema on PostgreSQL, and of the prefix on MySQL, in a recording."""
ALL = Settings(journal="all")
_END = re.compile(r";\n(?=\s*(?:ALTER|CREATE|INSERT|UPDATE|DELETE|SET|--)|\s*$)")
GENERATED = {"scheduled", "waits"}
"""Columns that MySQL computes."""


def recording(version: int, kind: str) -> Path:
    """The file that holds a store of one schema version."""
    return HERE / f"schema_{version}" / f"{kind}.sql"


def ddl(database: Database) -> str:
    """The schema as this release would print it for the store."""
    script = store_of(None, database.url).script()
    assert script is not None
    return _renamed(database, script)


def dump(database: Database) -> str:
    """The whole store as SQL."""
    lines = [ddl(database).strip(), *(["SET autocommit = 0;"] if database.kind == "mysql" else [])]
    for table in TABLES:
        name = _renamed(database, _quoted(database, table))
        columns = _columns(database, table)
        lines.append(f"DELETE FROM {name};")
        lines += (
            f"INSERT INTO {name} ({', '.join(map(str, columns))}) VALUES ({', '.join(_literals(database, row))});"
            for row in _rows(database, table, columns)
        )
    lines += _counters(database)
    return "\n".join(lines) + "\n"


def load(database: Database, text: str) -> None:
    """Make the store of a recording where there is none."""
    if isinstance(database, SqliteDatabase):
        with closing(sqlite3.connect(database.path)) as connection:
            connection.executescript(f"BEGIN; {text} COMMIT;")
        return
    assert isinstance(database, ServerDatabase)
    text = re.sub(rf'(["`]){NAME}(["`_])', rf"\g<1>{database.name}\g<2>", text)
    with closing(database._connect()) as connection, connection.cursor() as cursor:
        for statement in _END.split(text) if database.kind == "mysql" else [text]:
            if statement.strip():
                cursor.execute(statement)
        connection.commit()


def _server(database: Database) -> ServerDatabase:
    assert isinstance(database, ServerDatabase)
    return database


def _renamed(database: Database, text: str) -> str:
    return text.replace(database.name, NAME) if isinstance(database, ServerDatabase) else text


def _quoted(database: Database, table: str) -> str:
    if database.kind == "postgres":
        return f'"{_server(database).name}"."sagabus_{table}"'
    return f"`{database.own(table)}`" if database.kind == "mysql" else database.own(table)


def _columns(database: Database, table: str) -> list[str]:
    if database.kind == "sqlite":
        found = database.run(f"SELECT name FROM pragma_table_info('{database.own(table)}') ORDER BY cid")
    else:
        place = f"'{_server(database).name}'" if database.kind == "postgres" else "database()"
        found = database.run(
            f"SELECT column_name FROM information_schema.columns WHERE table_schema = {place} AND table_name = ? "
            "ORDER BY ordinal_position",
            [database.own(table).rpartition(".")[2]],
        )
    mark = "`" if database.kind == "mysql" else '"'
    return [f"{mark}{name}{mark}" for (name,) in found if name not in GENERATED]


def _rows(database: Database, table: str, columns: Sequence[str]) -> Iterator[Sequence[Any]]:
    yield from sorted(database.of_bus(table, ", ".join(columns)), key=repr)


def _literals(database: Database, row: Sequence[Any]) -> Iterator[str]:
    for value in row:
        text = value.decode() if isinstance(value, bytes) else value
        if isinstance(text, str):
            text = re.sub(r'File "[^"]*"', 'File "shop.py"', text).replace("'", "''")
            yield "'" + (text.replace("\\", "\\\\") if database.kind == "mysql" else text) + "'"
        else:
            yield "NULL" if text is None else str(text)


def _counters(database: Database) -> Iterator[str]:
    """So that no position is given twice."""
    columns = {"envelope": "position", "dead_letter": "id", "history": "position", "journal": "position", "audit": "id"}
    for table, column in columns.items():
        if database.kind == "sqlite":
            ((last,),) = database.run("SELECT seq FROM sqlite_sequence WHERE name = ?", [database.own(table)])
            yield f"UPDATE sqlite_sequence SET seq = {last} WHERE name = '{database.own(table)}';"
        elif database.kind == "postgres":
            name = _quoted(database, table)
            ((last,),) = database.run(
                "SELECT last_value FROM pg_sequences WHERE schemaname = ? AND sequencename = ?",
                [_server(database).name, f"sagabus_{table}_{column}_seq"],
            )
            yield _renamed(database, f"SELECT setval(pg_get_serial_sequence('{name}', '{column}'), {last});")


def record(database: Database) -> str:
    """Let the workload leave what it leaves, and write it down."""
    harness = Harness(*DEFINITIONS, store=database.url, clock=ManualClock(START), patience=60.0, settings=ALL)
    asyncio.run(leave(harness, database.url))
    return dump(database)


def main() -> None:
    """Write the recordings of the latest schema."""
    with tempfile.TemporaryDirectory() as folder:
        for database in (
            SqliteDatabase(Path(folder) / "bus.db"),
            server_database("postgres"),
            server_database("mysql"),
        ):
            file = recording(LATEST, database.kind)
            file.parent.mkdir(exist_ok=True)
            file.write_text(record(database), encoding="utf-8")
            if isinstance(database, ServerDatabase):
                database.close()


if __name__ == "__main__":
    main()
