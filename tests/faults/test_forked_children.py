"""Children that a worker forks: they keep none of its locks when it is killed, and use nothing of what is its own."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.faults.forks import WAYS
from tests.support.bad_programs import TABLES
from tests.support.databases import Database, SqliteDatabase
from tests.support.fork_server import ForkServer

from sagabus import StoreBusy
from sagabus.clock import SystemClock
from sagabus.stores.sqlite import SqliteStore

FORKS = "tests.faults.forks:"
COUNT = 4
COMMIT = ["commit.begun", "commit.removed", "commit.statements_run", "commit.before_commit", "commit.after_commit"]
UNIT = ["unit.handler_returned", "unit.before_commit", "unit.after_commit", "handle.entered"]

HITS = {"handle.entered": 3}
"""Before the first run nobody has a child."""

pytestmark = pytest.mark.faults


@pytest.fixture
def orphan(tmp_path: Path) -> Iterator[Path]:
    """Where the id of a child is written that outlives its parent; it ends with the test."""
    file = tmp_path / "orphan"
    yield file
    with suppress(ProcessLookupError, FileNotFoundError):
        os.kill(int(file.read_text()), signal.SIGKILL)


def is_alive(file: Path) -> bool:
    return Path(f"/proc/{file.read_text()}").exists()


@pytest.fixture
def tasks(tmp_path: Path) -> Database:
    database = SqliteDatabase(tmp_path / "bus.db")
    database.make(*TABLES)
    return database


@pytest.mark.parametrize("way", [way for way in WAYS if way != "native"])
@pytest.mark.share(2)
def test_the_file_of_a_worker_that_is_killed_is_free_though_its_child_lives_on(
    way: str, fork_server: ForkServer, tasks: Database, orphan: Path
) -> None:
    for name in COMMIT + UNIT:
        kill_and_inherit(way, name, fork_server, tasks, orphan)
        os.kill(int(orphan.read_text()), signal.SIGKILL)
        orphan.unlink()
        tasks.run("DELETE FROM done")
        tasks.run("DELETE FROM sagabus_inbox")


def kill_and_inherit(way: str, name: str, fork_server: ForkServer, tasks: Database, orphan: Path) -> None:
    assert fork_server.run(FORKS + "publish", tasks.url, 0, COUNT).code == 0
    # The first run of all makes the child: what is hit later is hit by a worker that has one.
    end = fork_server.run(
        FORKS + "work", tasks.url, 0, way, str(orphan), failpoints=f"{name}=kill9@{HITS.get(name, 1)}"
    )
    assert end.killed, (name, end.log)
    assert is_alive(orphan), name

    heir = fork_server.run(FORKS + "work", tasks.url, 1, way, str(orphan))

    assert (heir.code, "StoreBusy" in heir.log) == (0, False), (name, heir.log)
    assert sorted(tasks.rows("number", "done")) == sorted([(number,) for number in range(COUNT)] * 2), name


def test_the_error_after_waiting_for_a_file_names_the_process_that_has_it(
    fork_server: ForkServer, tasks: Database, orphan: Path
) -> None:
    """A child that Python does not know of keeps what it has inherited."""
    assert fork_server.run(FORKS + "publish", tasks.url, 0, COUNT).code == 0
    end = fork_server.run(FORKS + "work", tasks.url, 0, "native", str(orphan), failpoints="unit.before_commit=kill9")
    assert end.killed, end.log

    store = SqliteStore(tasks.url.removeprefix("sqlite:///"), clock=SystemClock(), busy_timeout=0.2)

    with pytest.raises(StoreBusy, match=f"process {orphan.read_text()} "):
        asyncio.run(opened(store))


async def opened(store: SqliteStore) -> None:
    await store.open()
    try:
        await store.register([])
    finally:
        await store.close()


def test_a_child_is_refused_its_parents_bus_and_opens_one_of_its_own(
    fork_server: ForkServer, database: Database
) -> None:
    database.make(*TABLES)

    end = fork_server.run(FORKS + "use_in_a_child", database.url, 0)

    assert end.code == 0, end.log
    assert database.rows("number", "done") == [(7,), (7,), (8,), (8,)]


def test_a_child_is_refused_what_is_in_its_parents_memory(fork_server: ForkServer) -> None:
    end = fork_server.run(FORKS + "use_memory_in_a_child", "memory:", 0)

    assert end.code == 0, end.log
