"""A process killed at a named stop of a message's way: the next goes on; the ledger is that of an undisturbed run."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from tests.faults.nursery import Nursery
from tests.faults.oracle import lanes_owned, left_by

from sagabus.failpoint import NAMES

ORDERS = "tests.faults.application:orders"

AFTER_A_DEATH = "handle.suspect_counted"
"""Passed only by a worker that comes after one that died."""
OTHER_PATHS = ("purge", "replay", "divide")
"""See test_kill_beside_the_way.py."""
ON_THE_WAY = [name for name in NAMES if name != AFTER_A_DEATH and name.split(".")[0] not in OTHER_PATHS]
ON_THE_COMMIT_PATH = [name for name in NAMES if name.split(".")[0] in ("handle", "commit", "unit")]
LATER = (3, 11)
PAIRS = list(product(ON_THE_COMMIT_PATH, repeat=2))
ONE_IN = 6
"""Which share of the pairs is tried every time; the others are `slow`."""


def some(cases: list[Any], one_in: int) -> list[Any]:
    """All cases, of which one in so many is quick; spread so that every name is among them."""
    return [
        pytest.param(*case, id="-".join(map(str, case)), marks=[] if number % one_in == 0 else pytest.mark.slow)
        for number, case in enumerate(cases)
    ]


def survive(nursery: Nursery, store: Path, *kills: str, surely: bool = True) -> dict[str, Any]:
    """Let one process after the other die, each at its own failpoint; what the last one, undisturbed, leaves."""
    for incarnation, kill in enumerate(kills):
        end = nursery.run(ORDERS, store, incarnation, failpoints=kill)
        assert end.killed or not (surely or end.code), f"not killed at {kill} but ended with {end.code}:\n{end.log}"
    end = nursery.run(ORDERS, store, len(kills))
    assert end.code == 0, end.log
    assert lanes_owned(store) == 0
    return left_by(store)


@pytest.mark.faults
@pytest.mark.parametrize("name", ON_THE_WAY)
def test_killed_once(name: str, nursery: Nursery, store: Path, undisturbed: dict[str, Any]) -> None:
    assert survive(nursery, store, f"{name}=kill9") == undisturbed


@pytest.mark.faults
@pytest.mark.parametrize(("name", "count"), some(list(product(ON_THE_WAY, LATER)), 3))
def test_killed_later(name: str, count: int, nursery: Nursery, store: Path, undisturbed: dict[str, Any]) -> None:
    assert survive(nursery, store, f"{name}=kill9@{count}", surely=False) == undisturbed


@pytest.mark.faults
@pytest.mark.parametrize(("first", "second"), some(PAIRS, ONE_IN))
def test_killed_again_while_recovering(
    first: str, second: str, nursery: Nursery, store: Path, undisturbed: dict[str, Any]
) -> None:
    before = [] if first != AFTER_A_DEATH else ["handle.returned=kill9"]

    assert survive(nursery, store, *before, f"{first}=kill9", f"{second}=kill9", surely=False) == undisturbed


@pytest.mark.faults
def test_killed_at_every_incarnation(nursery: Nursery, store: Path, undisturbed: dict[str, Any]) -> None:
    kills = [f"{name}=kill9@2" for name in ON_THE_COMMIT_PATH]

    assert survive(nursery, store, *kills, surely=False) == undisturbed
