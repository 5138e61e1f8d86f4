"""One connection from its begin to its end; see `sagabus.transport.Link`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from sagabus.errors import ConfigurationError, TransportError
from sagabus.transport import Delivery, Sent, Topology, WireMessage
from sagabus.transports.lifetime import Lifetime
from sagabus.transports.nats.address import Address
from sagabus.transports.nats.connection import Connection
from sagabus.transports.nats.declaring import Declaration
from sagabus.transports.nats.intake import Intake
from sagabus.transports.nats.jetstream import JetStream, Refusal
from sagabus.transports.nats.names import Names
from sagabus.transports.nats.ownership import Ownership
from sagabus.transports.nats.registry import Registry
from sagabus.transports.nats.sending import Sending

LARGEST_BATCH = 250
_CAN_SYNC = (2, 10)
_CANNOT_SYNC = (
    "confirms messages up to two minutes before they are on the disk. "
    "Its version can do nothing else: take NATS 2.10 or newer with `sync_interval: always`"
)
_LOSES = (
    "loses confirmed messages when it is killed, or stopped under traffic (seen on 2.9.10, not on 2.10.27 and 2.15.1): "
    "take a newer version"
)
_MAY_NOT_SYNC = (
    "may confirm messages before they are on the disk, and does not say whether it does: set `sync_interval: always` "
    "there, and sync=always in the URL"
)
_LEAVE = 3.0
"""Seconds for leaving things in order."""


class NatsLink:
    """A link. It is made by `NatsTransport.connect`."""

    def __init__(self, address: Address, names: Names, former: set[str]) -> None:
        """`former`: links of this transport that have ended."""
        self._address, self._names, self._former = address, names, former
        self._life = Lifetime(address.place)
        self._connection = Connection(address, self._life)
        self._jetstream = JetStream(self._connection, address.place)
        self._registry = Registry(self._connection, self._jetstream, names, address.place)
        self._sending = Sending(self._connection, self._registry, names)
        self._intake: Intake | None = None
        self._ownership: Ownership | None = None
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """Connect. To be called once."""
        try:
            await self._connection.open()
            await self._jetstream.call("INFO")
        except Refusal as refusal:
            await self.close()
            raise TransportError(refusal.text, transport=self._address.place) from refusal
        except BaseException:
            await self.close()
            raise

    async def declare(self, topology: Topology, *, make: bool = True, move: bool = False) -> None:
        await self._life.within(self._declare(topology, make=make, move=move))

    async def examine(self, topology: Topology) -> Sequence[str]:
        return await self._life.within(self._examine(topology))

    async def send(self, messages: Sequence[WireMessage]) -> Sequence[Sent]:
        return await self._life.within(self._sending.send(messages))

    async def receive(self, most: int) -> Sequence[Delivery]:
        return await self._life.within(self._receive(min(most, LARGEST_BATCH)))

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        self._life.check()
        if self._intake is not None:
            await self._life.within(self._intake.settle(deliveries))

    async def ping(self) -> None:
        await self._life.within(self._connection.echo())

    async def durability_risks(self) -> Sequence[str]:
        self._life.check()
        if self._connection.version < _CAN_SYNC:
            return (_CANNOT_SYNC, _LOSES)
        return () if self._address.is_synced else (_MAY_NOT_SYNC,)

    async def ended(self) -> str:
        return await self._life.ended()

    async def close(self) -> None:
        try:
            if self._life.end("closed"):
                with suppress(TransportError, TimeoutError):
                    async with asyncio.timeout(_LEAVE):
                        await self._leave()
        finally:
            if self._ownership is not None:
                self._former.add(self._ownership.link)
            await self._connection.close()

    async def _declare(self, topology: Topology, *, make: bool, move: bool) -> None:
        declaration = Declaration(self._jetstream, self._registry, self._names, topology, self._address.replicas)
        try:
            await declaration.check(make=make, move=move)
            if not topology.receives:
                return
            if make:
                await declaration.make(move=move)
        except ConfigurationError as error:
            raise ConfigurationError(*(f"{self._address.place}: {problem}" for problem in error.problems)) from None
        await self._begin(topology.service)
        if make and self._ownership is not None and not self._ownership.is_held:
            await self._ownership.attempt()

    async def _examine(self, topology: Topology) -> Sequence[str]:
        declaration = Declaration(self._jetstream, self._registry, self._names, topology, self._address.replicas)
        try:
            await declaration.check(make=False, move=False)
        except ConfigurationError as error:
            return error.problems
        return ()

    async def _begin(self, service: str) -> None:
        if self._intake is None:
            self._ownership = Ownership(
                self._connection,
                self._registry,
                self._names,
                service,
                former=self._former.__contains__,
                lease=self._address.lease,
            )
            self._intake = Intake(self._connection, self._jetstream, self._registry, self._names, service)
            await self._ownership.listen()

    async def _receive(self, most: int) -> Sequence[Delivery]:
        intake, ownership = self._intake, self._ownership
        if intake is None or ownership is None:
            problem = "the service has declared nothing that it receives"
            raise TransportError(problem, transport=self._address.place)
        async with self._turn:
            while not ownership.is_held and not await ownership.attempt():
                await ownership.wait()
            await intake.begin()
            found = await intake.take(most)
            if not await ownership.check():
                self._life.end("another link of the service receives now, because this one was silent for long")
            self._life.check()
            return found

    async def _leave(self) -> None:
        if self._intake is not None:
            await self._intake.give_back()
        if self._ownership is not None:
            await self._ownership.give_up()
