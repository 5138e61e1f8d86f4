"""Cancelled at every await: the rows decide, nothing is cut in half, and the ledger ends as if undisturbed."""

from pathlib import Path
from typing import Any

import pytest
from tests.faults.nursery import End, Nursery
from tests.faults.oracle import lanes_owned, left_by, prepare

CANCELLING = "tests.faults.cancelling:"
ORDERS = "tests.faults.application:orders"
MOST = 200

pytestmark = pytest.mark.faults


def awaits(end: End) -> int:
    assert end.code == 0, end.log
    return int(next(line.split()[1] for line in end.log.splitlines() if line.startswith("awaits")))


def sweep(
    nursery: Nursery, folder: Path, undisturbed: dict[str, Any], program: str, *arguments: object, one_in: int = 1
) -> int:
    """Count the awaits of a clean run, then cancel at each of them; every ledger must be that of an undisturbed run."""
    clean = folder / "clean.db"
    prepare(clean)
    count = awaits(nursery.run(program, clean, 0, *arguments, 0))
    for cancel_at in range(1, min(count, MOST) + 1, one_in):
        path = folder / f"{cancel_at}.db"
        prepare(path)
        end = nursery.run(program, path, 0, *arguments, cancel_at)
        assert end.code == 0, f"cancelled at await {cancel_at} of {count}:\n{end.log}"
        if "stalled" in end.log:
            end = nursery.run(ORDERS, path, 1)
            assert end.code == 0, f"after a cancellation at await {cancel_at} of {count}:\n{end.log}"
        assert left_by(path) == undisturbed, f"cancelled at await {cancel_at} of {count}:\n{end.log}"
        assert lanes_owned(path) == 0
    return count


@pytest.mark.parametrize(("call", "fewest"), [("publish", 1), ("publish_many", 1), ("transaction", 3), ("place", 6)])
def test_a_publisher_is_cancelled_at_every_await(
    call: str, fewest: int, nursery: Nursery, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    assert sweep(nursery, tmp_path, undisturbed, CANCELLING + "call_cancelled", call) >= fewest


@pytest.mark.parametrize("turns", range(12))
@pytest.mark.parametrize("call", ["publish", "transaction"])
def test_a_publisher_is_cancelled_at_any_stage_of_its_commit(
    call: str, turns: int, nursery: Nursery, store: Path, undisturbed: dict[str, Any]
) -> None:
    end = nursery.run(CANCELLING + "call_cancelled_by_time", store, 0, call, turns)

    assert end.code == 0, end.log
    assert left_by(store) == undisturbed


@pytest.mark.parametrize("name", ["Runners._run", "GroupCommit._work"])
@pytest.mark.parametrize("one_in", [5, pytest.param(1, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_a_handled_message_is_cancelled_at_every_await(
    name: str, one_in: int, nursery: Nursery, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    """Whoever runs it or commits it; the same process goes on and finishes, at the latest when it renews its leases."""
    assert sweep(nursery, tmp_path, undisturbed, CANCELLING + "task_cancelled", name, 20, one_in=one_in) > 10


@pytest.mark.parametrize("one_in", [25, pytest.param(1, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_the_intake_is_cancelled_at_every_await(
    one_in: int, nursery: Nursery, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    """Who cancels all tasks of an event loop means to end it: nothing more is fetched, and the next process goes on."""
    program = CANCELLING + "task_cancelled"

    assert sweep(nursery, tmp_path, undisturbed, program, "Worker._intake", 0.3, one_in=one_in) > 10


@pytest.mark.parametrize("working", [True, False])
def test_closing_is_cancelled_at_every_await(
    working: bool, nursery: Nursery, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    assert sweep(nursery, tmp_path, undisturbed, CANCELLING + "close_cancelled", working) >= 2
