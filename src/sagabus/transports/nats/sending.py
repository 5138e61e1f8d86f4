"""From messages to the stream: all of a batch are published one after another, and answered when all is known.

A publication has no `Nats-Msg-Id`. With one, the server would keep a replay for a copy, and confirm it without handing
it out. What is a copy is decided by the inbox of the receiver.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sagabus.errors import TransportError
from sagabus.transport import Answer, Sent, WireKind, WireMessage
from sagabus.transports import wire
from sagabus.transports.nats import headers
from sagabus.transports.nats.connection import Connection, Reply
from sagabus.transports.nats.jetstream import TOO_LARGE, Refusal, answer
from sagabus.transports.nats.names import Names
from sagabus.transports.nats.registry import Registry

_CONFIRM = 15.0
"""Seconds for the confirms of a batch."""
_IN_FLIGHT = 8 << 20
"""Bytes of one batch that may wait for their confirm."""
_CONFIRMED = Sent(Answer.CONFIRMED)


class Sending:
    """What one link sends."""

    def __init__(self, connection: Connection, registry: Registry, names: Names) -> None:
        self._connection, self._registry, self._names = connection, registry, names
        self._received: set[tuple[WireKind, str, str]] = set()
        """Kinds, types and sources whose messages have a receiver: that never ends."""

    async def send(self, messages: Sequence[WireMessage]) -> list[Sent]:
        """One answer for each message."""
        await self._look_up(messages)
        batch = _Batch()
        try:
            async with asyncio.timeout(_CONFIRM):
                for message in messages:
                    await self._publish(message, batch)
                await batch.rest()
        except TimeoutError:
            pass
        return batch.sent(len(messages))

    async def _look_up(self, messages: Sequence[WireMessage]) -> None:
        """Who receives these. That none does is never kept: it may change with the next message."""
        unknown = {known for each in messages if (known := _of(each)) not in self._received}
        if unknown:
            found = await asyncio.gather(*(self._has_receiver(*each) for each in unknown))
            self._received.update(each for each, is_received in zip(unknown, found, strict=True) if is_received)

    async def _has_receiver(self, kind: WireKind, message_type: str, source: str) -> bool:
        services = (await self._registry.receivers(kind, message_type)).value.services
        if not services and await self._registry.is_lost():
            raise TransportError(self._registry.missing)  # an event would count as unheard, and be dropped
        return any(kind == "command" or service != source for service in services)

    async def _publish(self, message: WireMessage, batch: _Batch) -> None:
        if _of(message) not in self._received:
            batch.known(Sent(Answer.UNROUTABLE, f"no service receives the {message.kind} {message.type}"))
            return
        lines = headers.written(wire.written(message))
        size, most = headers.size(lines) + len(message.body), self._connection.largest
        if size > most:
            reason = f"it has {size} bytes with its headers, and the server takes {most}: raise max_payload there"
            batch.known(Sent(Answer.REFUSED, reason))
            return
        subject = self._names.subject(message.kind, message.type)
        batch.asked(await self._connection.asked(subject, message.body, headers=lines), size)
        await batch.room()


class _Batch:
    """The answers of one batch, in order."""

    def __init__(self) -> None:
        self._answers: list[asyncio.Future[Reply] | Sent] = []
        self._sizes: list[tuple[asyncio.Future[Reply], int]] = []
        self._in_flight = 0

    def known(self, sent: Sent) -> None:
        """The answer is known without the broker."""
        self._answers.append(sent)

    def asked(self, reply: asyncio.Future[Reply], size: int) -> None:
        """The broker will answer."""
        self._answers.append(reply)
        self._sizes.append((reply, size))
        self._in_flight += size

    async def room(self) -> None:
        """Wait until there is room for more."""
        while self._in_flight > _IN_FLIGHT:
            reply, size = self._sizes.pop(0)
            await asyncio.wait([reply])
            self._in_flight -= size

    async def rest(self) -> None:
        """Wait for all answers."""
        waiting = [reply for reply, _ in self._sizes if not reply.done()]
        if waiting:
            await asyncio.wait(waiting)

    def sent(self, count: int) -> list[Sent]:
        """What is known now of so many messages."""
        found = [each if isinstance(each, Sent) else _sent(each) for each in self._answers]
        return found + [Sent(Answer.UNKNOWN, "it was not sent in time")] * (count - len(found))


def _of(message: WireMessage) -> tuple[WireKind, str, str]:
    return (message.kind, message.type, message.source)


def _sent(asked: asyncio.Future[Reply]) -> Sent:
    if not asked.done():
        asked.cancel()
        return Sent(Answer.UNKNOWN, f"no confirm for {_CONFIRM:g} s")
    reply = asked.result()
    if reply.denied:
        return Sent(Answer.REFUSED, reply.denied)
    if reply.is_unheard:
        return Sent(Answer.UNKNOWN, "the stream that takes it is gone, or the server is about to start it")
    try:
        answer(reply.body)
    except Refusal as refusal:
        return Sent(Answer.REFUSED if refusal.code in TOO_LARGE else Answer.UNKNOWN, refusal.text)
    return _CONFIRMED
