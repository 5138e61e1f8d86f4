"""Half done, or done and then reported as failed: the rows decide, and repeating is always right."""

from datetime import timedelta
from pathlib import Path

import pytest
from tests.faults.oracle import prepare, query
from tests.faults.tasks import DONE, TABLES, Task, dead, emptied, make_bus, numbers

from sagabus import (
    Connection,
    Context,
    Settings,
    failpoint,
    handler,
)
from sagabus.errors import (
    StoreFull,
    StoreUnavailable,
)

pytestmark = pytest.mark.faults


@pytest.fixture
def store(tmp_path: Path) -> Path:
    prepare(tmp_path / "bus.db", TABLES)
    return tmp_path / "bus.db"


@pytest.mark.parametrize("name", ["append.inbox_written", "append.envelopes_written", "append.before_commit"])
async def test_an_id_is_remembered_with_its_message_or_not_at_all(name: str, store: Path) -> None:
    """A publish that fails behind the inbox row leaves no row that would make its repetition a duplicate."""

    @handler("reader")
    def reader(message: Task, ctx: Context) -> None:
        ctx.execute(DONE, (message.number, ""))

    async with make_bus(store, reader) as bus:
        failpoint.arm(f"{name}=raise:StoreFull")
        with pytest.raises(StoreFull):
            await bus.publish(Task(number=1), message_id="t1")
        assert query(store, "SELECT * FROM sagabus_inbox") == []

        receipt = await bus.publish(Task(number=1), message_id="t1")
        await emptied(bus, store)

    assert receipt.status == "accepted"
    assert numbers(store) == [1]


@pytest.mark.parametrize("name", ["append.after_commit", "append.answered"])
async def test_a_publish_that_failed_after_its_commit_is_a_duplicate_when_repeated(name: str, store: Path) -> None:
    @handler("reader")
    def reader(message: Task, ctx: Context) -> None:
        ctx.execute(DONE, (message.number, ""))

    async with make_bus(store, reader) as bus:
        failpoint.arm(f"{name}=raise:StoreUnavailable")
        if name == "append.after_commit":
            with pytest.raises(StoreUnavailable):
                await bus.publish(Task(number=1), message_id="t1")
        else:
            await bus.publish(Task(number=1), message_id="t1")

        receipt = await bus.publish(Task(number=1), message_id="t1")
        await emptied(bus, store)

    assert receipt.status == "duplicate"
    assert numbers(store) == [1]


@pytest.mark.parametrize("name", ["commit.after_commit", "commit.settled", "unit.after_commit"])
async def test_a_commit_reported_as_failed_is_decided_by_the_rows(name: str, store: Path) -> None:
    """Done, then reported as failed: the runs are repeated, find their messages gone, and leave nothing."""

    @handler("buffered", key="number")
    def buffered(message: Task, ctx: Context) -> None:
        ctx.execute(DONE, (message.number, "buffered"))

    @handler("open", key="number")
    def with_connection(message: Task, ctx: Context, connection: Connection) -> None:
        connection.execute(DONE, (message.number, "open"))

    settings = Settings(lease=timedelta(milliseconds=300))
    async with make_bus(store, buffered, with_connection, settings=settings) as bus:
        failpoint.arm(f"{name}=raise:StoreUnavailable")
        await bus.publish_many([(Task(number=n), f"t{n}") for n in range(5)])
        await emptied(bus, store)
        await bus.publish(Task(number=5), message_id="t5")
        await bus.idle(20)

    assert sorted(query(store, "SELECT number, note FROM done")) == sorted(
        (number, note) for number in range(6) for note in ("buffered", "open")
    )
    assert dead(store) == {}
