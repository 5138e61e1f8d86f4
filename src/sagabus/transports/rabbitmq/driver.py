"""aiormq, the client below aio-pika: a connection that never comes back, which is what a link is."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import Any, cast

from sagabus.errors import ConfigurationError

try:
    import aiormq
    from aiormq import Channel, spec
    from aiormq.abc import AbstractConnection, ArgumentsType, ChannelFrame, DeliveredMessage
    from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
    from pamqp import decode
    from pamqp.header import ContentHeader
    from yarl import URL
except ImportError as error:
    raise ConfigurationError(f"RabbitMQ needs aiormq: pip install 'sagabus[rabbitmq]' ({error})") from error

__all__ = ["URL", "AbstractConnection", "ArgumentsType", "Channel", "Connection", "ContentHeader", "DeliveredMessage"]
__all__ += ["TCPTransportFactory", "TLSTransportFactory", "TransportFactory", "aiormq"]
__all__ += ["connected", "decode", "expect", "forget", "open_channel", "spec", "when_closed", "write"]


class _Socketed(TransportFactory):
    """Makes the socket of one connection, and keeps it."""

    def __init__(self, below: TransportFactory) -> None:
        self._below = below
        self._writer: asyncio.StreamWriter | None = None

    async def create(self, url: URL, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """As the factory below."""
        reader, self._writer = await self._below.create(url, **options)
        return reader, self._writer

    def abort(self) -> None:
        """Close it, whatever waits in it."""
        if self._writer is not None:
            self._writer.transport.abort()


class Connection(aiormq.Connection):
    """One that can be cut: where its close is cancelled, the driver's stays half closed, and its consumers with it."""

    def __init__(self, url: URL, *, context: ssl.SSLContext | None, factory: TransportFactory) -> None:
        self._socket = _Socketed(factory)
        super().__init__(url, context=context, transport_factory=self._socket)

    def cut(self) -> None:
        """End it at this end, without a word to the broker. Twice is harmless."""
        self._socket.abort()


async def connected(connection: Connection) -> None:
    """Connect; what the driver raises."""
    await cast("Any", connection).connect()


async def open_channel(connection: AbstractConnection, *, confirms: bool = False) -> Channel:
    """A new channel."""
    return cast("Channel", await connection.channel(publisher_confirms=confirms))


async def write(channel: Channel, frames: bytes) -> None:
    """Hand frames to what writes them to the socket. Cancelled, it has not done so; it waits for nothing else."""
    await cast("Any", channel).write_queue.put(ChannelFrame(payload=frames, should_close=False))


def expect(channel: Channel, confirmations: Mapping[str, object]) -> asyncio.Future[None]:
    """Tell the driver of messages that were just written, by their ids in order: it settles such a thing for each.

    A new future, which fails when the channel ends.
    """
    driver: Any = channel
    for tag, (own_id, confirmation) in enumerate(confirmations.items(), channel.delivery_tag + 1):
        driver.confirmations[tag] = confirmation
        driver.message_id_delivery_tag[own_id] = tag
    driver.delivery_tag += len(confirmations)
    ended: asyncio.Future[None] = driver.create_future()
    return ended


def forget(channel: Channel, own_id: str) -> None:
    """The broker returns the message with this id no more."""
    channel.message_id_delivery_tag.pop(own_id, None)


def when_closed(thing: AbstractConnection | Channel, then: Callable[[asyncio.Future[object]], object]) -> None:
    """Call with the future that tells why a connection or a channel has ended, once it has."""
    cast("Any", thing.closing).add_done_callback(then)
