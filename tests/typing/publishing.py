"""Publishing from everywhere: what may be said with a message."""

from datetime import UTC, datetime, timedelta
from typing import assert_type

from sagabus import Bus, Context, Receipt, command, event, handler


@event("orders.submitted")
class OrderSubmitted:
    order_id: str


@command("payments.capture")
class CapturePayment:
    order_id: str


SUBMITTED = OrderSubmitted(order_id="A1")
CAPTURE = CapturePayment(order_id="A1")


async def from_outside(bus: Bus) -> None:
    receipt = await bus.publish(SUBMITTED, message_id="A1", headers={"tenant": "a"}, delay=timedelta(1))
    assert_type(receipt, Receipt)
    assert_type(await bus.send(CAPTURE, at=datetime.now(UTC), correlation_id="c"), Receipt)
    await bus.publish(SUBMITTED, mesage_id="A1")  # error: mypy[call-arg] pyright[reportCallIssue]
    await bus.publish(SUBMITTED, delay=5)  # error: mypy[arg-type] pyright[reportArgumentType]
    await bus.publish(SUBMITTED, headers={"n": 1})  # error: mypy[dict-item] pyright[reportArgumentType]


@handler("payments", timeout=timedelta(seconds=3))
async def capture(message: CapturePayment, ctx: Context) -> None:
    ctx.publish(SUBMITTED, message_id="A1", partition_key="A1")
    ctx.schedule(SUBMITTED, after=timedelta(hours=1))
    ctx.publish(SUBMITTED, mesage_id="A1")  # error: mypy[call-arg] pyright[reportCallIssue]
    ctx.send(CAPTURE, partition_key=5)  # error: mypy[arg-type] pyright[reportArgumentType]
    ctx.schedule(SUBMITTED, afer=timedelta(1))  # error: mypy[call-arg] pyright[reportCallIssue]


handler("payments", orderd=False)  # error: mypy[call-arg] pyright[reportCallIssue]
handler("payments", timeout=3)  # error: mypy[arg-type] pyright[reportArgumentType]
handler()  # error: mypy[call-arg] pyright[reportCallIssue]
