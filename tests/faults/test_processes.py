"""Processes that crash, freeze, fork, are told to stop, or share one file: each message still takes effect once."""

import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.faults.oracle import found_in, lanes_owned, left_by
from tests.support.bad_programs import COUNT, TABLES
from tests.support.databases import Database
from tests.support.fork_server import ForkServer

PROGRAMS = "tests.support.bad_programs:"
ORDERS = "tests.faults.application:orders"

pytestmark = pytest.mark.faults


@pytest.fixture
def tasks(database: Database) -> Database:
    database.make(*TABLES)
    return database


def done(database: Database) -> list[int]:
    return [row[0] for row in database.rows("number", "done")]


def dead(database: Database) -> list[tuple[object, ...]]:
    return found_in(database, "dead_letter", "message_id, reason, attempts", "WHERE status = 'open'")


ENDS = {
    "aborting": -signal.SIGABRT,
    "aborting-alone": -signal.SIGABRT,
    "aborting-in-a-thread": -signal.SIGABRT,
    "killed": -signal.SIGKILL,
    "segfaulting": -signal.SIGSEGV,
}
DIED = "its worker died 3 times while it was in flight, or was blocked past its leases; the last time it ran alone"


@pytest.mark.parametrize("way", ENDS)
@pytest.mark.share(3)
def test_a_message_that_kills_its_process_is_dead_lettered_and_its_neighbours_are_done(
    way: str, fork_server: ForkServer, tasks: Database
) -> None:
    assert fork_server.run(PROGRAMS + "publish_tasks", tasks.url, 0, way).code == 0

    ends = [fork_server.run(PROGRAMS + "work", tasks.url, incarnation, way) for incarnation in range(4)]

    assert [end.code for end in ends] == [ENDS[way]] * 3 + [0], ends[-1].log
    assert done(tasks) == [number for number in range(COUNT) if number != 5]
    assert dead(tasks) == [("task-5", DIED, 0)]


def test_of_several_killers_each_is_found_in_its_own_deaths(fork_server: ForkServer, tasks: Database) -> None:
    """Both were in flight at the first two deaths; each then dies alone once."""
    assert fork_server.run(PROGRAMS + "publish_tasks", tasks.url, 0, "exiting").code == 0

    ends = [fork_server.run(PROGRAMS + "work", tasks.url, incarnation, "exiting") for incarnation in range(5)]

    assert [end.code for end in ends] == [7] * 4 + [0], ends[-1].log
    assert done(tasks) == [number for number in range(COUNT) if number not in (5, 7)]
    assert dead(tasks) == [("task-5", DIED, 0), ("task-7", DIED, 0)]


FROZEN = [
    "append.addressed",
    "append.after_commit",
    "fetch.fetched",
    "fetch.loaded",
    "handle.entered",
    "handle.returned",
    "commit.gathered",
    "commit.after_commit",
    "release.before",
]


@pytest.mark.parametrize("name", FROZEN)
@pytest.mark.share(3)
def test_a_worker_frozen_past_its_lease_commits_nothing_stale(
    name: str, fork_server: ForkServer, orders: Database, undisturbed: dict[str, Any]
) -> None:
    program = ORDERS
    if not name.startswith("append"):  # nobody publishes meanwhile: frozen in that, it would hold the file
        program = "tests.faults.application:see_through"
        assert fork_server.run("tests.faults.application:publish_only", orders.url, 0).code == 0
    zombie = fork_server.start(program, orders.url, 0, failpoints=f"{name}=stop")
    assert fork_server.wait_until_stopped(zombie)
    assert fork_server.run(ORDERS, orders.url, 1).code == 0
    assert left_by(orders) == undisturbed

    os.kill(zombie, signal.SIGCONT)

    assert fork_server.wait(zombie).code == 0
    assert left_by(orders) == undisturbed


def test_native_code_that_keeps_the_interpreter_past_its_lease_takes_effect_once(
    fork_server: ForkServer, tasks: Database, tmp_path: Path
) -> None:
    for name in ("begun", "go-on"):
        os.mkfifo(tmp_path / name)
    assert fork_server.run(PROGRAMS + "publish_tasks", tasks.url, 0, "holding", 1).code == 0
    holding = fork_server.start(PROGRAMS + "hold", tasks.url, 0, str(tmp_path))
    (tmp_path / "begun").read_bytes()

    other = fork_server.run(PROGRAMS + "work", tasks.url, 1, "holding")
    meanwhile = done(tasks)
    (tmp_path / "go-on").write_bytes(b"x")

    assert (other.code, fork_server.wait(holding).code) == (0, 0)
    assert (meanwhile, done(tasks), dead(tasks)) == ([0], [0], [])


