"""The order application: orders go through every stop that a message can pass, and leave rows without unique keys.

Nothing but the bus keeps a row from standing in a table twice. One saga per order goes in a straight line and keeps its
history, and one saga per customer hears of all its orders. Handlers write by buffered statements and through the open
connection, and one runs in a thread. One timer fires and one is cancelled. An order may fail once, and a note may come
before its order.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Literal, Protocol

from sagabus import (
    AsyncConnection,
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
from sagabus.testing.campaign.oracle import Order

TABLES = (
    "CREATE TABLE IF NOT EXISTS campaign_payment (order_id TEXT, amount INTEGER, charge TEXT)",
    "CREATE TABLE IF NOT EXISTS campaign_shipment (order_id TEXT, product TEXT, quantity INTEGER)",
    "CREATE TABLE IF NOT EXISTS campaign_stock (run TEXT, product TEXT, shipped INTEGER)",
    "CREATE TABLE IF NOT EXISTS campaign_ledger (order_id TEXT, amount INTEGER)",
    "CREATE TABLE IF NOT EXISTS campaign_journal (subscription TEXT, message_id TEXT, order_id TEXT, step TEXT)",
)
STOCK_UP = "INSERT INTO campaign_stock (run, product, shipped) VALUES (?, ?, 0)"
"""For each product of a run, before its first order."""
_PAY = "INSERT INTO campaign_payment (order_id, amount, charge) VALUES (?, ?, ?)"
_SHIP = "INSERT INTO campaign_shipment (order_id, product, quantity) VALUES (?, ?, ?)"
_SEE = "SELECT count(*) FROM campaign_shipment WHERE order_id = ?"
_LOOK = "SELECT shipped FROM campaign_stock WHERE run = ? AND product = ?"
_COUNT = "UPDATE campaign_stock SET shipped = ? WHERE run = ? AND product = ?"
_ENTER = "INSERT INTO campaign_ledger (order_id, amount) VALUES (?, ?)"
_NOTE = "INSERT INTO campaign_journal (subscription, message_id, order_id, step) VALUES (?, ?, ?, ?)"
STATEMENTS = (_PAY, _SHIP, _SEE, _LOOK, _COUNT, _ENTER, _NOTE)
ORDERS, CUSTOMERS = "campaign-orders", "campaign-customers"
_HANDLERS = ("campaign-payments", "campaign-shipping", "campaign-mail", "campaign-audits", "campaign-ledger")
SHOP_CHANNELS, WORKS_CHANNELS = (ORDERS, CUSTOMERS), _HANDLERS
"""Of the application as two services: the sagas, and all handlers."""
CHANNELS = (*SHOP_CHANNELS, *WORKS_CHANNELS)

# Messages in flight in a killed worker run again each time, however often a campaign kills.
PATIENT = RetryPolicy(
    attempts=1000,
    deaths=1000,
    backoff=Linear(timedelta(milliseconds=1), step=timedelta(milliseconds=10), cap=timedelta(seconds=1)),
    jitter=False,
)
_PAYMENT = timedelta(hours=1)
_CLOSING = timedelta(milliseconds=2)


class Words(Protocol):
    """How one database is spoken to."""

    @property
    def lock(self) -> str:
        """Behind a SELECT: the row will be changed, let no other transaction read it for that purpose meanwhile."""
        ...

    def say(self, sql: str, /) -> str:
        """A statement, written with `?` for each parameter, in the words of this database."""
        ...


@dataclass(frozen=True, slots=True)
class Shop:
    """What the application has around it."""

    words: Words
    work: float = 0.0
    """Seconds that the longer runs take."""
    records: bool = True
    """Whether runs add statements to the commit that they share with others."""

    def record(self, ctx: Context, sql: str, *values: object) -> None:
        """Write by a buffered statement."""
        if self.records:
            ctx.execute(self.words.say(sql), values)

    def note(self, ctx: Context, order_id: str, step: str = "") -> None:
        """One line of the journal for each message that took effect."""
        self.record(ctx, _NOTE, ctx.subscription, ctx.message_id, order_id, step)


@event("campaign.order_submitted")
class OrderSubmitted:
    """A customer has ordered."""

    order_id: str
    run: str
    customer: str
    product: str
    quantity: int
    amount: int
    fails_once: bool


@event("campaign.order_noted")
class OrderNoted:
    """There is a note on an order, perhaps before the order."""

    order_id: str


@command("campaign.capture_payment")
class CapturePayment:
    """Take the money."""

    order_id: str
    amount: int
    fails_once: bool


@event("campaign.payment_captured")
class PaymentCaptured:
    """The money is there."""

    order_id: str


@event("campaign.payment_audited")
class PaymentAudited:
    """The same for the auditor, under an id of its own."""

    order_id: str


@command("campaign.ship_order")
class ShipOrder:
    """Send the goods."""

    order_id: str
    run: str
    product: str
    quantity: int
    fails_once: bool


@event("campaign.order_shipped")
class OrderShipped:
    """The goods are on their way."""

    order_id: str
    rows_seen: int
    """Shipments of this order that its own transaction saw."""


@event("campaign.order_closed")
class OrderClosed:
    """Everything about this order is done."""

    order_id: str
    customer: str
    amount: int


def submission(order: Order) -> tuple[OrderSubmitted, str]:
    """What is published of an order, and under which id."""
    message = OrderSubmitted(
        order_id=order.order_id,
        run=order.run,
        customer=order.customer,
        product=order.product,
        quantity=order.quantity,
        amount=order.amount,
        fails_once=order.fails_once,
    )
    return message, f"submit-{order.order_id}"


class OrderSteps(Saga):
    """One instance per order; its state says which steps it has taken, each of them once, and by which message."""

    shop: ClassVar[Shop]

    order_id: str
    run: str
    customer: str
    product: str
    quantity: int
    amount: int
    fails_once: bool
    steps: tuple[str, ...] = ()
    status: Literal["submitted", "paid", "shipped", "closed"] = "submitted"

    def step(self, name: str, ctx: Context) -> None:
        """Note a step in the state and in the journal."""
        self.steps = (*self.steps, f"{name} {ctx.message_id}")
        self.shop.note(ctx, self.order_id, name)

    @starts
    def submitted(self, message: OrderSubmitted, ctx: Context) -> None:
        """Ask for the money, and do not wait for it for ever."""
        self.step("submitted", ctx)
        ctx.send(CapturePayment(order_id=self.order_id, amount=self.amount, fails_once=self.fails_once))
        ctx.set_timer("payment", after=_PAYMENT)

    @handles
    def noted(self, message: OrderNoted, ctx: Context) -> None:
        """Keep the note."""
        self.step("noted", ctx)

    @handles(when="submitted")
    async def paid(self, message: PaymentCaptured, ctx: Context) -> None:
        """Have the goods sent."""
        await asyncio.sleep(self.shop.work)
        self.step("paid", ctx)
        self.status = "paid"
        ctx.cancel_timer("payment")
        ctx.send(
            ShipOrder(
                order_id=self.order_id,
                run=self.run,
                product=self.product,
                quantity=self.quantity,
                fails_once=self.fails_once,
            )
        )

    @handles(when="paid")
    def shipped(self, message: OrderShipped, ctx: Context) -> None:
        """Close in a moment."""
        self.step(f"shipped {message.rows_seen}", ctx)
        self.status = "shipped"
        ctx.set_timer("close", after=_CLOSING)

    @timer("close")
    def close(self, ctx: Context) -> None:
        """Finish."""
        self.step("closed", ctx)
        self.status = "closed"
        ctx.publish(OrderClosed(order_id=self.order_id, customer=self.customer, amount=self.amount))
        ctx.complete()

    @timer("payment")
    def unpaid(self, ctx: Context) -> None:
        """Leave a trace that the audit finds: no order of a campaign is that slow."""
        self.step("unpaid", ctx)


class CustomerOrders(Saga):
    """One instance per customer, of many orders: its list shows an order that is lost or there twice."""

    shop: ClassVar[Shop]

    customer: str
    closed: tuple[str, ...] = ()

    @starts
    def order_closed(self, message: OrderClosed, ctx: Context) -> None:
        """Add an order to the list."""
        self.closed = (*self.closed, f"{message.order_id} {ctx.message_id}")
        self.shop.note(ctx, message.order_id)


def definitions(shop: Shop) -> tuple[object, ...]:
    """The whole application, for one kind of database."""
    return (*shop_definitions(shop), *works_definitions(shop))


def works_definitions(shop: Shop) -> tuple[object, ...]:
    """What takes the money, sends the goods and keeps the ledger: a service of its own, if wanted."""
    return (_payments(shop), _shipping(shop), *_listeners(shop))


def shop_definitions(shop: Shop) -> tuple[object, ...]:
    """The sagas: the other service."""
    around = shop

    class OrderSaga(OrderSteps, name=ORDERS, key="order_id", retry=PATIENT, history=True):
        """See `OrderSteps`."""

        shop: ClassVar[Shop] = around

    class CustomerSaga(CustomerOrders, name=CUSTOMERS, key="customer", retry=PATIENT):
        """See `CustomerOrders`."""

        shop: ClassVar[Shop] = around

    return (OrderSaga, CustomerSaga)


class PaymentRefusedError(RuntimeError):
    """The payment service answers nonsense."""


class ShipmentRefusedError(RuntimeError):
    """The warehouse answers nonsense."""


def _payments(shop: Shop) -> object:
    @handler("campaign-payments", key="order_id", retry=PATIENT)
    async def capture(message: CapturePayment, ctx: Context) -> None:
        """Write by buffered statements, which join the commit that the run shares with others."""
        await asyncio.sleep(shop.work)
        if message.fails_once and ctx.attempt == 1:
            raise PaymentRefusedError
        shop.record(ctx, _PAY, message.order_id, message.amount, ctx.idempotency_key("charge"))
        shop.note(ctx, message.order_id)
        ctx.publish(PaymentCaptured(order_id=message.order_id))
        ctx.publish(PaymentAudited(order_id=message.order_id), message_id=f"audit-{message.order_id}")

    return capture


def _shipping(shop: Shop) -> object:
    ship_it, note, see, raise_it = (shop.words.say(sql) for sql in (_SHIP, _NOTE, _SEE, _COUNT))
    look = shop.words.say(_LOOK) + shop.words.lock

    @handler("campaign-shipping", key="order_id", retry=PATIENT)
    async def ship(message: ShipOrder, ctx: Context, connection: AsyncConnection) -> None:
        """Write through the open transaction: rows, and a counter that is read, and locked, before it is raised."""
        order, run, product = message.order_id, message.run, message.product
        await connection.execute(ship_it, (order, product, message.quantity))
        await connection.execute(note, (ctx.subscription, ctx.message_id, order, ""))
        ((rows_seen,),) = await connection.execute(see, (order,))
        ((shipped,),) = await connection.execute(look, (run, product))
        await connection.execute(raise_it, (shipped + message.quantity, run, product))
        await asyncio.sleep(shop.work / 4)
        if message.fails_once and ctx.attempt == 1:
            raise ShipmentRefusedError
        ctx.publish(OrderShipped(order_id=order, rows_seen=rows_seen))

    return ship


def _listeners(shop: Shop) -> tuple[object, ...]:
    """What hears of an order and has nothing more to say."""

    @handler("campaign-mail", thread=True, retry=PATIENT)
    def mail(message: OrderClosed, ctx: Context) -> None:
        """Run in a thread."""
        shop.note(ctx, message.order_id)

    @handler("campaign-audits", retry=PATIENT)
    def look_over(message: PaymentAudited, ctx: Context) -> None:
        """Run without waiting for anything."""
        shop.note(ctx, message.order_id)

    @handler("campaign-ledger", retry=PATIENT)
    async def enter(message: OrderClosed, ctx: Context) -> None:
        """The last effect: one line per order."""
        shop.record(ctx, _ENTER, message.order_id, message.amount)
        shop.note(ctx, message.order_id)

    return mail, look_over, enter
