"""Messages: their declaration and their construction."""

from dataclasses import dataclass, field

import msgspec
import pydantic

from sagabus import command, event


@event("orders.submitted", lossy=True, aliases=["orders.placed"], version=2, renamed={"sum": "total"})
class OrderSubmitted:
    order_id: str
    total: int
    tags: list[str] = field(default_factory=list[str])


@command("payments.capture")
@dataclass(frozen=True)
class CapturePayment:
    amount: int


@event("payments.captured")
class PaymentCaptured(msgspec.Struct):
    amount: int


@event("payments.refused")
class PaymentRefused(pydantic.BaseModel):
    amount: int


print(OrderSubmitted(order_id="A1", total=4200).total, CapturePayment(3), PaymentCaptured(3), PaymentRefused(amount=3))
OrderSubmitted(order_id="A1", total="4200")  # error: mypy[arg-type] pyright[reportArgumentType]
OrderSubmitted(order_id="A1")  # error: mypy[call-arg] pyright[reportCallIssue]
OrderSubmitted(order_id="A1", total=1, sum=1)  # error: mypy[call-arg] pyright[reportCallIssue]
OrderSubmitted(order_id="A1", total=1).total = 2  # error: mypy[misc] pyright[reportAttributeAccessIssue]
event()  # error: mypy[call-arg] pyright[reportCallIssue]
event("a.b", lousy=True)  # error: mypy[call-arg] pyright[reportCallIssue]
event("a.b", version="2")  # error: mypy[arg-type] pyright[reportArgumentType]
command("a.b", alias=["c"])  # error: mypy[call-arg] pyright[reportCallIssue]
