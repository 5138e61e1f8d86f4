"""RabbitMQ by aio-pika alone: quorum queues, persistent messages, mandatory confirmed publishes, one acknowledgement
for each batch.

A batch is what has come meanwhile, and all of it is published before the first confirm is waited for. Bodies travel
without headers. So the loop does no more than the guarantees of the adapter ask of the client, and has no store.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from pamqp.common import FieldTable

from sagabus.cli.benchmark.brokers.work import WINDOW, Bare, BrokerFigures, body, plain, prefix_of
from sagabus.cli.benchmark.costs import Meter
from sagabus.transport import Part

_QUORUM: FieldTable = {"x-queue-type": "quorum"}
_PERSISTENT = aio_pika.DeliveryMode.PERSISTENT


async def _loop(url: str, messages: int) -> BrokerFigures:
    prefix = prefix_of(url)
    source, sink = f"{prefix}.bare.in", f"{prefix}.bare.out"
    async with await aio_pika.connect(await plain(url)) as connection:
        filling = await connection.channel(publisher_confirms=True)
        queue = await filling.declare_queue(source, durable=True, arguments=_QUORUM)
        await filling.declare_queue(sink, durable=True, arguments=_QUORUM)
        for first in range(0, messages, WINDOW):
            await _send(filling, source, [body(number) for number in range(first, min(first + WINDOW, messages))])
        channel = await connection.channel(publisher_confirms=True)
        await channel.set_qos(prefetch_count=WINDOW)
        arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        meter, began = Meter(), time.perf_counter()
        await (await channel.get_queue(queue.name)).consume(arrived.put)
        done = 0
        while done < messages:
            batch = [await arrived.get()]
            while not arrived.empty():
                batch.append(arrived.get_nowait())
            await _send(channel, sink, [each.body for each in batch])
            await batch[-1].ack(multiple=True)
            done += len(batch)
        return BrokerFigures(messages / (time.perf_counter() - began), meter.per_message(messages))


async def _send(channel: AbstractChannel, queue: str, bodies: Sequence[bytes]) -> None:
    exchange = channel.default_exchange
    await asyncio.gather(
        *(exchange.publish(aio_pika.Message(each, delivery_mode=_PERSISTENT), queue, mandatory=True) for each in bodies)
    )


async def _tidy(url: str, parts: list[Part]) -> None:
    prefix = prefix_of(url)
    queues = [f"{prefix}.bare.in", f"{prefix}.bare.out", *(part.name for part in parts if part.kind == "queue")]
    exchanges = [part.name for part in parts if part.kind == "exchange"]
    async with await aio_pika.connect(await plain(url)) as connection:
        channel = await connection.channel()
        for name in queues:
            await channel.queue_delete(name)
        for name in exchanges:
            await channel.exchange_delete(name)


BARE = Bare("RabbitMQ with quorum queues", _loop, _tidy)
