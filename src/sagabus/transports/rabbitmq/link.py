"""One link: a connection that sends, another one that receives, and the end of both as soon as one ends.

They are two because a broker that is short of memory or disk reads nothing more from connections that publish. Its
queues can still be emptied then, which is what helps it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from sagabus.errors import ConfigurationError, TransportError
from sagabus.transport import Delivery, Sent, Topology, WireMessage
from sagabus.transports.lifetime import Lifetime
from sagabus.transports.rabbitmq.declaring import Declaration
from sagabus.transports.rabbitmq.dialling import Dialler
from sagabus.transports.rabbitmq.driver import Connection, open_channel, when_closed
from sagabus.transports.rabbitmq.faults import DRIVER_ERRORS, translated, why
from sagabus.transports.rabbitmq.names import Names
from sagabus.transports.rabbitmq.publishing import Publisher
from sagabus.transports.rabbitmq.receiving import Receiver


class RabbitMQLink:
    """See `sagabus.transport.Link`."""

    def __init__(self, dialler: Dialler, sending: Connection, most: int) -> None:
        """`most`: how many messages may be open here."""
        self._dialler, self._sending, self._most = dialler, sending, most
        self._names = Names(dialler.options.prefix)
        self._place = dialler.options.place
        self._life = Lifetime(self._place)
        self._receiving: Connection | None = None
        self._receiver: Receiver | None = None
        self._publisher = Publisher(sending, self._names, self._life, self._place)
        self._watch(sending)

    async def declare(self, topology: Topology, *, make: bool = True, move: bool = False) -> None:
        await self._life.within(self._declare(topology, make=make, move=move))

    async def examine(self, topology: Topology) -> Sequence[str]:
        return await self._life.within(self._examine(topology))

    async def send(self, messages: Sequence[WireMessage]) -> Sequence[Sent]:
        return await self._life.within(self._send(messages))

    async def receive(self, most: int) -> Sequence[Delivery]:
        self._life.check()
        if self._receiver is None:
            raise TransportError("the service has declared nothing that it receives", transport=self._place)
        return await self._life.within(self._receiver.receive(most))

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        self._life.check()
        if self._receiver is not None:
            await self._receiver.settle(deliveries)

    async def ping(self) -> None:
        await self._life.within(self._ping())

    async def durability_risks(self) -> Sequence[str]:
        self._life.check()
        return ()  # a quorum queue confirms what a majority of its members has on disk

    async def ended(self) -> str:
        return await self._life.ended()

    async def close(self) -> None:
        self._life.end("closed")
        connections = [each for each in (self._receiving, self._sending) if each is not None]
        try:
            await asyncio.gather(*map(_close, connections))
        finally:
            for connection in connections:
                connection.cut()

    async def _declare(self, topology: Topology, *, make: bool, move: bool) -> None:
        with translated(self._place):
            declaration = Declaration(self._sending, self._names, topology, self._place)
            if not make:
                await declaration.find_missing()
            await declaration.check(move=move)
            if make:
                await declaration.make(move=move)
            queue = self._names.queue(topology.service)
            if topology.receives and (self._receiver is None or self._receiver.queue != queue):
                receiver = Receiver(queue, self._most, self._life, self._place)
                await receiver.begin(await self._connection())
                self._receiver = receiver

    async def _examine(self, topology: Topology) -> Sequence[str]:
        with translated(self._place):
            declaration = Declaration(self._sending, self._names, topology, self._place)
            problems: list[str] = []
            for look in (declaration.find_missing(), declaration.check(move=False)):
                try:
                    await look
                except ConfigurationError as error:
                    problems += error.problems
            return list(dict.fromkeys(problems))

    async def _connection(self) -> Connection:
        """The one that receives."""
        if self._receiving is None:
            self._receiving = await self._dialler.receiving()
            self._watch(self._receiving)
        return self._receiving

    async def _send(self, messages: Sequence[WireMessage]) -> Sequence[Sent]:
        with translated(self._place):
            return await self._publisher.send(messages)

    async def _ping(self) -> None:
        with translated(self._place):
            channel = await open_channel(self._receiving or self._sending)
            await channel.close()

    def _watch(self, connection: Connection) -> None:
        when_closed(connection, lambda closing: self._life.end(why(closing)))


async def _close(connection: Connection) -> None:
    if not connection.is_closed:
        with suppress(*DRIVER_ERRORS):
            await connection.close()
