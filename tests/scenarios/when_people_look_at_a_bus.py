"""`bus.inspect`: what the records say, on every store, while a bus works."""

from datetime import UTC, datetime, timedelta

import pytest

from sagabus import Bus, Context, UnknownName, event, handler
from sagabus.testing import Harness


@event("rooms.booked")
class Booked:
    room: str


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
