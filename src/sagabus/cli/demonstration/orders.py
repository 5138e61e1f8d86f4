"""The process that the demonstration runs: an order is paid, shipped and written into a ledger, by one saga and three
handlers.

The effect tables have no unique key anywhere, so nothing but the bus keeps a row from standing there twice. The saga is
the same on every store; the handlers that write rows are made with the words of the database that they write to.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Literal

from sagabus import (
    AsyncConnection,
    Connection,
    Context,
    Linear,
    RetryPolicy,
    Saga,
    command,
    event,
    handler,
    handles,
    starts,
    timer,
)
from sagabus.cli.demonstration.app_table import Words

TABLES = (
    "CREATE TABLE IF NOT EXISTS demo_payment (order_id TEXT, amount INTEGER)",
    "CREATE TABLE IF NOT EXISTS demo_shipment (order_id TEXT, product TEXT, quantity INTEGER)",
    "CREATE TABLE IF NOT EXISTS demo_stock (run TEXT, product TEXT, shipped INTEGER)",
    "CREATE TABLE IF NOT EXISTS demo_ledger (order_id TEXT, amount INTEGER)",
)
_PAY = "INSERT INTO demo_payment (order_id, amount) VALUES (?, ?)"
_SHIP = "INSERT INTO demo_shipment (order_id, product, quantity) VALUES (?, ?, ?)"
_LOOK = "SELECT shipped FROM demo_stock WHERE run = ? AND product = ?"
_COUNT = "UPDATE demo_stock SET shipped = ? WHERE run = ? AND product = ?"
_ENTER = "INSERT INTO demo_ledger (order_id, amount) VALUES (?, ?)"
STATEMENTS = (_PAY, _SHIP, _LOOK, _COUNT, _ENTER)

# Messages in flight in a killed worker run again each time, however often a demonstration kills.
PATIENT = RetryPolicy(attempts=1000, deaths=1000, backoff=Linear(timedelta(milliseconds=50), cap=timedelta(seconds=1)))
_WORK = 0.008


@event("demo.order_submitted")
class OrderSubmitted:
    """A customer has ordered."""

    order_id: str
    product: str
    quantity: int
    amount: int


@command("demo.capture_payment")
class CapturePayment:
    """Take the money."""

    order_id: str
    amount: int


@event("demo.payment_captured")
class PaymentCaptured:
    """The money is there."""

    order_id: str


@command("demo.ship_order")
class ShipOrder:
    """Send the goods."""

    order_id: str
    product: str
    quantity: int


@event("demo.order_shipped")
class OrderShipped:
    """The goods are on their way."""

    order_id: str


@event("demo.order_completed")
class OrderCompleted:
    """Everything about this order is done."""

    order_id: str
    amount: int


class OrderSaga(Saga, name="demo-orders", key="order_id", retry=PATIENT):
    """One instance per order; its history says which steps it has taken, each of them once."""

    order_id: str
    product: str
    quantity: int
    amount: int
    status: Literal["awaiting_payment", "awaiting_shipment", "completed"] = "awaiting_payment"
    history: tuple[str, ...] = ()

    @starts
    async def submitted(self, message: OrderSubmitted, ctx: Context) -> None:
        """Ask for the money, and do not wait for it for ever."""
        await asyncio.sleep(_WORK)
        self.history += ("submitted",)
        ctx.send(CapturePayment(order_id=self.order_id, amount=self.amount))
        ctx.set_timer("payment", after=timedelta(minutes=30))

    @handles(when="awaiting_payment")
    async def paid(self, message: PaymentCaptured, ctx: Context) -> None:
        """Have the goods sent."""
        await asyncio.sleep(_WORK)
        self.history += ("paid",)
        self.status = "awaiting_shipment"
        ctx.cancel_timer("payment")
        ctx.send(ShipOrder(order_id=self.order_id, product=self.product, quantity=self.quantity))

    @handles(when="awaiting_shipment")
    async def shipped(self, message: OrderShipped, ctx: Context) -> None:
        """Finish."""
        await asyncio.sleep(_WORK)
        self.history += ("shipped",)
        self.status = "completed"
        ctx.publish(OrderCompleted(order_id=self.order_id, amount=self.amount))
        ctx.complete()

    @timer("payment")
    def unpaid(self, ctx: Context) -> None:
        """Leave a trace that the audit finds: no order of a demonstration is that slow."""
        self.history += ("unpaid",)


def definitions(words: Words) -> tuple[object, ...]:
    """All of the process, for one kind of database."""
    pay, ledger = words.say(_PAY), words.say(_ENTER)

    @handler("demo-payments", retry=PATIENT)
    async def capture(message: CapturePayment, ctx: Context) -> None:
        """Write a row through the buffered statement, which joins the commit it shares with others."""
        await asyncio.sleep(_WORK)
        ctx.execute(pay, (message.order_id, message.amount))
        ctx.publish(PaymentCaptured(order_id=message.order_id))

    @handler("demo-ledger", retry=PATIENT)
    async def enter(message: OrderCompleted, ctx: Context) -> None:
        """The last message out: one line per order."""
        ctx.execute(ledger, (message.order_id, message.amount))

    return (OrderSaga, capture, (_ship_awaiting if words.lends_async else _ship)(words), enter)


def _ship(words: Words) -> object:
    """Where the lent connection answers at once."""
    ship_it, look, raise_it = words.say(_SHIP), words.say(_LOOK) + words.lock, words.say(_COUNT)

    @handler("demo-shipping", retry=PATIENT)
    async def ship(message: ShipOrder, ctx: Context, connection: Connection) -> None:
        """Write through the open transaction: a row, and a counter that is read before it is raised."""
        run, product = message.order_id.partition("-")[0], message.product
        connection.execute(ship_it, (message.order_id, product, message.quantity))
        ((shipped,),) = connection.execute(look, (run, product))
        connection.execute(raise_it, (shipped + message.quantity, run, product))
        await asyncio.sleep(_WORK / 4)
        ctx.publish(OrderShipped(order_id=message.order_id))

    return ship


def _ship_awaiting(words: Words) -> object:
    """The same where it has to be awaited."""
    ship_it, look, raise_it = words.say(_SHIP), words.say(_LOOK) + words.lock, words.say(_COUNT)

    @handler("demo-shipping", retry=PATIENT)
    async def ship(message: ShipOrder, ctx: Context, connection: AsyncConnection) -> None:
        """Write through the open transaction: a row, and a counter that is read, and locked, before it is raised."""
        run, product = message.order_id.partition("-")[0], message.product
        await connection.execute(ship_it, (message.order_id, product, message.quantity))
        ((shipped,),) = await connection.execute(look, (run, product))
        await connection.execute(raise_it, (shipped + message.quantity, run, product))
        await asyncio.sleep(_WORK / 4)
        ctx.publish(OrderShipped(order_id=message.order_id))

    return ship


CHANNELS = ("demo-orders", "demo-payments", "demo-shipping", "demo-ledger")
