"""Half done, or done and then reported as failed: the rows decide, and repeating is always right."""

from datetime import timedelta

import pytest
from tests.faults.tasks import DONE, TABLES, Task, dead, emptied, make_bus, numbers
from tests.support.databases import Database

from sagabus import (
    AsyncConnection,
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
def place(database: Database) -> Database:
    database.make(*TABLES)
    return database


@pytest.mark.parametrize(
    ("name", "copies"),
    [
        ("append.inbox_written", 2),
        ("append.envelopes_written", 2),
        ("append.before_commit", 2),
        ("append.before_commit", 1),
    ],
)
async def test_an_id_is_remembered_with_its_message_or_not_at_all(name: str, copies: int, place: Database) -> None:
    """A publish that fails behind the inbox row leaves no row that would make its repetition a duplicate. An id twice
    in one call takes the long way on PostgreSQL, where a call is one statement otherwise.
    """
    messages = [(Task(number=1), "t1")] * copies

    @handler("reader")
    def reader(message: Task, ctx: Context) -> None:
        ctx.execute(place.sql(DONE), (message.number, ""))

    async with make_bus(place, reader) as bus:
        failpoint.arm(f"{name}=raise:StoreFull")
        with pytest.raises(StoreFull):
            await bus.publish_many(messages)
        assert place.of_bus("inbox") == []

        receipts = await bus.publish_many(messages)
        await emptied(bus, place)

    assert [receipt.status for receipt in receipts] == ["accepted", "duplicate"][:copies]
    assert numbers(place) == [1]


@pytest.mark.parametrize("name", ["append.after_commit", "append.answered"])
async def test_a_publish_that_failed_after_its_commit_is_a_duplicate_when_repeated(name: str, place: Database) -> None:
    @handler("reader")
    def reader(message: Task, ctx: Context) -> None:
        ctx.execute(place.sql(DONE), (message.number, ""))

    async with make_bus(place, reader) as bus:
        failpoint.arm(f"{name}=raise:StoreUnavailable")
        if name == "append.after_commit":
            with pytest.raises(StoreUnavailable):
                await bus.publish(Task(number=1), message_id="t1")
        else:
            await bus.publish(Task(number=1), message_id="t1")

        receipt = await bus.publish(Task(number=1), message_id="t1")
        await emptied(bus, place)

    assert receipt.status == "duplicate"
    assert numbers(place) == [1]


@pytest.mark.parametrize("name", ["commit.after_commit", "commit.settled", "unit.after_commit"])
async def test_a_commit_reported_as_failed_is_decided_by_the_rows(name: str, place: Database) -> None:
    """Done, then reported as failed: the runs are repeated, find their messages gone, and leave nothing."""

    @handler("buffered", key="number")
    def buffered(message: Task, ctx: Context) -> None:
        ctx.execute(place.sql(DONE), (message.number, "buffered"))

    @handler("open", key="number")
    async def with_connection(message: Task, ctx: Context, connection: AsyncConnection) -> None:
        await place.execute(connection, DONE, (message.number, "open"))

    settings = Settings(lease=timedelta(milliseconds=300))
    async with make_bus(place, buffered, with_connection, settings=settings) as bus:
        failpoint.arm(f"{name}=raise:StoreUnavailable")
        await bus.publish_many([(Task(number=n), f"t{n}") for n in range(5)])
        await emptied(bus, place)
        await bus.publish(Task(number=5), message_id="t5")
        await bus.idle(20)

    assert place.rows("number, note", "done") == sorted(
        (number, note) for number in range(6) for note in ("buffered", "open")
    )
    assert dead(place) == {}
