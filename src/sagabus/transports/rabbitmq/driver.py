"""aiormq, the client below aio-pika: a connection that never comes back, which is what a link is."""

from __future__ import annotations

import asyncio
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

__all__ = ["URL", "AbstractConnection", "ArgumentsType", "Channel", "ContentHeader", "DeliveredMessage"]
__all__ += ["TCPTransportFactory", "TLSTransportFactory", "TransportFactory", "aiormq"]
__all__ += ["connected", "decode", "open_channel", "spec", "when_closed"]


async def connected(connection: aiormq.Connection) -> None:
    """Connect; what the driver raises."""
    await cast("Any", connection).connect()


async def open_channel(connection: AbstractConnection, *, confirms: bool = False) -> Channel:
    """A new channel."""
    return cast("Channel", await connection.channel(publisher_confirms=confirms))


def when_closed(thing: AbstractConnection | Channel, then: Callable[[asyncio.Future[object]], object]) -> None:
    """Call with the future that tells why a connection or a channel has ended, once it has."""
    cast("Any", thing.closing).add_done_callback(then)
