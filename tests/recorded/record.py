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

from tests.grounds import Ground, ServerGround, SqliteGround, server_ground
from tests.recorded.workload import DEFINITIONS, START, leave

from sagabus.cli.opening import script_of, store_of
from sagabus.stores.sql.dialect import TABLES
from sagabus.stores.sqlite.schema import LATEST
from sagabus.testing import Harness, ManualClock

HERE = Path(__file__).parent
NAME = "recorded"
"""Of the schema on PostgreSQL, and of the prefix on MySQL, in a recording."""
_END = re.compile(r";\n(?=\s*(?:ALTER|CREATE|INSERT|DELETE|SET|--)|\s*$)")
GENERATED = {"scheduled", "waits"}
"""Columns that MySQL computes."""


def recording(version: int, kind: str) -> Path:
    """The file that holds a store of one schema version."""
    return HERE / f"schema_{version}" / f"{kind}.sql"


def ddl(ground: Ground) -> str:
    """The schema as this release would print it for the store."""
    script = script_of(store_of(None, ground.url))
    assert script is not None
    return _renamed(ground, script)


def dump(ground: Ground) -> str:
    """The whole store as SQL."""
    lines = [ddl(ground).strip(), *(["SET autocommit = 0;"] if ground.kind == "mysql" else [])]
    for table in TABLES:
        name = _renamed(ground, _quoted(ground, table))
        columns = _columns(ground, table)
        lines.append(f"DELETE FROM {name};")
        lines += (
            f"INSERT INTO {name} ({', '.join(map(str, columns))}) VALUES ({', '.join(_literals(ground, row))});"
            for row in _rows(ground, table, columns)
        )
    lines += _counters(ground)
    return "\n".join(lines) + "\n"


def load(ground: Ground, text: str) -> None:
    """Make the store of a recording where there is none."""
    if isinstance(ground, SqliteGround):
        with closing(sqlite3.connect(ground.path)) as connection:
            connection.executescript(f"BEGIN; {text} COMMIT;")
        return
    assert isinstance(ground, ServerGround)
    text = re.sub(rf'(["`]){NAME}(["`_])', rf"\g<1>{ground.name}\g<2>", text)
    with closing(ground._connect()) as connection, connection.cursor() as cursor:
        for statement in _END.split(text) if ground.kind == "mysql" else [text]:
            if statement.strip():
                cursor.execute(statement)
        connection.commit()


def _server(ground: Ground) -> ServerGround:
    assert isinstance(ground, ServerGround)
    return ground


def _renamed(ground: Ground, text: str) -> str:
    return text.replace(ground.name, NAME) if isinstance(ground, ServerGround) else text


def _quoted(ground: Ground, table: str) -> str:
    if ground.kind == "postgres":
        return f'"{_server(ground).name}"."sagabus_{table}"'
    return f"`{ground.own(table)}`" if ground.kind == "mysql" else ground.own(table)


def _columns(ground: Ground, table: str) -> list[str]:
    if ground.kind == "sqlite":
        found = ground.run(f"SELECT name FROM pragma_table_info('{ground.own(table)}') ORDER BY cid")
    else:
        place = f"'{_server(ground).name}'" if ground.kind == "postgres" else "database()"
        found = ground.run(
            f"SELECT column_name FROM information_schema.columns WHERE table_schema = {place} AND table_name = ? "
            "ORDER BY ordinal_position",
            [ground.own(table).rpartition(".")[2]],
        )
    mark = "`" if ground.kind == "mysql" else '"'
    return [f"{mark}{name}{mark}" for (name,) in found if name not in GENERATED]


def _rows(ground: Ground, table: str, columns: Sequence[str]) -> Iterator[Sequence[Any]]:
    yield from sorted(ground.of_bus(table, ", ".join(columns)), key=repr)


def _literals(ground: Ground, row: Sequence[Any]) -> Iterator[str]:
    for value in row:
        text = value.decode() if isinstance(value, bytes) else value
        if isinstance(text, str):
            text = re.sub(r'File "[^"]*"', 'File "shop.py"', text).replace("'", "''")
            yield "'" + (text.replace("\\", "\\\\") if ground.kind == "mysql" else text) + "'"
        else:
            yield "NULL" if text is None else str(text)


def _counters(ground: Ground) -> Iterator[str]:
    """So that no position is given twice."""
    for table, column in (("envelope", "position"), ("dead_letter", "id"), ("history", "position")):
        if ground.kind == "sqlite":
            ((last,),) = ground.run("SELECT seq FROM sqlite_sequence WHERE name = ?", [ground.own(table)])
            yield f"UPDATE sqlite_sequence SET seq = {last} WHERE name = '{ground.own(table)}';"
        elif ground.kind == "postgres":
            name = _quoted(ground, table)
            ((last,),) = ground.run(
                "SELECT last_value FROM pg_sequences WHERE schemaname = ? AND sequencename = ?",
                [_server(ground).name, f"sagabus_{table}_{column}_seq"],
            )
            yield _renamed(ground, f"SELECT setval(pg_get_serial_sequence('{name}', '{column}'), {last});")


def record(ground: Ground) -> str:
    """Let the workload leave what it leaves, and write it down."""
    harness = Harness(*DEFINITIONS, store=ground.url, clock=ManualClock(START), patience=60.0)
    asyncio.run(leave(harness, ground.url))
    return dump(ground)


def main() -> None:
    """Write the recordings of the latest schema."""
    with tempfile.TemporaryDirectory() as folder:
        for ground in (SqliteGround(Path(folder) / "bus.db"), server_ground("postgres"), server_ground("mysql")):
            file = recording(LATEST, ground.kind)
            file.parent.mkdir(exist_ok=True)
            file.write_text(record(ground), encoding="utf-8")
            if isinstance(ground, ServerGround):
                ground.close()


if __name__ == "__main__":
    main()
