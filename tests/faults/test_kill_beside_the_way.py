"""A process killed while it forgets, or while it puts dead letters back: nothing runs twice, nothing is lost."""

import pytest
from tests.faults.nursery import Nursery
from tests.faults.oracle import found_in
from tests.faults.programs import COUNT, TABLES
from tests.grounds import Ground

from sagabus.failpoint import NAMES

PROGRAMS = "tests.faults.programs:"
PURGE = [name for name in NAMES if name.startswith("purge.")]
REPLAY = [name for name in NAMES if name.startswith("replay.")]
WEEK = 8

pytestmark = pytest.mark.faults


OPEN = "WHERE status = 'open'"


@pytest.fixture
def tasks(ground: Ground) -> Ground:
    ground.make(*TABLES)
    return ground


def done(ground: Ground) -> list[int]:
    return [row[0] for row in ground.rows("number", "done")]


@pytest.mark.parametrize("name", PURGE)
def test_killed_while_purging_no_late_copy_runs(name: str, nursery: Nursery, tasks: Ground) -> None:
    assert nursery.run(PROGRAMS + "forget", tasks.url, 0).code == 0
    assert done(tasks) == list(range(COUNT))

    assert nursery.run(PROGRAMS + "forget", tasks.url, WEEK, failpoints=f"{name}=kill9").killed
    end = nursery.run(PROGRAMS + "forget", tasks.url, WEEK)

    assert end.code == 0, end.log
    assert done(tasks) == list(range(COUNT))
    held = found_in(tasks, "dead_letter", "message_id, reason", OPEN)
    assert sorted(held) == sorted(
        (f"task-{number}", "too old: stamped before the de-duplication horizon") for number in range(COUNT)
    )
    assert tasks.of_bus("inbox") == []


@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize("name", REPLAY)
def test_killed_while_replaying_each_letter_is_replayed_once(
    name: str, count: int, nursery: Nursery, tasks: Ground
) -> None:
    assert nursery.run(PROGRAMS + "fail_all", tasks.url, 0).code == 0
    assert len(tasks.of_bus("dead_letter", "*", OPEN)) == COUNT

    assert nursery.run(PROGRAMS + "replay_all", tasks.url, 1, failpoints=f"{name}=kill9@{count}").killed
    end = nursery.run(PROGRAMS + "replay_all", tasks.url, 2)

    assert end.code == 0, end.log
    assert done(tasks) == list(range(COUNT))
    assert tasks.of_bus("dead_letter", "*", OPEN) == []
    assert tasks.of_bus("envelope") == []
