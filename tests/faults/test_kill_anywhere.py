"""A process killed at a named stop of a message's way: the next goes on; the ledger is that of an undisturbed run.

On servers the killed one's connections end with it, and the server undoes what was open.
"""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from tests.faults.application import prepare
from tests.faults.conftest import Undisturbed
from tests.faults.oracle import lanes_owned, left_by
from tests.support.databases import Database, fresh_database
from tests.support.fork_server import ForkServer
from tests.support.sampling import some

from sagabus.failpoint import NAMES

ORDERS = "tests.faults.application:orders"
UNRECORDED = "tests.faults.application:orders_unrecorded"

AFTER_A_DEATH = "handle.suspect_counted"
"""Passed only by a worker that comes after one that died."""
OTHER_PATHS = ("migrate", "purge", "replay", "discard", "mend", "divide", "erase")
"""Where the bus's tables are made; test_kill_beside_the_way.py; test_kill_while_mending.py; …_dividing.py."""
MAKING_TABLES = [name for name in NAMES if name.startswith("migrate.")]
ON_THE_WAY = [name for name in NAMES if name != AFTER_A_DEATH and name.split(".")[0] not in OTHER_PATHS]
ON_THE_COMMIT_PATH = [name for name in NAMES if name.split(".")[0] in ("handle", "commit", "unit")]
ON_THE_SHORT_WAY = [
    *("append.begun", "append.before_commit", "append.after_commit"),
    *("commit.begun", "commit.before_commit", "commit.after_commit", "commit.settled"),
]
LATER = (3, 11)
PAIRS = list(product(ON_THE_COMMIT_PATH, repeat=2))


def survive(
    fork_server: ForkServer, database: Database, *kills: str, surely: bool = True, program: str = ORDERS
) -> Any:
    """Let one process after the other die, each at its own failpoint; what the last one, undisturbed, leaves."""
    for incarnation, kill in enumerate(kills):
        end = fork_server.run(program, database.url, incarnation, failpoints=kill)
        assert end.killed or not (surely or end.code), f"not killed at {kill} but ended with {end.code}:\n{end.log}"
    end = fork_server.run(program, database.url, len(kills))
    assert end.code == 0, end.log
    assert lanes_owned(database) == 0
    return left_by(database)


@pytest.mark.faults
def test_an_undisturbed_run_leaves_the_same_in_every_database(undisturbed: Any, without_faults: Undisturbed) -> None:
    assert undisturbed == without_faults.on("sqlite")


@pytest.mark.faults
@pytest.mark.parametrize("name", MAKING_TABLES)
def test_killed_while_the_tables_are_made(
    name: str, kind: str, fork_server: ForkServer, tmp_path: Path, undisturbed: Any
) -> None:
    with fresh_database(kind, tmp_path) as untouched:
        prepare(untouched)

        assert survive(fork_server, untouched, f"{name}=kill9") == undisturbed


@pytest.mark.faults
@pytest.mark.parametrize("name", ON_THE_WAY)
@pytest.mark.share(2)
def test_killed_once(name: str, fork_server: ForkServer, orders: Database, undisturbed: Any) -> None:
    assert survive(fork_server, orders, f"{name}=kill9") == undisturbed


@pytest.mark.faults
@pytest.mark.parametrize(
    ("kind", "name", "count"),
    some(list(product(ON_THE_WAY, LATER)), sqlite=6, postgres=23, mysql=23),
    indirect=["kind"],
)
def test_killed_later(name: str, count: int, fork_server: ForkServer, orders: Database, undisturbed: Any) -> None:
    assert survive(fork_server, orders, f"{name}=kill9@{count}", surely=False) == undisturbed


@pytest.mark.faults
@pytest.mark.parametrize(("kind", "first", "second"), some(PAIRS, sqlite=15, postgres=83, mysql=83), indirect=["kind"])
def test_killed_again_while_recovering(
    first: str, second: str, fork_server: ForkServer, orders: Database, undisturbed: Any
) -> None:
    before = [] if first != AFTER_A_DEATH else ["handle.returned=kill9"]

    assert survive(fork_server, orders, *before, f"{first}=kill9", f"{second}=kill9", surely=False) == undisturbed


@pytest.mark.faults
@pytest.mark.parametrize(
    ("kind", "name", "count"), some(list(product(ON_THE_SHORT_WAY, range(1, 12))), postgres=14), indirect=["kind"]
)
def test_killed_on_the_short_way(
    name: str, count: int, kind: str, fork_server: ForkServer, orders: Database, without_faults: Undisturbed
) -> None:
    """PostgreSQL is given a whole flush as one statement, unless somebody's own statements are in it."""
    left = survive(fork_server, orders, f"{name}=kill9@{count}", surely=False, program=UNRECORDED)

    assert left == without_faults.on(kind, UNRECORDED)


@pytest.mark.faults
def test_killed_at_every_incarnation(fork_server: ForkServer, orders: Database, undisturbed: Any) -> None:
    kills = [f"{name}=kill9@2" for name in ON_THE_COMMIT_PATH]

    assert survive(fork_server, orders, *kills, surely=False) == undisturbed
