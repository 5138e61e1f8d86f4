"""A process killed while it forgets, or while it puts dead letters back: nothing runs twice, nothing is lost."""

import pytest
from tests.faults.oracle import found_in
from tests.support.bad_programs import COUNT, TABLES
from tests.support.databases import Database
from tests.support.fork_server import ForkServer

from sagabus.failpoint import NAMES

PROGRAMS = "tests.support.bad_programs:"
PURGE = [name for name in NAMES if name.startswith("purge.")]
REPLAY = [name for name in NAMES if name.startswith("replay.")]
WEEK = 8

pytestmark = pytest.mark.faults


OPEN = "WHERE status = 'open'"


@pytest.fixture
def tasks(database: Database) -> Database:
    database.make(*TABLES)
    return database


def done(database: Database) -> list[int]:
    return [row[0] for row in database.rows("number", "done")]


@pytest.mark.parametrize("name", PURGE)
@pytest.mark.share(3)
def test_killed_while_purging_no_late_copy_runs(name: str, fork_server: ForkServer, tasks: Database) -> None:
    assert fork_server.run(PROGRAMS + "forget", tasks.url, 0).code == 0
    assert done(tasks) == list(range(COUNT))

    assert fork_server.run(PROGRAMS + "forget", tasks.url, WEEK, failpoints=f"{name}=kill9").killed
    end = fork_server.run(PROGRAMS + "forget", tasks.url, WEEK)

    assert end.code == 0, end.log
    assert done(tasks) == list(range(COUNT))
    held = found_in(tasks, "dead_letter", "message_id, reason", OPEN)
    assert sorted(held) == sorted(
        (f"task-{number}", "too old: stamped before the de-duplication horizon") for number in range(COUNT)
    )
    assert tasks.of_bus("inbox") == []


@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize("name", REPLAY)
@pytest.mark.share(3)
def test_killed_while_replaying_each_letter_is_replayed_once(
    name: str, count: int, fork_server: ForkServer, tasks: Database
) -> None:
    assert fork_server.run(PROGRAMS + "fail_all", tasks.url, 0).code == 0
    assert len(tasks.of_bus("dead_letter", "*", OPEN)) == COUNT

    assert fork_server.run(PROGRAMS + "replay_all", tasks.url, 1, failpoints=f"{name}=kill9@{count}").killed
    end = fork_server.run(PROGRAMS + "replay_all", tasks.url, 2)

    assert end.code == 0, end.log
    assert done(tasks) == list(range(COUNT))
    assert tasks.of_bus("dead_letter", "*", OPEN) == []
    assert tasks.of_bus("envelope") == []
