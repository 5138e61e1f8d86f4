"""What comes for a service: one consumer of its queue, what it has handed out, and what is acknowledged."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import count

from sagabus.transport import Delivery
from sagabus.transports.lifetime import Lifetime
from sagabus.transports.rabbitmq.driver import AbstractConnection, Channel, DeliveredMessage, open_channel, when_closed
from sagabus.transports.rabbitmq.faults import translated, why
from sagabus.transports.rabbitmq.message import from_amqp

_PATIENCE = 10.0
"""Seconds for the broker to begin with a queue."""
_SERIAL = count(1)
_SHIFT = 48
"""A tag of AMQP is unique in its channel only. Ours has a number of the channel above it."""


class Receiver:
    """Receives for one service, in one channel. Its end is the end of the link."""

    def __init__(self, queue: str, most: int, life: Lifetime, place: str) -> None:
        """`most`: how many messages may be open here."""
        self.queue, self._most, self._life, self._place = queue, most, life, place
        self._base = next(_SERIAL) << _SHIFT
        self._channel: Channel | None = None
        self._come: deque[DeliveredMessage] = deque()
        self._open: dict[int, None] = {}
        """Handed out and not settled: tags of AMQP, in order."""
        self._news = asyncio.Event()

    async def begin(self, connection: AbstractConnection) -> None:
        """Become the one that receives, or the next one. The first that begins is the first that receives.

        The limit of open messages holds for consumers that begin after it. One that ended to begin with another limit
        would lose its place.
        """
        try:
            async with asyncio.timeout(_PATIENCE):
                channel = self._channel = await open_channel(connection)
                when_closed(channel, lambda closing: self._life.end(why(closing)))
                channel.on_consumer_cancel_callbacks.add(self._cancelled)
                await channel.basic_qos(prefetch_count=self._most)
                await channel.basic_consume(self.queue, self._take)
        except TimeoutError:
            self._life.end(
                f"the queue {self.queue!r} does not let a receiver begin within {_PATIENCE:g} s. If that goes on, it "
                "has lost its leader: see `rabbitmq-queues quorum_status`, then restart the broker or delete the queue"
            )
            raise self._life.error() from None

    async def receive(self, most: int) -> Sequence[Delivery]:
        """See `sagabus.transport.Link.receive`."""
        while not self._come:
            self._news.clear()
            await self._news.wait()
        found: list[Delivery] = []
        while self._come and len(found) < most:
            message = self._come.popleft()
            tag = message.delivery_tag or 0
            self._open[tag] = None
            found.append(Delivery(from_amqp(message), self._base + tag, bool(message.redelivered)))
        return found

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        """See `sagabus.transport.Link.settle`. What stands first in the channel is acknowledged by one frame."""
        settled = {tag for each in deliveries if (tag := each.tag - self._base) in self._open}
        channel = self._channel
        if not settled or channel is None:
            return
        last = 0
        for tag in self._open:
            if tag not in settled:
                break
            last = tag
        for tag in settled:
            del self._open[tag]
        # Cancelled in the middle, some would be acknowledged again by the next call, and that ends the channel.
        await asyncio.shield(asyncio.create_task(self._acknowledge(channel, last, settled), name="sagabus-settle"))

    async def _acknowledge(self, channel: Channel, last: int, settled: set[int]) -> None:
        """All up to `last`, and each that stands behind it. It waits until the driver has written them."""
        with translated(self._place):
            if last:
                await channel.basic_ack(last, multiple=True)
            for tag in sorted(tag for tag in settled if tag > last):
                await channel.basic_ack(tag)

    async def _take(self, message: DeliveredMessage) -> None:
        self._come.append(message)
        self._news.set()

    def _cancelled(self, _: object) -> None:
        self._life.end(
            f"the broker ended the receiver: the queue {self.queue!r} was deleted or is not available, or messages "
            "were held for longer than its consumer_timeout"
        )