@pytest.mark.parametrize("name", ["append.before_commit", "commit.saved", "commit.before_commit", "unit.begun"])
@pytest.mark.share(2)
def test_a_worker_frozen_in_a_transaction_holds_others_up_and_then_goes_on(
    name: str, fork_server: ForkServer, orders: Database, undisturbed: dict[str, Any]
) -> None:
    frozen = fork_server.start(ORDERS, orders.url, 0, failpoints=f"{name}=stop")
    assert fork_server.wait_until_stopped(frozen)
    other = fork_server.start(ORDERS, orders.url, 0)  # they live at the same time, so they have the same clock

    os.kill(frozen, signal.SIGCONT)

    assert (fork_server.wait(frozen).code, fork_server.wait(other).code) == (0, 0)
    assert left_by(orders) == undisturbed


@pytest.mark.parametrize("at", [0, 3, 7, 11])
def test_a_worker_that_stops_leaves_nothing_in_flight_and_counts_nothing(
    at: int, fork_server: ForkServer, tasks: Database
) -> None:
    assert fork_server.run(PROGRAMS + "publish_tasks", tasks.url, 0, "terminated").code == 0

    end = fork_server.run(PROGRAMS + "work_until_terminated", tasks.url, 0, at)

    assert end.code == 0, end.log
    assert lanes_owned(tasks) == 0
    assert tasks.of_bus("envelope", "*", "WHERE attempt > 0 OR deaths > 0") == []
    assert at in done(tasks)
    last = fork_server.run(PROGRAMS + "work", tasks.url, 0, "terminated")
    assert (last.code, "worker that died" in last.log) == (0, False)
    assert done(tasks) == list(range(COUNT))
    assert {row[0] for row in tasks.rows("attempt", "done")} == {1}


def test_a_forked_child_cannot_use_the_bus_of_its_parent_and_does_not_harm_it(
    fork_server: ForkServer, tasks: Database
) -> None:
    assert fork_server.run(PROGRAMS + "publish_tasks", tasks.url, 0, "forking").code == 0

    end = fork_server.run(PROGRAMS + "work_and_fork", tasks.url, 0)

    assert end.code == 0, end.log
    assert end.log.count("after the fork") == 3
    assert done(tasks) == list(range(COUNT))
    assert dead(tasks) == []


MOVES = 120
LEASE = 300


def start_workers(fork_server: ForkServer, tasks: Database, number: int, failpoints: str = "") -> list[int]:
    return [
        fork_server.start(PROGRAMS + "work_among_others", tasks.url, 2 * MOVES, LEASE, failpoints=failpoints)
        for _ in range(number)
    ]


def start_publishers(fork_server: ForkServer, tasks: Database, number: int) -> list[int]:
    assert fork_server.run(PROGRAMS + "publish_tasks", tasks.url, 0, "many", 0).code == 0
    return [fork_server.start(PROGRAMS + "publish_moves", tasks.url, publisher, MOVES) for publisher in range(number)]


def check_moves(tasks: Database) -> None:
    rows = Counter(tasks.rows("subscription, message_id", "done"))
    assert set(rows.values()) == {1}
    assert len(rows) == 2 * MOVES
    for key, version, state in found_in(tasks, "instance", "i.key, i.version, i.state", "AS i"):
        moves = json.loads(state)["moves"]
        assert len(moves) == version
        assert sorted(moves) == sorted(f"move-{n}" for n in range(MOVES) if f"account-{n % 5}" == key)
    assert tasks.of_bus("envelope") == []
    assert dead(tasks) == []


def test_processes_that_publish_the_same_ids_at_once_are_believed_once(
    fork_server: ForkServer, tasks: Database
) -> None:
    publishers = start_publishers(fork_server, tasks, 4)
    assert [fork_server.wait(child).code for child in publishers] == [0] * 4

    (worker,) = start_workers(fork_server, tasks, 1)

    assert fork_server.wait(worker).code == 0
    check_moves(tasks)


def test_workers_that_start_while_others_run_take_no_work_that_lives(fork_server: ForkServer, tasks: Database) -> None:
    workers = start_workers(fork_server, tasks, 3)
    publishers = start_publishers(fork_server, tasks, 2)
    workers += start_workers(fork_server, tasks, 3)

    ends = [fork_server.wait(child) for child in (*publishers, *workers)]

    assert [end.code for end in ends] == [0] * 8, ends[-1].log
    check_moves(tasks)
    assert lanes_owned(tasks) == 0


def test_workers_killed_under_load_by_the_dozen(fork_server: ForkServer, tasks: Database) -> None:
    publishers = start_publishers(fork_server, tasks, 2)
    kills = ["handle.entered", "commit.saved", "commit.before_commit", "commit.after_commit", "unit.before_commit"]
    killed = 0
    for number in range(12):
        order = f"{kills[number % len(kills)]}=kill9@{number % 4 + 1}"
        victims = start_workers(fork_server, tasks, 2, order)
        killed += sum(fork_server.wait(child).killed for child in victims)

    last = start_workers(fork_server, tasks, 2)

    assert [fork_server.wait(child).code for child in (*publishers, *last)] == [0] * 4
    assert killed >= 12, "too few were killed at work to prove anything"
    check_moves(tasks)
