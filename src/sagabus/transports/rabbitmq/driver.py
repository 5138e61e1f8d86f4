"""aiormq, the client below aio-pika: a connection that never comes back, which is what a link is."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, cast

from sagabus.errors import ConfigurationError

try:
    import aiormq
    from aiormq import Channel, spec
    from aiormq.abc import AbstractConnection, ArgumentsType, DeliveredMessage
    from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
    from pamqp import decode
    from pamqp.header import ContentHeader
    from yarl import URL
except ImportError as error:
    raise ConfigurationError(f"RabbitMQ needs aiormq: pip install 'sagabus[rabbitmq]' ({error})") from error

__all__ = ["URL", "AbstractConnection", "ArgumentsType", "Channel", "Connection", "ContentHeader", "DeliveredMessage"]
__all__ += ["TCPTransportFactory", "TLSTransportFactory", "TransportFactory", "aiormq"]
__all__ += ["connected", "decode", "open_channel", "spec", "when_closed"]


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


def when_closed(thing: AbstractConnection | Channel, then: Callable[[asyncio.Future[object]], object]) -> None:
    """Call with the future that tells why a connection or a channel has ended, once it has."""
    cast("Any", thing.closing).add_done_callback(then)
