"""A process killed while it mends: the change and its entry in the audit log are both there, or neither is."""

from itertools import product

import pytest
from tests.faults.mending import ACTS, MENDED, MENDED_AGAIN, position_for, stored, told, verbs
from tests.support.databases import Database
from tests.support.fork_server import ForkServer
from tests.support.sampling import some

from sagabus.failpoint import NAMES

PROGRAMS = "tests.faults.mending:"
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
