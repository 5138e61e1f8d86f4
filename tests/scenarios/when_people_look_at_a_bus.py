"""`bus.inspect`: what the records say, on every store, while a bus works."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.support.databases import Database

from sagabus import Bus, Context, Saga, UnknownName, event, handler, starts
from sagabus.stores.sql import reading
from sagabus.testing import Harness


@event("rooms.booked")
class Booked:
    room: str


class Stay(Saga, name="stays", key="room"):
    room: str
    status: str = "in"

    @starts
    def booked(self, message: Booked, ctx: Context) -> None:
        self.status = "suite" if self.room == "9" else "in"


@handler("cleaning", key="room")
async def clean(message: Booked, ctx: Context) -> None: ...


async def test_a_message_says_where_it_stands_and_why() -> None:
    bus = Bus("memory:", clean)
    await bus.open(worker=False)
    sent = await bus.publish(Booked(room="12"), headers={"by": "web"}, correlation_id="stay")

    (record,) = (await bus.inspect.messages("cleaning", key="12")).messages

    assert (record.message_id, record.kind, record.message_type) == (sent.message_id, "ready", "rooms.booked")
    assert (record.correlation_id, record.due_at, record.attempts) == ("stay", None, 0)
    assert record.headers["by"] == "web"
    await bus.close()


async def test_questions_that_cannot_be_meant_are_refused() -> None:
    async with Bus("memory:", clean) as bus:
        with pytest.raises(UnknownName, match="cleaning"):
            await bus.inspect.messages("claening")
        with pytest.raises(UnknownName, match="no kind of waiting messages"):
            await bus.inspect.messages(kind="late")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="no place where a page begins"):
            await bus.inspect.messages(after="12")
        with pytest.raises(ValueError, match="1 to 10,000 messages, not 0"):
            await bus.inspect.messages(limit=0)
        with pytest.raises(ValueError, match="since"):
            await bus.inspect.messages(since=datetime(2026, 1, 1))  # noqa: DTZ001
        assert (await bus.inspect.messages(since=datetime(2026, 1, 1, tzinfo=UTC))).messages == ()


async def test_the_status_has_ages_by_the_clock_of_the_store() -> None:
    async with Harness(clean) as harness:
        bus = harness.bus
        await bus.publish(Booked(room="12"), delay=timedelta(minutes=1))

        (cleaning,) = (await bus.inspect.status()).subscriptions

        assert (cleaning.scheduled, cleaning.ready, cleaning.oldest_age) == (1, 0, None)
        assert cleaning.waiting == 1


async def test_a_status_is_looked_for_among_so_many_instances(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Bus(database.url, Stay) as bus:
        await bus.publish_many([Booked(room=str(number)) for number in range(10)])
        await bus.idle()
        monkeypatch.setattr(reading, "SCANNED", 4)
        pages = [await bus.sagas.page(Stay, status="suite", after=after) for after in ("", "3", "7")]
        every = await bus.sagas.list(Stay, status="suite")
        first, place = await bus.sagas.page(Stay, limit=4)

    found = [([each.key for each in records], after) for records, after in pages]
    assert found == [([], "3"), ([], "7"), (["9"], None)]
    assert [each.key for each in every] == ["9"]
    assert ([each.key for each in first], place) == (["0", "1", "2", "3"], "3")
