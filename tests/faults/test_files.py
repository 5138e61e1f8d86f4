"""Files that cannot be used are named and left alone; those that can are used as safely as promised."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.faults.files import prepare, query
from tests.faults.tasks import TABLES, Task, make_bus
from tests.support.databases import SqliteDatabase
from tests.support.fork_server import ForkServer

from sagabus import (
    handler,
)
from sagabus.errors import (
    SchemaTooNew,
    StoreCorrupt,
    StoreError,
    StoreReadOnly,
    StoreUnavailable,
)
from sagabus.stores.sqlite import SqliteStore

pytestmark = pytest.mark.faults


@pytest.fixture
def store(tmp_path: Path) -> Path:
    prepare(tmp_path / "bus.db", *TABLES)
    return tmp_path / "bus.db"


async def test_every_connection_that_writes_is_as_durable_as_promised(store: Path) -> None:
    sqlite = SqliteStore(store)
    await sqlite.open()
    connections = [sqlite._write_connection, sqlite._unit_connection, sqlite._read_connection]

    assert {connection.execute("PRAGMA synchronous").get for connection in connections} == {2}
    assert {connection.execute("PRAGMA journal_mode").get for connection in connections} == {"wal"}
    assert {connection.execute("PRAGMA mmap_size").get for connection in connections} == {0}
    await sqlite.close()


def content(path: Path) -> object:
    if not path.is_file():
        return None
    try:
        return query(path, "SELECT sql FROM sqlite_schema"), query(path, "SELECT * FROM sagabus_schema_version")
    except sqlite3.DatabaseError:
        return path.read_bytes()


def not_a_database(path: Path) -> None:
    path.write_bytes(b"this is a letter to my aunt, and no database" * 200)


def torn(path: Path) -> None:
    prepare(path, *TABLES)
    path.write_bytes(path.read_bytes()[:100] + bytes(4000))


def a_folder(path: Path) -> None:
    path.mkdir()


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE sagabus_schema_version (version INTEGER, checksum TEXT, applied_at INTEGER)")
        connection.execute("INSERT INTO sagabus_schema_version VALUES (99, 'x', 0)")
        connection.commit()


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE sagabus_schema_version (version INTEGER, checksum TEXT, applied_at INTEGER)")
        connection.execute("INSERT INTO sagabus_schema_version VALUES (1, 'another', 0)")
        connection.commit()


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (not_a_database, StoreCorrupt),
        (torn, StoreCorrupt),
        (a_folder, StoreUnavailable),
        (newer, SchemaTooNew),
        (foreign, StoreCorrupt),
        (lambda path: path.symlink_to(path.parent / "nowhere" / "bus.db"), StoreUnavailable),
    ],
)
async def test_a_file_that_cannot_be_used_is_named_and_left_alone(
    make: Callable[[Path], None], error: type[StoreError], tmp_path: Path
) -> None:
    @handler("anybody")
    def anybody(message: Task) -> None: ...

    path = tmp_path / "bad.db"
    make(path)
    before = content(path)

    with pytest.raises(error, match=str(path)):
        await make_bus(SqliteDatabase(path), anybody).open()

    assert content(path) == before


@pytest.mark.parametrize("mode", [0o000, 0o400])
def test_a_file_without_permission_is_named(mode: int, fork_server: ForkServer, tmp_path: Path) -> None:
    """In a process without privileges: root may read and write everything."""
    path = tmp_path / "private.db"
    prepare(path, *TABLES)
    path.chmod(mode)

    end = fork_server.run("tests.support.bad_programs:open_unprivileged", path)

    way_out = f"run this as {path.owner()}, who owns it"
    assert end.log.strip() == f"{StoreReadOnly.__name__}: {path}: no permission to read and write it: {way_out}"


def test_a_folder_without_permission_is_named(fork_server: ForkServer, tmp_path: Path) -> None:
    """The database makes its log beside the file."""
    path = tmp_path / "private.db"
    prepare(path, *TABLES)
    path.chmod(0o666)
    tmp_path.chmod(0o555)

    end = fork_server.run("tests.support.bad_programs:open_unprivileged", path)

    text = f"{path}: no permission to write in its folder, where the database keeps its log"
    assert end.log.strip() == f"{StoreReadOnly.__name__}: {text}: run this as {tmp_path.owner()}, who owns it"
