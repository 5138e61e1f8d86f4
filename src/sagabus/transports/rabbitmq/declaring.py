"""What a service needs at the broker: refused as a whole, then made; or only named as missing.

The broker answers a declaration that it refuses by closing the channel, so each refusal costs one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from sagabus.errors import ConfigurationError, TransportError
from sagabus.transport import Topology
from sagabus.transports import wire
from sagabus.transports.rabbitmq.driver import AbstractConnection, ArgumentsType, Channel, open_channel
from sagabus.transports.rabbitmq.faults import exceptions, reason
from sagabus.transports.rabbitmq.names import QUEUE, Binding, Marker, Names

_PATIENCE = 20.0
"""Seconds for one answer: a queue without a leader gives none."""
Ask = Callable[[Channel], Awaitable[object]]


class Declaration:
    """One declaration of one topology. See `sagabus.transport.Link.declare`."""

    def __init__(self, connection: AbstractConnection, names: Names, topology: Topology, place: str) -> None:
        self._connection, self._names, self._topology, self._place = connection, names, topology, place
        self._queue = names.queue(topology.service)
        self._channel: Channel | None = None
        self._problems: list[str] = []

    async def check(self, *, move: bool) -> None:
        """ConfigurationError for all that others have claimed, and for a queue in another form. Makes nothing."""
        if self._topology.receives:
            if await self._is_queue():
                await self._declare_queue()
            for marker in self._claims(move=move):
                if await self._is_exchange(marker.name):
                    await self._claim(marker)
        await self._end()

    async def find_missing(self) -> None:
        """ConfigurationError for all that is missing. Makes nothing."""
        if self._topology.receives and not await self._is_queue():
            self._problems.append(f"the queue {self._queue!r} is missing")
        for exchange, problem in self._wanted():
            if not await self._is_exchange(exchange):
                self._problems.append(problem)
        await self._end()

    async def make(self, *, move: bool) -> None:
        """Make all of it. What another one has claimed meanwhile is refused before anything leads into the queue."""
        topology, names = self._topology, self._names
        for exchange in (names.events, names.commands):
            await self._declare_exchange(exchange)
        if topology.receives:
            if move and topology.store:
                await self._forget(names.store(topology.service, topology.store))
            for marker in names.claims(topology):
                await self._claim(marker)
            if not self._problems:
                await self._declare_queue()
            if not self._problems:
                for binding in names.bindings(topology):
                    await self._bind(binding)
        await self._end()

    def _claims(self, *, move: bool) -> Iterator[Marker]:
        """Those that no other service or store may have made. A queue that is to move may feed another store."""
        topology, names = self._topology, self._names
        of_store = names.store(topology.service, topology.store)
        return (marker for marker in names.claims(topology) if not (move and marker == of_store))

    def _wanted(self) -> Iterator[tuple[str, str]]:
        """Each exchange, and what its absence means."""
        topology, names = self._topology, self._names
        for exchange in (names.events, names.commands):
            yield exchange, f"the exchange {exchange!r} is missing"
        if topology.receives:
            for marker in names.claims(topology):
                yield marker.name, f"the exchange {marker.name!r} is missing"
            for binding in names.bindings(topology):
                problem = f"the queue {self._queue!r} has no binding for the {binding.kind} {binding.type!r}"
                yield binding.marker.name, problem

    # --- one thing each -----------------------------------------------------------------------------------------------

    async def _is_queue(self) -> bool:
        queue = self._queue
        return await self._is_there(lambda channel: channel.queue_declare(queue, passive=True), f"the queue {queue!r}")

    async def _is_exchange(self, name: str) -> bool:
        what = f"the exchange {name!r}"
        return await self._is_there(lambda channel: channel.exchange_declare(name, passive=True), what)

    async def _declare_queue(self) -> None:
        queue = self._queue
        wanted = ", ".join(f"{name}={str(value).lower()}" for name, value in QUEUE.items())
        await self._attempt(
            lambda channel: channel.queue_declare(queue, durable=True, arguments=dict(QUEUE)),
            f"the queue {queue!r}",
            lambda said: (
                f"the queue {queue!r} is there in another form, in which it could lose messages or their order "
                f"({said}). Empty it, delete it and start again: it is made with {wanted}"
            ),
        )

    async def _declare_exchange(self, name: str) -> None:
        await self._attempt(
            lambda channel: channel.exchange_declare(name, exchange_type="topic", durable=True),
            f"the exchange {name!r}",
            lambda said: f"the exchange {name!r} is there in another form ({said}): delete it and start again",
        )

    async def _claim(self, marker: Marker) -> None:
        await self._mark(marker, lambda said: self._is_claimed(marker, said))

    async def _bind(self, binding: Binding) -> None:
        queue = self._queue
        await self._attempt(
            lambda channel: channel.queue_bind(queue, binding.exchange, binding.type),
            f"the binding of the {binding.kind} {binding.type!r} to the queue {queue!r}",
        )
        await self._mark(binding.marker)

    async def _mark(self, marker: Marker, refused: Callable[[str], str] | None = None) -> None:
        arguments: ArgumentsType = {} if marker.remembers is None else {"alternate-exchange": marker.remembers}
        await self._attempt(
            lambda channel: channel.exchange_declare(
                marker.name, exchange_type="fanout", durable=True, internal=True, arguments=arguments
            ),
            f"the exchange {marker.name!r}",
            refused,
        )

    async def _forget(self, marker: Marker) -> None:
        await self._attempt(lambda channel: channel.exchange_delete(marker.name), f"the exchange {marker.name!r}")

    def _is_claimed(self, marker: Marker, said: str) -> str:
        names, service = self._names, self._topology.service
        for command in self._topology.commands:
            if marker == names.owner(service, command):
                return (
                    f"command {command!r} has a receiver already ({said}). Remove it from one of the two services. "
                    f"If the other one is gone, delete the exchange {marker.name!r}"
                )
        return wire.feeds_another_store(service)

    # --- asking -------------------------------------------------------------------------------------------------------

    async def _is_there(self, ask: Ask, what: str) -> bool:
        try:
            await self._ask(ask, what)
        except exceptions.ChannelNotFoundEntity:
            return False
        except exceptions.AMQPChannelError as error:
            self._problems.append(f"{what} cannot be looked for: {reason(error)}")
        return True

    async def _attempt(self, ask: Ask, what: str, refused: Callable[[str], str] | None = None) -> None:
        """Have the broker do it, or note why it does not. `refused`: what it means that the form is another one."""
        try:
            await self._ask(ask, what)
        except exceptions.AMQPChannelError as error:
            if refused is not None and isinstance(error, exceptions.ChannelPreconditionFailed):
                self._problems.append(refused(reason(error)))
            else:
                self._problems.append(f"{what} is refused: {reason(error)}")

    async def _ask(self, ask: Ask, what: str) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                if self._channel is None or self._channel.is_closed:
                    self._channel = await open_channel(self._connection)
                await ask(self._channel)
        except TimeoutError:
            raise TransportError(f"{what}: no answer for {_PATIENCE:g} s", transport=self._place) from None

    async def _end(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None and not channel.is_closed:
            await channel.close()
        if self._problems:
            raise ConfigurationError(*self._problems)
