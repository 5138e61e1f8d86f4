"""What is sent: all messages of a batch at once, and what the broker says of each.

A message that the broker does not take closes the channel, and costs the answers of the others in it. Those are sent
again one by one, so that the one is found. The copies that arise have the same ids. A large message is sent alone.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from itertools import groupby
from typing import Any

from sagabus.errors import TransportError
from sagabus.transport import Answer, Sent, WireMessage
from sagabus.transports.lifetime import Lifetime
from sagabus.transports.rabbitmq.driver import AbstractConnection, Channel, open_channel
from sagabus.transports.rabbitmq.faults import UNREADABLE, exceptions, reason
from sagabus.transports.rabbitmq.message import to_amqp
from sagabus.transports.rabbitmq.names import Names

_LARGE = 131_072
"""Bytes above which a message is sent alone, since the broker may find it too large."""
_FRAME = 131_072
"""Bytes of a frame where the broker names no limit."""
_CONFIRMED = Sent(Answer.CONFIRMED)
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
            answers = await _all_of([self._publish(channel, message) for message in messages])
        finally:
            self._batches[channel] -= 1
        if self._together is channel and any(
            answer is not None and answer.answer is Answer.UNKNOWN for answer in answers
        ):
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
            channel = self._alone
            try:
                sent = await self._publish(channel, message)
            except _REFUSALS as error:
                return Sent(Answer.REFUSED, reason(error))
            except exceptions.ChannelClosed as error:
                self._life.end(f"the broker closed a channel: {reason(error)}")
                raise self._life.error() from None
            if _is_unknown(sent):
                self._alone = None
                await channel.close()
            return sent

    async def _publish(self, channel: Channel, message: WireMessage) -> Sent:
        try:
            await channel.basic_publish(
                message.body,
                exchange=self._names.exchange(message.kind),
                routing_key=message.type,
                properties=to_amqp(message, self._connection.connection_tune.frame_max or _FRAME),
                mandatory=True,
                wait=False,
            )
        except exceptions.PublishError as error:
            return Sent(Answer.UNROUTABLE, f"the broker returned it: {error.args[0]}")
        except exceptions.DeliveryError:
            return Sent(Answer.UNKNOWN, "the broker did not take it: a queue is full, or has no leader now")
        except UNREADABLE as error:
            return Sent(Answer.REFUSED, f"AMQP cannot carry it: {type(error).__name__}: {error}")
        return _CONFIRMED


async def _all_of(sending: Sequence[Coroutine[Any, Any, Sent]]) -> Sequence[Sent | None]:
    """An answer for each. Cancelled, it leaves none of them behind."""
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(each) for each in sending]
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        raise
    return [_answer_of(task) for task in tasks]


def _is_unknown(sent: Sent | None) -> bool:
    return sent is not None and sent.answer is Answer.UNKNOWN


def _answer_of(task: asyncio.Task[Sent]) -> Sent | None:
    if task.cancelled():
        raise TransportError("the connection was lost")
    error = task.exception()
    if isinstance(error, exceptions.AMQPChannelError | exceptions.ChannelInvalidStateError):
        return None
    if error is not None:
        raise error
    return task.result()
