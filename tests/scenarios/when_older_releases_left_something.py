"""What stored rows name and this release does not know is reported at the start, with counts, and blocks nothing."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest
from tests.scenarios.conftest import MakeHarness

from sagabus import Bus, Context, Saga, event, handler, handles, starts, timer
from sagabus.bus.leftovers import Leftover, report
from sagabus.codec.states import StateCodec


@event("left.begun")
class Begun:
    key: str


@event("left.gone")
class Gone:
    key: str


@event("left.kept")
class Kept:
    key: str


class Before(Saga, name="left", key="key"):
    key: str
    old_field: int = 1
    status: Literal["new", "retired"] = "new"

    @starts
    def begun(self, message: Begun, ctx: Context) -> None:
        self.status = "retired" if self.key == "R" else "new"
        ctx.set_timer("removed", after=timedelta(hours=1))

    @handles
    def gone(self, message: Gone) -> None: ...

    @timer("removed")
    def removed(self, ctx: Context) -> None: ...


class After(Saga, name="left", key="key"):
    key: str
    needed: str
    status: Literal["new"] = "new"

    @starts
    def begun(self, message: Begun) -> None: ...

    @classmethod
    def initial(cls, message: Begun) -> "After":
        return cls(key=message.key, needed="")


class Lenient(Saga, name="left", key="key"):
    key: str
    status: Literal["new"] = "new"

    @starts
    def begun(self, message: Begun) -> None: ...

    @handles
    def kept(self, message: Kept) -> None: ...


@handler("notes")
def note(message: Gone | Kept) -> None: ...


@handler("notes")
def note_less(message: Kept) -> None: ...


async def leave(make: MakeHarness) -> Bus:
    """A store with two instances, a timer each, and two messages that nothing has handled."""
    async with make(Before) as harness:
        for key in ("A", "R"):
            await harness.publish(Begun(key=key))
    store = harness.bus.store.store  # type: ignore[attr-defined]  # behind the harness's own
    bus = Bus(store, Before, note, clock=harness.clock)
    await bus.open(worker=False)
    await bus.publish_many([Gone(key="A"), Gone(key="B")])
    return bus


async def found_by(bus: Bus, *definitions: object) -> set[Leftover]:
    release = Bus(bus.store, *definitions)
    return set(await report(bus.store, release.definitions, StateCodec()))


async def test_unknown_messages_timers_statuses_and_fields_are_counted(harness: MakeHarness) -> None:
    bus = await leave(harness)

    found = await found_by(bus, Lenient, note_less)
    await bus.close()

    assert found == {
        Leftover("left", "message", "left.gone", 2),
        Leftover("left", "timer", "removed", 2),
        Leftover("left", "status", "retired", 1),
        Leftover("left", "field", "old_field", 1),
        Leftover("notes", "message", "left.gone", 2),
    }


async def test_a_state_that_does_not_read_is_reported_with_the_reason(harness: MakeHarness) -> None:
    bus = await leave(harness)

    found = await found_by(bus, After)
    await bus.close()

    (unread,) = (each for each in found if each.kind == "state")
    assert unread.count == 1
    assert "needed" in unread.name


async def test_the_same_release_leaves_nothing(harness: MakeHarness) -> None:
    bus = await leave(harness)

    assert await found_by(bus, Before, note) == set()
    await bus.close()


async def test_what_is_left_blocks_nothing_but_itself(harness: MakeHarness) -> None:
    async with harness(Before) as old:
        for key in ("A", "R"):
            await old.publish(Begun(key=key))
    store = old.bus.store.store  # type: ignore[attr-defined]  # behind the harness's own

    async with Bus(store, Lenient) as new:
        await new.publish_many([Kept(key="R"), Kept(key="A"), Begun(key="C")])
        await new.idle()
        waiting = [each.partition_key for each in await store.inspect.envelopes("left") if each.timer is None]
        records = {record.key: record for record in await new.sagas.list("left")}

    assert waiting == ["R"]
    assert {key: record.version for key, record in records.items()} == {"A": 2, "C": 1, "R": 1}
    assert {key for key, record in records.items() if record.error is not None} == {"R"}
    assert records["R"].state["status"] == "retired"


@pytest.mark.parametrize("column", ["state", "timers"])
async def test_a_damaged_row_stops_no_worker_at_its_start(tmp_path: Path, column: str) -> None:
    url = f"sqlite:///{tmp_path / 'damaged.db'}"
    async with Bus(url, Before) as bus:
        await bus.publish(Begun(key="A"))
        await bus.idle()
    with closing(sqlite3.connect(tmp_path / "damaged.db")) as database, database:
        database.execute(f"UPDATE sagabus_instance SET shape = 'x', {column} = '{{damaged'")

    async with Bus(url, Before) as bus:
        await bus.publish(Begun(key="B"))
        await bus.idle()
        found = await bus.sagas.get(Before, "B")

    assert found is not None


async def test_a_damaged_state_is_listed_as_its_text_with_the_error(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'damaged.db'}"
    async with Bus(url, Before) as bus:
        await bus.publish_many([Begun(key="A"), Begun(key="B")])
        await bus.idle()
        with closing(sqlite3.connect(tmp_path / "damaged.db")) as database, database:
            database.execute("UPDATE sagabus_instance SET state = '{damaged' WHERE key = 'A'")
        damaged, sound = await bus.sagas.list(Before)

    assert (damaged.state, damaged.error is None) == ("{damaged", False)
    assert (sound.state.key, sound.error) == ("B", None)


async def test_more_instances_than_one_page_are_counted(harness: MakeHarness) -> None:
    async with harness(Before) as old:
        await old.bus.publish_many([Begun(key=f"K{number}") for number in range(120)])
        await old.idle()
        found = await found_by(Bus(old.bus.store, Before), Lenient)

    assert Leftover("left", "field", "old_field", 120) in found
