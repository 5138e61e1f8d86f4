"""Cancelled at every await: the rows decide, nothing is cut in half, and the ledger ends as if undisturbed."""

from itertools import product
from typing import Any

import pytest
from tests.faults.application import prepare
from tests.faults.oracle import lanes_owned, left_by
from tests.support.databases import Database
from tests.support.fork_server import End, ForkServer
from tests.support.sampling import some, sweeps

CANCELLING = "tests.faults.cancelling:"
ORDERS = "tests.faults.application:orders"
MOST = 200

pytestmark = pytest.mark.faults


def awaits(end: End) -> int:
    assert end.code == 0, end.log
    return int(next(line.split()[1] for line in end.log.splitlines() if line.startswith("awaits")))


def sweep(
    fork_server: ForkServer,
    database: Database,
    undisturbed: dict[str, Any],
    program: str,
    *arguments: object,
    one_in: int = 1,
) -> int:
    """Count the awaits of a clean run, then cancel at each of them; every ledger must be that of an undisturbed run."""
    count = awaits(fork_server.run(program, database.url, 0, *arguments, 0))
    for cancel_at in range(1, min(count, MOST) + 1, one_in):
        database.clear()
        prepare(database)
        end = fork_server.run(program, database.url, 0, *arguments, cancel_at)
        assert end.code == 0, f"cancelled at await {cancel_at} of {count}:\n{end.log}"
        if "stalled" in end.log:
            end = fork_server.run(ORDERS, database.url, 1)
            assert end.code == 0, f"after a cancellation at await {cancel_at} of {count}:\n{end.log}"
        assert left_by(database) == undisturbed, f"cancelled at await {cancel_at} of {count}:\n{end.log}"
        assert lanes_owned(database) == 0
    return count


@pytest.mark.parametrize(("call", "fewest"), [("publish", 1), ("publish_many", 1), ("transaction", 3), ("place", 6)])
@pytest.mark.parametrize(("kind", "one_in"), sweeps(sqlite=2, postgres=9, mysql=9), indirect=["kind"])
def test_a_publisher_is_cancelled_at_every_await(
    call: str, fewest: int, one_in: int, fork_server: ForkServer, orders: Database, undisturbed: dict[str, Any]
) -> None:
    program = CANCELLING + "call_cancelled"

    assert sweep(fork_server, orders, undisturbed, program, call, one_in=one_in) >= fewest


@pytest.mark.parametrize(
    ("kind", "call", "turns"),
    some(list(product(["publish", "transaction"], range(12))), sqlite=2, postgres=11, mysql=11),
    indirect=["kind"],
)
def test_a_publisher_is_cancelled_at_any_stage_of_its_commit(
    call: str, turns: int, fork_server: ForkServer, orders: Database, undisturbed: dict[str, Any]
) -> None:
    end = fork_server.run(CANCELLING + "call_cancelled_by_time", orders.url, 0, call, turns)

    assert end.code == 0, end.log
    assert left_by(orders) == undisturbed


@pytest.mark.parametrize("name", ["RunnerPool._run", "GroupCommit._work"])
@pytest.mark.parametrize(("kind", "one_in"), sweeps(sqlite=10, postgres=37, mysql=37), indirect=["kind"])
def test_a_handled_message_is_cancelled_at_every_await(
    name: str, one_in: int, fork_server: ForkServer, orders: Database, undisturbed: dict[str, Any]
) -> None:
    """Whoever runs it or commits it; the same process goes on and finishes, at the latest when it renews its leases."""
    assert sweep(fork_server, orders, undisturbed, CANCELLING + "task_cancelled", name, 20, one_in=one_in) > 10


@pytest.mark.parametrize(("kind", "one_in"), sweeps(sqlite=25, postgres=25, mysql=25), indirect=["kind"])
def test_the_intake_is_cancelled_at_every_await(
    one_in: int, fork_server: ForkServer, orders: Database, undisturbed: dict[str, Any]
) -> None:
    """Who cancels all tasks of an event loop means to end it: nothing more is fetched, and the next process goes on."""
    program = CANCELLING + "task_cancelled"

    assert sweep(fork_server, orders, undisturbed, program, "Intake._work", 0.3, one_in=one_in) > 10


@pytest.mark.parametrize("working", [True, False])
def test_closing_is_cancelled_at_every_await(
    working: bool, fork_server: ForkServer, orders: Database, undisturbed: dict[str, Any]
) -> None:
    assert sweep(fork_server, orders, undisturbed, CANCELLING + "close_cancelled", working) >= (2 if working else 1)
