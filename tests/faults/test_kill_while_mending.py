"""A process killed while it mends: the change and its entry in the audit log are both there, or neither is."""

import json
from itertools import product

import pytest
from tests.faults.mending import ACTS, MENDED, MENDED_AGAIN, position_for, stored, told, verbs
from tests.faults.oracle import found_in
from tests.support.databases import Database
from tests.support.fork_server import ForkServer
from tests.support.sampling import some

from sagabus.failpoint import NAMES

PROGRAMS = "tests.faults.mending:"
DISCARD = [name for name in NAMES if name.startswith("discard.")]
ERASE = [name for name in NAMES if name.startswith("erase.")]
MEND = [name for name in NAMES if name.startswith("mend.")]

pytestmark = pytest.mark.faults


@pytest.fixture
def filled(database: Database, fork_server: ForkServer) -> Database:
    end = fork_server.run(PROGRAMS + "fill", database.url, 0)
    assert end.code == 0, end.log
    return database


@pytest.mark.parametrize(
    ("kind", "act", "name"), some(list(product(ACTS, MEND)), sqlite=1, postgres=2, mysql=2), indirect=["kind"]
)
@pytest.mark.share(3)
def test_killed_while_mending_both_the_change_and_its_entry_are_there_or_neither(
    act: str, name: str, fork_server: ForkServer, filled: Database
) -> None:
    program, position = PROGRAMS + "mend", position_for(filled, act)
    if act == "subscription.resume":
        assert fork_server.run(program, filled.url, 1, "subscription.pause", position).code == 0
    before, entries = stored(filled), verbs(filled)
    is_made = name == "mend.after_commit"

    assert fork_server.run(program, filled.url, 1, act, position, failpoints=f"{name}=kill9").killed

    assert verbs(filled) == sorted([*entries, act] if is_made else entries)
    assert told(filled) == MENDED[act] if is_made else stored(filled) == before

    end = fork_server.run(program, filled.url, 2, act, position)

    assert end.code == 0, end.log
    assert ("refused" in end.log) is (is_made and act != MENDED_AGAIN), end.log
    assert told(filled) == MENDED[act]
    assert verbs(filled).count(act) == (2 if is_made and act == MENDED_AGAIN else 1)


@pytest.mark.parametrize("name", DISCARD)
def test_killed_while_discarding_the_letter_is_closed_with_its_entry_or_open(
    name: str, fork_server: ForkServer, database: Database
) -> None:
    assert fork_server.run(PROGRAMS + "bury", database.url, 0).code == 0
    open_and_parked = ["open"], [("hopeless",)], []
    closed = ["discarded"], [], ["dead-letter.discard"]
    assert letters(database) == open_and_parked

    assert fork_server.run(PROGRAMS + "discard", database.url, 1, failpoints=f"{name}=kill9").killed

    is_done = name == "discard.after_commit"
    assert letters(database) == (closed if is_done else open_and_parked)

    end = fork_server.run(PROGRAMS + "discard", database.url, 2)

    assert end.code == 0, end.log
    assert f"result: {'was already done' if is_done else 'done'}" in end.log
    assert letters(database) == closed


@pytest.mark.parametrize("name", ERASE)
def test_killed_while_erasing_each_step_is_done_with_its_entry_or_not_and_the_next_call_goes_on(
    name: str, fork_server: ForkServer, filled: Database
) -> None:
    before = stored(filled)
    others = [("faults.fails", 1, 5), ("faults.mended", 0, 1)]

    assert fork_server.run(PROGRAMS + "erase", filled.url, 1, failpoints=f"{name}=kill9").killed

    is_done = name == "erase.after_commit"
    assert verbs(filled) == (["subject.erase"] if is_done else [])
    assert told(filled)["waits"] == others if is_done else stored(filled) == before
    assert found_in(filled, "instance", "version") == [(1,)]

    assert fork_server.run(PROGRAMS + "erase", filled.url, 2).code == 0

    assert told(filled) == {"saga": [], "history": [], "waits": others, "paused": []}
    assert verbs(filled) == ["subject.erase"] * (2 if is_done else 1)
    said = [json.loads(text)["erased"] for (text,) in found_in(filled, "audit", "became")]
    timer, rest = {"messages and timers": 1}, {"saga instances": 1, "steps of histories": 1}
    assert sorted(said, key=len) == ([timer, rest] if is_done else [{**timer, **rest}])


def letters(database: Database) -> tuple[list[object], list[tuple[object, ...]], list[str]]:
    """The status of each letter, the parked keys, and the audit log."""
    found = [status for (status,) in found_in(database, "dead_letter", "status")]
    return found, found_in(database, "held_key", "channel"), verbs(database)
