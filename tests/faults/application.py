"""The process under test: a few orders of a campaign, a message that cannot succeed, and ways to place them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

from tests.support.databases import Database, Words
from tests.support.waiting import until

from sagabus import Bus, Context, Settings, event, failpoint, handler
from sagabus.clock import SECOND, Cancellable, SystemClock
from sagabus.policies.retry import Rule
from sagabus.testing.campaign.oracle import PRODUCTS, Order
from sagabus.testing.campaign.orders import PATIENT, STOCK_UP, TABLES, OrderNoted, Shop, definitions, submission

OWN_TABLES = ("CREATE TABLE placed (order_id TEXT)", "CREATE TABLE turn AS SELECT 0 AS taken")
HOPELESS = replace(PATIENT, rules={ZeroDivisionError: Rule.DEAD_LETTER})
RUN = "faults"
PLANNED = {
    order.order_id: order
    for order in (
        Order("plain", RUN, "Ada", "anchor", 1, 10, copies=2),
        Order("fails-once", RUN, "Ada", "barrel", 2, 20, copies=2, fails_once=True),
        Order("early", RUN, "Ada", "compass", 3, 30, copies=2, noted=True),
        Order("in-transaction", RUN, "Ada", "lantern", 4, 40, copies=1),
        Order("in-batch", RUN, "Bob", "sextant", 5, 50, copies=2),
    )
}
"""A product for each, so that none waits for the stock of another."""
here = SimpleNamespace(words=Words("sqlite:"), records=True)
"""The database that this process works on, and whether its handlers add statements to what is committed anyway."""


@event("faults.noise")
class Noise:
    number: int


@handler("noise", retry=HOPELESS)
def noise(message: Noise, ctx: Context) -> None:
    Shop(here.words, records=here.records).note(ctx, "", "must not be seen")
    raise ZeroDivisionError("this message cannot succeed")


def prepare(database: Database) -> None:
    """Make the tables of the orders, with a row of stock for each product."""
    database.make(*TABLES, *OWN_TABLES)
    for product in PRODUCTS:
        database.run(STOCK_UP, (RUN, product))


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
    shop = Shop(Words(url), records=here.records)
    return bus_at(url, incarnation, *definitions(shop), noise, **{"lanes": 2, **settings})


async def place_in_transaction(bus: Bus) -> None:
    """Whoever finds the row trusts that the message went with it."""
    async with bus.transaction() as tx:
        # One process after another: two that look at once would both find nothing.
        await here.words.execute(tx.connection, "UPDATE turn SET taken = taken + 1")
        if not await here.words.execute(tx.connection, "SELECT 1 FROM placed"):
            await here.words.execute(tx.connection, "INSERT INTO placed (order_id) VALUES ('in-transaction')")
            message, message_id = submission(PLANNED["in-transaction"])
            tx.publish(message, message_id=message_id)


async def place(bus: Bus) -> None:
    """Everything that comes from outside; each call under an id of its own, so that it may be repeated."""
    await bus.publish(OrderNoted(order_id="early"), message_id="note-early")
    await place_in_transaction(bus)
    submitted = [submission(PLANNED[order]) for order in ("plain", "fails-once", "early") for _ in range(2)]
    await asyncio.gather(
        *(bus.publish(message, message_id=message_id) for message, message_id in submitted),
        bus.publish(Noise(number=1), message_id="noise-1"),
    )
    await bus.publish_many([submission(PLANNED["in-batch"])] * 2)


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
