"""The NATS server of a test: the one that a URL names, or a private one where none answers; and streams in it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from functools import cache
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import uuid4

import nats
import pytest
from tests.faults.proxy import Proxy

from sagabus.testing.brokers import PrivateNats
from sagabus.transport import Answer, Delivery, Link, Topology, WireMessage
from sagabus.transports.nats import NatsTransport
from sagabus.transports.nats.link import NatsLink

NATS = os.environ.get("SAGABUS_TEST_NATS", "nats://127.0.0.1:4222")


@cache
def nats_server() -> tuple[str, int]:
    """Host and port of a server with JetStream."""
    parts = urlsplit(NATS)
    named = parts.hostname or "127.0.0.1", parts.port or 4222
    if "SAGABUS_NATS_SERVER" not in os.environ:
        try:
            socket.create_connection(named, timeout=2).close()
        except OSError:
            pass
        else:
            return named
    if PrivateNats.available():
        _private().start()
        return "127.0.0.1", _private().port
    if os.environ.get("CI"):
        pytest.fail(f"no NATS server answers at {named[0]}:{named[1]}, and nats-server is not on this machine")
    pytest.skip("no NATS server: set SAGABUS_TEST_NATS, or install nats-server")


@cache
def _private() -> PrivateNats:
    """Kept until this interpreter ends, and with it the server."""
    return PrivateNats()


class Streams:
    """Streams of one test's own on a server, seen by a client of NATS, and through a proxy. For one event loop."""

    def __init__(self, server: tuple[str, int] | None = None, **options: str) -> None:
        self.prefix = f"t{uuid4().hex[:12]}"
        self.server, self._options = server or nats_server(), options
        self.proxy = Proxy(*self.server)
        self.links: list[NatsLink] = []

    async def __aenter__(self) -> Self:
        self.proxy.accept()
        self.client = await nats.connect("nats://{}:{}".format(*self.server), allow_reconnect=False)
        self.stream = self.client.jetstream()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.proxy.flow()
        for link in self.links:
            await link.close()
        for stream in (self.prefix, f"KV_{self.prefix}-topology"):
            await self.api(f"STREAM.DELETE.{stream}")
        await self.client.close()
        await self.proxy.__aexit__()

    def transport(self, *, proxied: bool = True) -> NatsTransport:
        """A new one, as another process has it."""
        host, port = ("127.0.0.1", self.proxy.port) if proxied else self.server
        options = "&".join(f"{name}={value}" for name, value in {"prefix": self.prefix, **self._options}.items())
        return NatsTransport(f"nats://{host}:{port}?{options}")

    async def link(self, *events: str, proxied: bool = True, service: str = "books") -> NatsLink:
        """A link of another process, for a service that wants these events."""
        link = await self.transport(proxied=proxied).connect()
        self.links.append(link)
        if events:
            await link.declare(Topology(service, events))
        return link

    async def api(self, action: str, **arguments: Any) -> dict[str, Any]:
        """What JetStream answers."""
        answer = await self.client.request(f"$JS.API.{action}", json.dumps(arguments).encode(), timeout=10)
        found: dict[str, Any] = json.loads(answer.data)
        return found

    async def consumer(self, service: str = "books") -> dict[str, Any]:
        """What JetStream says of the consumer of a service."""
        return await self.api(f"CONSUMER.INFO.{self.prefix}.{service}")


def note(number: int, name: str = "noted", **fields: Any) -> WireMessage:
    """A message of the service `shop`."""
    return WireMessage(id=f"m{number}", source="shop", type=name, body=b"%d" % number, **fields)


async def send(link: Link, *messages: WireMessage) -> list[Answer]:
    """What the broker says of each."""
    async with asyncio.timeout(20):
        return [sent.answer for sent in await link.send(messages)]


async def receive(link: Link, count: int) -> list[Delivery]:
    """The next so many."""
    found: list[Delivery] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            found += await link.receive(count - len(found))
    return found


def ids(deliveries: list[Delivery]) -> list[str]:
    """The ids of their messages."""
    return [each.message.id for each in deliveries]
