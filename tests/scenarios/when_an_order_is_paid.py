"""The example that the project shows first."""

from datetime import timedelta

from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import CapturePayment, OrderSaga, OrderSubmitted, PaymentCaptured, capture


async def test_saga_and_handler_bring_it_to_its_end(harness: MakeHarness) -> None:
    async with harness(OrderSaga, capture) as bus:
        receipt = await bus.publish(OrderSubmitted(order_id="A1", total=4200), message_id="checkout-A1")

        record = await bus.record(OrderSaga, "A1")
        assert receipt.accepted
        assert bus.sent == [CapturePayment(order_id="A1", amount=4200)]
        assert [message.order_id for message in bus.published.of(PaymentCaptured)] == ["A1"]
        assert record is not None
        assert (record.status, record.completed, record.version) == ("paid", True, 2)
        assert await bus.timers(OrderSaga, "A1") == {}


async def test_without_a_payment_its_timer_cancels_it(harness: MakeHarness) -> None:
    async with harness(OrderSaga) as bus:
        await bus.publish(OrderSubmitted(order_id="A1", total=4200))

        await bus.advance(timedelta(minutes=30) - timedelta(microseconds=1))
        before = await bus.record(OrderSaga, "A1")
        await bus.advance(timedelta(microseconds=1))
        after = await bus.record(OrderSaga, "A1")

        assert before is not None
        assert after is not None
        assert (before.status, before.completed) == ("awaiting_payment", False)
        assert (after.status, after.completed) == ("cancelled", True)


async def test_a_payment_after_the_timer_changes_nothing(harness: MakeHarness) -> None:
    async with harness(OrderSaga) as bus:
        await bus.publish(OrderSubmitted(order_id="A1", total=4200))
        await bus.advance(timedelta(minutes=30))

        await bus.publish(PaymentCaptured(order_id="A1"))

        state = await bus.saga(OrderSaga, "A1")
        assert state == OrderSaga(order_id="A1", status="cancelled")
        assert bus.bus.statistics["orders", "discarded"] == 1
        assert await bus.dead_letters() == []


async def test_every_delivery_repeated_it_still_happens_once(harness: MakeHarness) -> None:
    async with harness(OrderSaga, capture, duplicates=True) as bus:
        for number in range(20):
            await bus.publish(OrderSubmitted(order_id=f"A{number}", total=number), wait=False)
        await bus.idle()

        records = [await bus.record(OrderSaga, f"A{number}") for number in range(20)]
        assert [(record.status, record.version) for record in records if record] == [("paid", 2)] * 20
        assert len(bus.sent) == len(bus.published) == 20


async def test_the_outcome_is_the_same_when_the_worker_dies_on_the_way(harness: MakeHarness) -> None:
    async with harness(OrderSaga, capture) as bus:
        for number in range(20):
            await bus.publish(OrderSubmitted(order_id=f"A{number}", total=number), wait=False)

        await bus.crash()

        records = [await bus.record(OrderSaga, f"A{number}") for number in range(20)]
        assert [(record.status, record.version) for record in records if record] == [("paid", 2)] * 20
        assert len(bus.sent) == len(bus.published) == 20
