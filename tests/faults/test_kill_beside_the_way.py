"""A process killed while it forgets, or while it puts dead letters back: nothing runs twice, nothing is lost."""

from pathlib import Path

import pytest
from tests.faults.nursery import Nursery
from tests.faults.oracle import prepare, query
from tests.faults.programs import COUNT, TABLES

from sagabus.failpoint import NAMES

PROGRAMS = "tests.faults.programs:"
PURGE = [name for name in NAMES if name.startswith("purge.")]
REPLAY = [name for name in NAMES if name.startswith("replay.")]
WEEK = 8

pytestmark = pytest.mark.faults


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    path = tmp_path / "tasks.db"
    prepare(path, TABLES)
    return path


def done(path: Path) -> list[int]:
    return sorted(row[0] for row in query(path, "SELECT number FROM done"))


@pytest.mark.parametrize("name", PURGE)
def test_killed_while_purging_no_late_copy_runs(name: str, nursery: Nursery, tasks: Path) -> None:
    assert nursery.run(PROGRAMS + "forget", tasks, 0).code == 0
    assert done(tasks) == list(range(COUNT))

    assert nursery.run(PROGRAMS + "forget", tasks, WEEK, failpoints=f"{name}=kill9").killed
    end = nursery.run(PROGRAMS + "forget", tasks, WEEK)

    assert end.code == 0, end.log
    assert done(tasks) == list(range(COUNT))
    held = query(tasks, "SELECT message_id, reason FROM sagabus_dead_letter WHERE status = 'open'")
    assert sorted(held) == sorted(
        (f"task-{number}", "too old: stamped before the de-duplication horizon") for number in range(COUNT)
    )
    assert query(tasks, "SELECT * FROM sagabus_inbox") == []


@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize("name", REPLAY)
def test_killed_while_replaying_each_letter_is_replayed_once(
    name: str, count: int, nursery: Nursery, tasks: Path
) -> None:
    assert nursery.run(PROGRAMS + "fail_all", tasks, 0).code == 0
    assert len(query(tasks, "SELECT * FROM sagabus_dead_letter WHERE status = 'open'")) == COUNT

    assert nursery.run(PROGRAMS + "replay_all", tasks, 1, failpoints=f"{name}=kill9@{count}").killed
    end = nursery.run(PROGRAMS + "replay_all", tasks, 2)

    assert end.code == 0, end.log
    assert done(tasks) == list(range(COUNT))
    assert query(tasks, "SELECT * FROM sagabus_dead_letter WHERE status = 'open'") == []
    assert query(tasks, "SELECT * FROM sagabus_envelope") == []
