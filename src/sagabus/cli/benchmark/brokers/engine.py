"""The measured half: messages from a broker through a saga on the store, whose follow-ups go to the broker."""

from __future__ import annotations

import asyncio
import time

from sagabus import Bus, Context, Saga, event, starts
from sagabus.cli.benchmark.brokers.work import PING, PONG, WINDOW, BrokerFigures, body
from sagabus.cli.benchmark.costs import Meter
from sagabus.cli.benchmark.loops.work import PAUSE
from sagabus.clock import SystemClock
from sagabus.store_urls import store_from_url
from sagabus.transport import Answer, Link, Topology, Transport, WireMessage
from sagabus.transports import transport_from_url

SERVICE, SINK = "bench", "bench-sink"
_PROBES = 50
_LOOK = 0.005
_STUCK = 60.0


@event(PING)
class Pinged:
    """What comes."""

    order_id: str
    amount: int


@event(PONG)
class Ponged:
    """What leaves for it."""

    order_id: str
    amount: int


class BenchOrders(Saga, name="bench-orders", key="order_id"):
    """One order for each message."""

    order_id: str
    amount: int
    status: str = "pinged"

    @starts
    def pinged(self, message: Pinged, ctx: Context) -> None:
        """Answer."""
        ctx.publish(Ponged(order_id=self.order_id, amount=message.amount))
        ctx.complete()


TOPOLOGIES = (Topology(SERVICE, (PING,)), Topology(SINK, (PONG,)))


async def measure(store: str, url: str, messages: int) -> BrokerFigures:
    """Fill the queue of a service, let its bus work it off until the last follow-up is confirmed, then probe."""
    transport = transport_from_url(url)
    filling = await transport.connect()
    for topology in TOPOLOGIES:
        await filling.declare(topology)
    await filling.close()
    sending, taking = await transport.connect(), await transport.connect()
    await taking.declare(TOPOLOGIES[1])
    for first in range(0, messages, transport.largest_batch):
        await _send(sending, range(first, min(first + transport.largest_batch, messages)))
    await _made(store)
    bus = Bus(store, BenchOrders, transport=transport_from_url(url), service=SERVICE)
    meter, began = Meter(), time.perf_counter()
    async with bus:
        await _until_sent(bus, messages)
        elapsed, costs = time.perf_counter() - began, meter.per_message(messages)
        await _emptied(taking, transport, messages)
        latencies = [await _probe(sending, taking, messages + number) for number in range(_PROBES)]
    await sending.close()
    await taking.close()
    return BrokerFigures(messages / elapsed, costs, latencies)


async def _made(store: str) -> None:
    """Make the tables. A service does so once, and the bare client has none: that is no part of a rate."""
    made = store_from_url(store, SystemClock())
    await made.open()
    await made.close()


async def _send(link: Link, numbers: range) -> None:
    clock = SystemClock()
    sent = await link.send(
        [
            WireMessage(id=f"p{number}", source="bench-source", type=PING, body=body(number), sent_at=clock.now())
            for number in numbers
        ]
    )
    if any(each.answer is not Answer.CONFIRMED for each in sent):
        raise RuntimeError("the broker does not take the messages of the benchmark")


async def _until_sent(bus: Bus, messages: int) -> None:
    last, since = -1, time.perf_counter()
    while (done := bus.statistics["broker:out", "completed"]) < messages:
        if done != last:
            last, since = done, time.perf_counter()
        elif time.perf_counter() - since > _STUCK:
            raise RuntimeError(f"the engine stands still at {done} of {messages} messages: {bus.health()}")
        await asyncio.sleep(_LOOK)


async def _emptied(link: Link, transport: Transport, messages: int) -> None:
    taken = 0
    while taken < messages:
        deliveries = await link.receive(min(WINDOW, transport.largest_batch))
        await link.settle(deliveries)
        taken += len(deliveries)


async def _probe(sending: Link, taking: Link, number: int) -> float:
    await asyncio.sleep(PAUSE)
    began = time.perf_counter()
    await _send(sending, range(number, number + 1))
    deliveries = await taking.receive(1)
    elapsed = time.perf_counter() - began
    await taking.settle(deliveries)
    return elapsed
