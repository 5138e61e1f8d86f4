"""Sagas: the options of the class line, the state, and the decorators of methods."""

from datetime import timedelta
from typing import Literal

from sagabus import Context, Deduplication, RetryPolicy, Saga, command, event, handles, starts, timer


@event("orders.submitted")
class OrderSubmitted:
    order_id: str
    total: int


@command("payments.capture")
class CapturePayment:
    order_id: str
    amount: int


class OrderSaga(
    Saga,
    name="orders",
    key="order_id",
    on_missing="dead-letter",
    on_unexpected={OrderSubmitted: "ignore"},
    patience=timedelta(hours=2),
    history=True,
    retry=RetryPolicy(attempts=3),
    deduplication=Deduplication(field="order_id"),
    timeout=timedelta(minutes=1),
    version=2,
    renamed={"sum": "total"},
):
    order_id: str
    total: int = 0
    status: Literal["awaiting_payment", "paid"] = "awaiting_payment"

    @starts
    def submitted(self, message: OrderSubmitted, ctx: Context) -> None:
        self.total, self.status = message.total, "paid"
        ctx.send(CapturePayment(order_id=self.order_id, amount=message.total))

    @handles(when=("awaiting_payment", "paid"), key=lambda message: message.order_id)
    async def again(self, message: OrderSubmitted, ctx: Context) -> None:
        self.status = "payed"  # error: mypy[assignment] pyright[reportAttributeAccessIssue]
        self.total = message.tootal  # error: mypy[attr-defined] pyright[reportAttributeAccessIssue]

    @timer("payment", timeout=timedelta(seconds=5))
    def unpaid(self, ctx: Context) -> None:
        ctx.set_timer("payment", after=30)  # error: mypy[arg-type] pyright[reportArgumentType]
        ctx.set_timer("payment", afer=timedelta(1))  # error: mypy[call-arg] pyright[reportCallIssue]


class Misspelt(Saga, name="m", histroy=True):  # error: mypy[call-arg] pyright[reportCallIssue]
    status: str = "new"


class Mistyped(Saga, name="m", patience=6):  # error: mypy[arg-type] pyright[reportArgumentType]
    status: str = "new"


class Overruled(Saga, name="m", on_missing=""):  # error: mypy[arg-type] pyright[reportArgumentType]
    status: str = "new"


OrderSaga(order_id="A1", total=4200)
OrderSaga(order_id="A1", tootal=4200)  # error: mypy[call-arg] pyright[reportCallIssue]
OrderSaga("A1")  # error: mypy[call-arg] pyright[reportCallIssue]
OrderSaga()  # error: mypy[call-arg] pyright[reportCallIssue]
handles(wen="paid")  # error: mypy[call-overload] pyright[reportCallIssue]
handles(when=3)  # error: mypy[call-overload] pyright[reportArgumentType]
timer(minutes=3)  # error: mypy[call-arg] pyright[reportCallIssue]
