"""The process under test: orders go through every stop that a message can pass, and leave tracks without unique keys.

One saga per order in a straight line (so its list of steps has one right order) that keeps its history, one saga per
customer that hears of all its orders, handlers with buffered statements, with the open connection and in a thread, a
timer that fires and one that is cancelled, a run that fails once, a message that cannot succeed, and one that comes
before its saga.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Literal

from tests.support.databases import Words
from tests.support.waiting import until

from sagabus import (
    AsyncConnection,
    Bus,
    Context,
    Linear,
    RetryPolicy,
    Saga,
    Settings,
    command,
    event,
    failpoint,
    handler,
    handles,
    starts,
    timer,
)
from sagabus.clock import SECOND, Cancellable, SystemClock
from sagabus.policies.retry import Rule

TABLES = (
    "CREATE TABLE ledger (subscription TEXT, message_id TEXT, order_id TEXT, note TEXT)",
    "CREATE TABLE placed (order_id TEXT)",
    "CREATE TABLE turn AS SELECT 0 AS taken",
)
RECORD = "INSERT INTO ledger (subscription, message_id, order_id, note) VALUES (?, ?, ?, ?)"
PATIENT = RetryPolicy(
    attempts=1000,
    deaths=1000,
    backoff=Linear(timedelta(milliseconds=1), step=timedelta(0)),
    jitter=False,
    rules={ZeroDivisionError: Rule.DEAD_LETTER},
)
ORDERS = ("plain", "fails-once", "early", "in-transaction", "in-batch")
here = SimpleNamespace(words=Words("sqlite:"), records=True)
"""The database that this process works on, and whether its handlers add statements to what is committed anyway."""


def record(ctx: Context, *values: str) -> None:
    if here.records:
        ctx.execute(here.words.sql(RECORD), values)


@event("faults.submitted")
class Submitted:
    order_id: str
    customer: str


@event("faults.noted")
class Noted:
    order_id: str


@command("faults.capture")
class Capture:
    order_id: str


@event("faults.captured")
class Captured:
    order_id: str


@command("faults.reserve")
class Reserve:
    order_id: str


@event("faults.reserved")
class Reserved:
    order_id: str
    rows_seen: int


@event("faults.closed")
class Closed:
    order_id: str
    customer: str


@event("faults.audited")
class Audited:
    order_id: str


@event("faults.noise")
class Noise:
    number: int


class Order(Saga, name="orders", key="order_id", retry=PATIENT, history=True):
    order_id: str
    customer: str
    steps: tuple[str, ...] = ()
    status: Literal["submitted", "captured", "reserved", "closed"] = "submitted"

    def step(self, name: str, ctx: Context) -> None:
        self.steps = (*self.steps, f"{name} {ctx.message_id}")
        record(ctx, "orders", ctx.message_id, self.order_id, name)

    @starts
    def submitted(self, message: Submitted, ctx: Context) -> None:
        self.step("submitted", ctx)
        ctx.send(Capture(order_id=self.order_id))
        ctx.set_timer("give-up", after=timedelta(hours=1))

    @handles
    def noted(self, message: Noted, ctx: Context) -> None:
        self.step("noted", ctx)

    @handles(when="submitted")
    async def captured(self, message: Captured, ctx: Context) -> None:
        await asyncio.sleep(0)
        self.step("captured", ctx)
        self.status = "captured"
        ctx.cancel_timer("give-up")
        ctx.send(Reserve(order_id=self.order_id))

    @handles(when="captured")
    def reserved(self, message: Reserved, ctx: Context) -> None:
        self.step(f"reserved {message.rows_seen}", ctx)
        self.status = "reserved"
        ctx.set_timer("close", after=timedelta(milliseconds=2))

    @timer("close")
    def close(self, ctx: Context) -> None:
        self.step("closed", ctx)
        self.status = "closed"
        ctx.publish(Closed(order_id=self.order_id, customer=self.customer))
        ctx.complete()

    @timer("give-up")
    def give_up(self, ctx: Context) -> None:
        self.step("gave up", ctx)


class Customer(Saga, name="customers", key="customer", retry=PATIENT):
    customer: str
    closed: tuple[str, ...] = ()

    @starts
    def order_closed(self, message: Closed, ctx: Context) -> None:
        self.closed = (*self.closed, f"{message.order_id} {ctx.message_id}")
        record(ctx, "customers", ctx.message_id, message.order_id, "")


@handler("capture", key="order_id", retry=PATIENT)
async def capture(message: Capture, ctx: Context) -> None:
    if message.order_id == "fails-once" and ctx.attempt == 1:
        raise RuntimeError("the payment service answers nonsense")
    record(ctx, "capture", ctx.message_id, message.order_id, ctx.idempotency_key("charge"))
    ctx.publish(Captured(order_id=message.order_id))
    ctx.publish(Audited(order_id=message.order_id), message_id=f"audit-{message.order_id}")


@handler("reserve", key="order_id", retry=PATIENT)
async def reserve(message: Reserve, ctx: Context, connection: AsyncConnection) -> None:
    await here.words.execute(connection, RECORD, ("reserve", ctx.message_id, message.order_id, ""))
    seen = await here.words.execute(
        connection,
        "SELECT count(*) FROM ledger WHERE subscription = 'reserve' AND order_id = ?",
        (message.order_id,),
    )
    if message.order_id == "fails-once" and ctx.attempt == 1:
        raise RuntimeError("the warehouse answers nonsense")
    ctx.publish(Reserved(order_id=message.order_id, rows_seen=seen[0][0]))


@handler("mailer", thread=True, retry=PATIENT)
def mailer(message: Closed, ctx: Context) -> None:
    record(ctx, "mailer", ctx.message_id, message.order_id, "")


@handler("auditor", retry=PATIENT)
def auditor(message: Audited, ctx: Context) -> None:
    record(ctx, "auditor", ctx.message_id, message.order_id, "")


@handler("noise", retry=PATIENT)
def noise(message: Noise, ctx: Context) -> None:
    record(ctx, "noise", ctx.message_id, "", "must not be seen")
    raise ZeroDivisionError("this message cannot succeed")


DEFINITIONS = (Order, Customer, capture, reserve, mailer, auditor, noise)


class LaterClock:
    """Each process begins long after the leases of the one before have ended, so nobody has to wait for that. No
    system's clock, so that a bus on a server goes by it as well, and not by the server's.
    """

    def __init__(self, later: timedelta) -> None:
        self._local = SystemClock()
        self.offset = int(later.total_seconds() * SECOND)

    def now(self) -> int:
        return self._local.now() + self.offset

    def monotonic(self) -> float:
        return self._local.monotonic()

    def call_after(self, seconds: float, callback: Callable[[], object]) -> Cancellable:
        return self._local.call_after(seconds, callback)


def bus_at(url: str, incarnation: int, *definitions: object, **settings: object) -> Bus:
    here.words = Words(url)
    clock = LaterClock(timedelta(minutes=incarnation))
    return Bus(url, *definitions, settings=Settings(**settings), clock=clock)


def make_bus(url: str, incarnation: int = 0, **settings: object) -> Bus:
    return bus_at(url, incarnation, *DEFINITIONS, **{"lanes": 2, **settings})


async def place_in_transaction(bus: Bus) -> None:
    """Whoever finds the row trusts that the message went with it."""
    async with bus.transaction() as tx:
        # One process after another: two that look at once would both find nothing.
        await here.words.execute(tx.connection, "UPDATE turn SET taken = taken + 1")
        if not await here.words.execute(tx.connection, "SELECT 1 FROM placed"):
            await here.words.execute(tx.connection, "INSERT INTO placed (order_id) VALUES ('in-transaction')")
            tx.publish(Submitted(order_id="in-transaction", customer="Ada"), message_id="submit-in-transaction")


async def place(bus: Bus) -> None:
    """Everything that comes from outside; each call under an id of its own, so that it may be repeated."""
    await bus.publish(Noted(order_id="early"), message_id="note-early")
    await place_in_transaction(bus)
    await asyncio.gather(
        *(
            bus.publish(Submitted(order_id=order, customer="Ada"), message_id=f"submit-{order}")
            for order in ("plain", "fails-once", "early")
            for _ in range(2)
        ),
        bus.publish(Noise(number=1), message_id="noise-1"),
    )
    await bus.publish_many([(Submitted(order_id="in-batch", customer="Bob"), "submit-in-batch")] * 2)


async def drained(bus: Bus) -> None:
    """Wait until nothing is left, be it for later."""

    async def is_empty() -> bool:
        await bus.idle()
        waiting = await bus.counts()
        return not any(c.ready or c.scheduled or c.timers or c.retrying or c.stashed or c.held for c in waiting)

    await until(is_empty, 60, every=0.001)


async def orders(url: str, incarnation: int) -> None:
    """Place all orders and see them through."""
    async with make_bus(url, incarnation) as bus:
        await place(bus)
        await drained(bus)


async def orders_unrecorded(url: str, incarnation: int) -> None:
    """As `orders`, with nothing in a shared commit but what the bus has there: that is the short way on PostgreSQL."""
    here.records = False
    await orders(url, incarnation)


class CountingFailpoints:
    """Armed in place of real ones: nothing happens, every hit counts."""

    def __init__(self) -> None:
        self.hits: Counter[str] = Counter()

    def hit(self, name: str) -> None:
        self.hits[name] += 1


async def orders_counted(url: str, incarnation: int, records: bool = True) -> None:
    """As `orders`; prints the number of hits of each failpoint."""
    failpoint._armed = counting = CountingFailpoints()
    here.records = records
    await orders(url, incarnation)
    print(json.dumps(counting.hits))


async def see_through(url: str, incarnation: int) -> None:
    """Work on what others have placed."""
    async with make_bus(url, incarnation) as bus:
        await drained(bus)


async def publish_only(url: str, incarnation: int) -> None:
    """Place all orders and leave the work to others."""
    bus = make_bus(url, incarnation)
    await bus.open(worker=False)
    await place(bus)
    await bus.close()
