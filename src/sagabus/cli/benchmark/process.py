"""What the benchmark measures: an order saga of three steps, each a message of its own that changes the state and
sends one follow-up.

The last follow-up goes to a ledger without a worker, so that every message handled leaves one message stored.
"""

from __future__ import annotations

from typing import Literal

from sagabus import Context, Saga, command, event, handler, handles, starts


@event("bench.submitted")
class Submitted:
    """Starts an order."""

    order_id: str
    amount: int


@command("bench.capture")
class Capture:
    """The second step."""

    order_id: str
    amount: int


@command("bench.ship")
class Ship:
    """The third step."""

    order_id: str
    amount: int


@event("bench.completed")
class Completed:
    """The follow-up of the third step."""

    order_id: str
    amount: int


@event("bench.probed")
class Probed:
    """One message at low load."""

    order_id: str
    amount: int


@event("bench.ticked")
class Ticked:
    """One of very many messages of one key."""

    clock_id: str
    number: int


class BenchSaga(Saga, name="bench-orders", key="order_id"):
    """One order."""

    order_id: str
    amount: int
    status: Literal["awaiting_payment", "awaiting_shipment", "completed"] = "awaiting_payment"
    steps: int = 0

    @starts
    def submitted(self, message: Submitted, ctx: Context) -> None:
        """The first step."""
        self.steps += 1
        ctx.send(Capture(order_id=self.order_id, amount=message.amount))

    @handles(when="awaiting_payment")
    def captured(self, message: Capture, ctx: Context) -> None:
        """The second step."""
        self.steps += 1
        self.status = "awaiting_shipment"
        ctx.send(Ship(order_id=self.order_id, amount=message.amount))

    @handles(when="awaiting_shipment")
    def shipped(self, message: Ship, ctx: Context) -> None:
        """The third step."""
        self.steps += 1
        self.status = "completed"
        ctx.publish(Completed(order_id=self.order_id, amount=message.amount))
        ctx.complete()


class ProbeSaga(Saga, name="bench-probes", key="order_id"):
    """One message, one state."""

    order_id: str
    amount: int

    @starts
    def probed(self, message: Probed, ctx: Context) -> None:
        """Be stored."""
        ctx.complete()


class ClockSaga(Saga, name="bench-clocks", key="clock_id"):
    """One instance that everything goes to."""

    clock_id: str
    ticks: int = 0

    @starts
    @handles
    def ticked(self, message: Ticked, ctx: Context) -> None:
        """Count."""
        self.ticks += 1


@handler("bench-ledger")
def enter(message: Completed, ctx: Context) -> None:
    """The receiver that is away."""


WORKED = (BenchSaga, ProbeSaga, ClockSaga)
EVERYTHING = (BenchSaga, ProbeSaga, ClockSaga, enter)
CHANNELS = ("bench-orders", "bench-probes", "bench-clocks")
