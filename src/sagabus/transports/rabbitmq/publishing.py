"""What is sent: all messages of a batch at once, and what the broker says of each.

A message that the broker does not take closes the channel, and costs the answers of the others in it. Those are sent
again one by one, so that the one is found. The copies that arise have the same ids. A large message is sent alone.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import count, groupby

from sagabus.transport import Answer, Sent, WireMessage
from sagabus.transports.lifetime import Lifetime
from sagabus.transports.rabbitmq.confirms import Batch, Publish
from sagabus.transports.rabbitmq.driver import AbstractConnection, Channel, open_channel
from sagabus.transports.rabbitmq.faults import UNREADABLE, exceptions, reason
from sagabus.transports.rabbitmq.frames import published
from sagabus.transports.rabbitmq.names import Names

_LARGE = 131_072
"""Bytes above which a message is sent alone, since the broker may find it too large."""
_FRAME = 131_072
"""Bytes of a frame where the broker names no limit."""
_REFUSALS = (exceptions.ChannelPreconditionFailed, exceptions.ChannelAccessRefused)
"""A message that is too large; a message that this user may not send."""


class Publisher:
    """Sends over one connection."""

    def __init__(self, connection: AbstractConnection, names: Names, life: Lifetime, place: str) -> None:
        self._connection, self._names, self._life, self._place = connection, names, life, place
        self._together: Channel | None = None
        self._batches: Counter[Channel] = Counter()
        self._alone: Channel | None = None
        self._opening, self._one_by_one = asyncio.Lock(), asyncio.Lock()
        self._name, self._count = os.urandom(16).hex(), count(1)
        """Both make the ids of what is sent."""

    async def send(self, messages: Sequence[WireMessage]) -> Sequence[Sent]:
        """See `sagabus.transport.Link.send`. What the driver raises means that the link has ended."""
        answers: list[Sent] = []
        for is_large, group in groupby(messages, lambda message: len(message.body) > _LARGE):
            part = list(group)
            found = [None] * len(part) if is_large else await self._send_together(part)
            for answer in found:
                answers.append(answer or await self._send_alone(messages[len(answers)]))
        return answers

    async def _send_together(self, messages: Sequence[WireMessage]) -> Sequence[Sent | None]:
        """An answer for each; None for one that the channel ended before."""
        async with self._opening:
            channel = self._together
            if channel is None or channel.is_closed:
                channel = self._together = await open_channel(self._connection, confirms=True)
        self._batches[channel] += 1
        try:
            answers = await self._publish(channel, messages)
        finally:
            self._batches[channel] -= 1
        if self._together is channel and any(map(_is_unknown, answers)):
            self._together = None  # RabbitMQ may go on refusing in this channel when there is room again
        if self._together is not channel and not self._batches[channel]:
            del self._batches[channel]
            if not channel.is_closed:
                await channel.close()
        return answers

    async def _send_alone(self, message: WireMessage) -> Sent:
        """The only message in its channel: if that is closed, it was for this one."""
        async with self._one_by_one:
            if self._alone is None or self._alone.is_closed:
                self._alone = await open_channel(self._connection, confirms=True)
            channel, found = self._alone, dict[int, Sent]()
            try:
                await self._answer(channel, [message], found)
            except _REFUSALS as error:
                return Sent(Answer.REFUSED, reason(error))
            except exceptions.ChannelClosed as error:
                self._life.end(f"the broker closed a channel: {reason(error)}")
                raise self._life.error() from None
            if _is_unknown(found[0]):
                self._alone = None
                await channel.close()
            return found[0]

    async def _publish(self, channel: Channel, messages: Sequence[WireMessage]) -> Sequence[Sent | None]:
        """The answers that came before the channel ended, if it did."""
        found: dict[int, Sent] = {}
        with suppress(exceptions.AMQPChannelError, exceptions.ChannelInvalidStateError):
            await self._answer(channel, messages, found)
        return [found.get(at) for at in range(len(messages))]

    async def _answer(self, channel: Channel, messages: Sequence[WireMessage], found: dict[int, Sent]) -> None:
        """Send, and note the answers as they come. Raises what the driver does where the channel ends."""
        largest = self._connection.connection_tune.frame_max or _FRAME
        publishes: list[Publish] = []
        for at, message in enumerate(messages):
            own_id, exchange = f"{self._name}-{next(self._count)}", self._names.exchange(message.kind)
            try:
                frames = published(message, exchange, channel.number, own_id=own_id, largest=largest)
            except UNREADABLE as error:
                found[at] = Sent(Answer.REFUSED, f"AMQP cannot carry it: {type(error).__name__}: {error}")
            else:
                publishes.append(Publish(at, own_id, frames))
        if publishes:
            await Batch(channel, publishes, found).send()


def _is_unknown(sent: Sent | None) -> bool:
    return sent is not None and sent.answer is Answer.UNKNOWN
