"""De-duplication by message id, where messages enter."""

from datetime import timedelta

import pytest
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Noted, Tally

from sagabus import Deduplication, Duplicate, DuplicateMessage, InvalidMessageId, Settings, handler
from sagabus.clock import moment


@handler("listener")
def listen(message: Noted) -> None: ...


async def test_the_receipt_says_duplicate_and_nothing_happens_twice(harness: MakeHarness) -> None:
    async with harness(Tally) as bus:
        first = await bus.publish(Noted(key="A", number=1), message_id="m1")
        second = await bus.publish(Noted(key="A", number=1), message_id="m1")

        state = await bus.saga(Tally, "A")
        assert (first.status, first.accepted) == ("accepted", True)
        assert (second.status, second.accepted) == ("duplicate", False)
        assert state == Tally(key="A", numbers=[1])


async def test_two_subscriptions_each_take_one_message_id_once(harness: MakeHarness) -> None:
    async with harness(Tally, listen) as bus:
        receipt = await bus.publish(Noted(key="A", number=1), message_id="m1")
        again = await bus.publish(Noted(key="A", number=1), message_id="m1")

        assert receipt.subscriptions == {"tally": "accepted", "listener": "accepted"}
        assert again.subscriptions == {"tally": "duplicate", "listener": "duplicate"}
        assert bus.bus.statistics["tally", "completed"] == bus.bus.statistics["listener", "completed"] == 1


async def test_a_subscription_added_later_takes_the_copy_that_the_first_drops(harness: MakeHarness) -> None:
    async with harness(Tally) as bus:
        await bus.publish(Noted(key="A", number=1), message_id="m1")
        await bus.bus.close()

        async with harness(Tally, listen, clock=bus.clock, store=lambda _: bus.bus.store.store) as later:
            receipt = await later.publish(Noted(key="A", number=1), message_id="m1")

            assert receipt.subscriptions == {"tally": "duplicate", "listener": "accepted"}
            assert receipt.accepted


async def test_other_content_under_the_same_id_is_a_collision_and_kept(harness: MakeHarness) -> None:
    async with harness(Tally) as bus:
        await bus.publish(Noted(key="A", number=1), message_id="m1")
        receipt = await bus.publish(Noted(key="A", number=2), message_id="m1")

        (letter,) = await bus.dead_letters()
        assert receipt.status == "collision"
        assert letter.reason.startswith("id collision")
        assert await bus.saga(Tally, "A") == Tally(key="A", numbers=[1])


async def test_copies_in_one_batch_count_once(harness: MakeHarness) -> None:
    async with harness(Tally) as bus:
        message = Noted(key="A", number=1)
        receipts = await bus.bus.publish_many([(message, "m1"), (message, "m1"), (Noted(key="A", number=2), "m2")])
        await bus.idle()

        assert [receipt.status for receipt in receipts] == ["accepted", "duplicate", "accepted"]
        assert await bus.saga(Tally, "A") == Tally(key="A", numbers=[1, 2])


async def test_the_copy_of_a_message_that_failed_waits_with_it(harness: MakeHarness) -> None:
    async with harness(Tally) as bus:
        bus.fail(Tally)
        await bus.publish(Noted(key="A", number=1), message_id="m1")
        copy = await bus.publish(Noted(key="A", number=1), message_id="m1")
        await bus.advance(timedelta(seconds=1))

        assert copy.status == "duplicate"
        assert await bus.saga(Tally, "A") == Tally(key="A", numbers=[1])


@pytest.mark.parametrize("bad", ["", "  ", "x" * 201, "a\nb"])
async def test_ids_that_cannot_be_are_refused(harness: MakeHarness, bad: str) -> None:
    async with harness(Tally) as bus:
        with pytest.raises(InvalidMessageId):
            await bus.publish(Noted(key="A"), message_id=bad)


async def test_raise_tells_the_publisher(harness: MakeHarness) -> None:
    settings = Settings(deduplication={Noted: Deduplication(on_duplicate="raise")})
    async with harness(Tally, settings=settings) as bus:
        await bus.publish(Noted(key="A"), message_id="m1")

        with pytest.raises(DuplicateMessage, match="m1"):
            await bus.publish(Noted(key="A"), message_id="m1")


async def test_a_callback_is_called_and_may_fail_without_harm(harness: MakeHarness) -> None:
    told: list[Duplicate] = []

    def tell(duplicate: Duplicate) -> None:
        told.append(duplicate)
        raise ValueError("callbacks fail too")

    @handler("told", deduplication=Deduplication(on_duplicate=tell))
    def take(message: Noted) -> None: ...

    async with harness(take) as bus:
        await bus.publish(Noted(key="A"), message_id="m1")
        receipt = await bus.publish(Noted(key="A"), message_id="m1")

        assert receipt.status == "duplicate"
        assert told == [Duplicate("told", "shop.noted", "m1")]


async def test_an_excluded_type_is_taken_as_often_as_it_comes(harness: MakeHarness) -> None:
    async with harness(Tally, settings=Settings(deduplication={Noted: None})) as bus:
        for _ in range(3):
            await bus.publish(Noted(key="A", number=1), message_id="m1")

        assert await bus.saga(Tally, "A") == Tally(key="A", numbers=[1, 1, 1])


async def test_a_copy_from_before_the_horizon_is_quarantined(harness: MakeHarness) -> None:
    async with harness(Tally) as bus:
        sent_at = moment(bus.clock.now())
        await bus.publish(Noted(key="A", number=1), message_id="m1", sent_at=sent_at)
        await bus.advance(timedelta(days=8))
        await bus.bus.purge()

        receipt = await bus.publish(Noted(key="A", number=1), message_id="m1", sent_at=sent_at)

        (letter,) = await bus.dead_letters()
        assert receipt.status == "too old"
        assert letter.reason.startswith("too old")
        assert await bus.saga(Tally, "A") == Tally(key="A", numbers=[1])
