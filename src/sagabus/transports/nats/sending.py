"""From messages to the stream: all of a batch are published one after another, and answered when all is known.

A publication has no `Nats-Msg-Id`. With one, the server would keep a replay for a copy, and confirm it without handing
it out. What is a copy is decided by the inbox of the receiver.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from sagabus.errors import TransportError
from sagabus.transport import Answer, Sent, WireKind, WireMessage
from sagabus.transports import wire
from sagabus.transports.nats import headers
from sagabus.transports.nats.connection import Connection, Question, Reply
from sagabus.transports.nats.jetstream import TOO_LARGE, Refusal, answer
from sagabus.transports.nats.names import Names
from sagabus.transports.nats.registry import Registry

_CONFIRM = 15.0
"""Seconds for the confirms of a batch."""
_IN_FLIGHT = 8 << 20
"""Bytes of one batch that may wait for their confirm."""
_STORED = b'{"stream":'
"""How the answer begins to what is in the stream. An error stands first in its answer."""
_CONFIRMED = Sent(Answer.CONFIRMED)


class Sending:
    """What one link sends."""

    def __init__(self, connection: Connection, registry: Registry, names: Names) -> None:
        self._connection, self._registry, self._names = connection, registry, names
        self._received: dict[tuple[WireKind, str, str], str] = {}
        """Kinds, types and sources whose messages have a receiver, with their subject: that never ends."""

    async def send(self, messages: Sequence[WireMessage]) -> list[Sent]:
        """One answer for each message."""
        await self._look_up(messages)
        batch = _Batch(self._connection)
        try:
            async with asyncio.timeout(_CONFIRM):
                for share in _shares([self._prepared(message) for message in messages]):
                    await batch.ask(share)
        except TimeoutError:
            pass  # what has no answer yet is UNKNOWN
        finally:
            batch.forget()
        return batch.sent(len(messages))

    async def _look_up(self, messages: Sequence[WireMessage]) -> None:
        """Who receives these. That none does is never kept: it may change with the next message."""
        unknown = {known for each in messages if (known := _of(each)) not in self._received}
        if unknown:
            found = await asyncio.gather(*(self._has_receiver(*each) for each in unknown))
            for each, is_received in zip(unknown, found, strict=True):
                if is_received:
                    self._received[each] = self._names.subject(*each[:2])

    async def _has_receiver(self, kind: WireKind, message_type: str, source: str) -> bool:
        services = (await self._registry.receivers(kind, message_type)).value.services
        if not services and await self._registry.is_lost():
            raise TransportError(self._registry.missing)  # an event would count as unheard, and be dropped
        return any(kind == "command" or service != source for service in services)

    def _prepared(self, message: WireMessage) -> Question | Sent:
        subject = self._received.get(_of(message))
        if subject is None:
            return Sent(Answer.UNROUTABLE, f"no service receives the {message.kind} {message.type}")
        block = headers.block(headers.written(wire.written(message)))
        size, most = len(block) + len(message.body), self._connection.largest
        if size > most:
            reason = f"it has {size} bytes with its headers, and the server takes {most}: raise max_payload there"
            return Sent(Answer.REFUSED, reason)
        return Question(subject, message.body, block)


class _Batch:
    """The answers of one batch, in order."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._answers: list[asyncio.Future[Reply] | Sent] = []
        self._asked: list[asyncio.Future[Reply]] = []

    async def ask(self, share: Sequence[Question | Sent]) -> None:
        """Send what is to be sent of a share, and wait for all answers."""
        asked = await self._connection.asked([each for each in share if isinstance(each, Question)])
        self._asked += asked
        following = iter(asked)
        self._answers += [each if isinstance(each, Sent) else next(following) for each in share]
        for each in asked:  # most of them are there when the first is
            if not each.done():
                await asyncio.wait([each])

    def forget(self) -> None:
        """Wait for no answer any more."""
        self._connection.forget(self._asked)

    def sent(self, count: int) -> list[Sent]:
        """What is known now of so many messages."""
        found = [each if isinstance(each, Sent) else _sent(each) for each in self._answers]
        return found + [Sent(Answer.UNKNOWN, "it was not sent in time")] * (count - len(found))


def _shares(messages: Sequence[Question | Sent]) -> Iterator[list[Question | Sent]]:
    """So many at once that few bytes wait for their confirms."""
    share: list[Question | Sent] = []
    size = 0
    for each in messages:
        share.append(each)
        size += 0 if isinstance(each, Sent) else len(each.block) + len(each.body)
        if size > _IN_FLIGHT:
            yield share
            share, size = [], 0
    if share:
        yield share


def _of(message: WireMessage) -> tuple[WireKind, str, str]:
    return (message.kind, message.type, message.source)


def _sent(asked: asyncio.Future[Reply]) -> Sent:
    if not asked.done():
        return Sent(Answer.UNKNOWN, f"no confirm for {_CONFIRM:g} s")
    reply = asked.result()
    if reply.denied:
        return Sent(Answer.REFUSED, reply.denied)
    if reply.is_unheard:
        return Sent(Answer.UNKNOWN, "the stream that takes it is gone, or the server is about to start it")
    if reply.body.startswith(_STORED):
        return _CONFIRMED
    try:
        answer(reply.body)
    except Refusal as refusal:
        return Sent(Answer.REFUSED if refusal.code in TOO_LARGE else Answer.UNKNOWN, refusal.text)
    return _CONFIRMED
