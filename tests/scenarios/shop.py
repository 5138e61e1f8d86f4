"""The shop of most scenarios: the example of the README, and messages to build others from."""

from dataclasses import field
from datetime import timedelta
from typing import Literal

from sagabus import Context, Saga, command, event, handler, handles, starts, timer


@event("orders.submitted")
class OrderSubmitted:
    order_id: str
    total: int = 0


@command("payments.capture")
class CapturePayment:
    order_id: str
    amount: int


@event("payments.captured")
class PaymentCaptured:
    order_id: str
    transaction: str = "t"


@event("shop.noted")
class Noted:
    """Something with a key, a number and a text."""

    key: str
    number: int = 0
    text: str = ""


@event("shop.ended")
class Ended:
    key: str
    number: int = 0


@command("shop.do")
class Do:
    key: str
    number: int = 0


class OrderSaga(Saga, name="orders", key="order_id"):
    """One instance per order; the class body is its state, its methods are its reactions."""

    order_id: str
    status: Literal["awaiting_payment", "paid", "cancelled"] = "awaiting_payment"

    @starts
    def submitted(self, message: OrderSubmitted, ctx: Context) -> None:
        ctx.send(CapturePayment(order_id=self.order_id, amount=message.total))
        ctx.set_timer("payment", after=timedelta(minutes=30))

    @handles(when="awaiting_payment")
    async def paid(self, message: PaymentCaptured, ctx: Context) -> None:
        self.status = "paid"
        ctx.cancel_timer("payment")
        ctx.complete()

    @timer("payment")
    def unpaid(self, ctx: Context) -> None:
        self.status = "cancelled"
        ctx.complete()


@handler("payments")
async def capture(message: CapturePayment, ctx: Context) -> None:
    ctx.publish(PaymentCaptured(order_id=message.order_id, transaction=ctx.idempotency_key("charge")))


class Tally(Saga, name="tally", key="key"):
    """Notes the numbers that reach it, in order."""

    key: str
    numbers: list[int] = field(default_factory=list)

    @starts
    def noted(self, message: Noted) -> None:
        self.numbers.append(message.number)

    @handles
    def ended(self, message: Ended, ctx: Context) -> None:
        self.numbers.append(message.number)
        ctx.complete()


class Flaky:
    """Raises the errors given, one a run, and then does nothing."""

    def __init__(self, *errors: BaseException | None) -> None:
        self.errors = list(errors)
        self.runs = 0

    def __call__(self) -> None:
        self.runs += 1
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error
