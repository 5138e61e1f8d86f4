"""A RabbitMQ for tests: the one that a URL names, behind a proxy that cuts, with names that are deleted afterwards."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from functools import cache
from typing import Any
from uuid import uuid4

import aio_pika
from aio_pika.exceptions import AMQPError
from tests.faults.proxy import Proxy
from tests.support.private_servers import require

from sagabus.testing.brokers import PrivateRabbitMQ
from sagabus.transport import Topology
from sagabus.transports.rabbitmq import RabbitMQTransport
from sagabus.transports.rabbitmq.link import RabbitMQLink
from sagabus.url.transport import parsed_transport

RABBITMQ = os.environ.get("SAGABUS_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672/")


@cache
def rabbitmq() -> str:
    """The URL of a server: the one that is named, or a private one where none answers there."""
    named = parsed_transport(RABBITMQ)
    try:
        socket.create_connection((named.hosts[0][0], named.hosts[0][1] or 5672), timeout=2).close()
    except OSError:
        return private_rabbitmq().url
    return RABBITMQ


def private_rabbitmq(settings: tuple[tuple[str, str], ...] = ()) -> PrivateRabbitMQ:
    """A server of this process that runs; skips on a laptop and fails in continuous integration where that is not
    possible.
    """
    require(PrivateRabbitMQ)
    server = _private(settings)
    server.start()
    return server


@cache
def _private(settings: tuple[tuple[str, str], ...]) -> PrivateRabbitMQ:
    return PrivateRabbitMQ(dict(settings))


class RecordedTransport(RabbitMQTransport):
    """Remembers what its links declare."""

    def __init__(self, url: str, declared: list[Topology]) -> None:
        super().__init__(url)
        self.declared = declared

    async def connect(self) -> RabbitMQLink:
        link, declared = await super().connect(), self.declared
        declare = link.declare

        async def recorded(topology: Topology, **options: Any) -> None:
            declared.append(topology)
            await declare(topology, **options)

        link.declare = recorded  # type: ignore[method-assign]  # for this link only
        return link


class RabbitMQPlace:
    """Names of one test in a server, reached through a proxy."""

    def __init__(self, url: str) -> None:
        self.server = url
        self.prefix = f"test-{uuid4().hex[:12]}"
        (host, port), *_ = parsed_transport(url).hosts
        self.proxy = Proxy(host, port or 5672)
        self.declared: list[Topology] = []

    def transport(self, options: str = "") -> RabbitMQTransport:
        """One that goes through the proxy."""
        parts = parsed_transport(self.server)
        login = f"{parts.user or 'guest'}:{parts.password or 'guest'}"
        url = f"amqp://{login}@127.0.0.1:{self.proxy.port}/{parts.path}?prefix={self.prefix}{options}"
        return RecordedTransport(url, self.declared)

    async def put(self, service: str, headers: dict[str, Any], body: bytes, **properties: Any) -> None:
        """Put a message of a stranger into the queue of a service."""
        async with await aio_pika.connect(self.server) as connection:
            channel = await connection.channel()
            message = aio_pika.Message(body, headers=headers, **properties)
            await channel.default_exchange.publish(message, f"{self.prefix}.service.{service}", mandatory=True)

    async def clear(self) -> None:
        """Delete all that was declared."""
        transport = self.transport()
        parts = {(part.kind, part.name) for topology in self.declared for part in transport.parts(topology)}
        async with await aio_pika.connect(self.server) as connection:
            channel = await connection.channel()
            for kind, name in parts:
                with suppress(AMQPError):
                    await (channel.queue_delete(name) if kind == "queue" else channel.exchange_delete(name))
