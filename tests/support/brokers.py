"""Brokers for fault tests: a private server of each kind, behind a proxy, with names of one test's own.

A kind is added by a class below `Lab` and its place in `LABS`: then every test of `tests/faults/test_brokers.py` runs
on it.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from typing import Any, ClassVar, Self
from uuid import uuid4

import aio_pika
import nats
import pytest
from nats.aio.client import Client
from tests.faults.proxy import Proxy
from tests.support.private_servers import require
from tests.support.redis_server import OwnKeys

from sagabus.testing.brokers import PrivateNats, PrivateRabbitMQ, PrivateRedis
from sagabus.testing.servers import PrivateServer
from sagabus.transport import Link, Transport
from sagabus.transports import transport_from_url

SERVICES = ("books", "orders", "payments", "shop")
"""Those that tests use."""


@cache
def _server(kind: type[PrivateServer]) -> PrivateServer:
    """One of each kind in this process: to start some takes seconds."""
    return kind()


class Lab(ABC):
    """One broker for one test. An asynchronous context manager, in which its server runs."""

    kind: ClassVar[type[PrivateServer]]
    proxy: Proxy
    """Between the broker and all links that `transport` makes."""

    def __init__(self) -> None:
        require(self.kind)
        self.server = _server(self.kind)
        self.prefix = f"test-{uuid4().hex[:12]}"

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.server.start)
        self.proxy = await Proxy("127.0.0.1", self.server.port).__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.server.start)
        await self.clear()
        await self.proxy.__aexit__()

    def transport(self) -> Transport:
        """One that goes through the proxy."""
        return transport_from_url(self.url(self.proxy.port))

    @abstractmethod
    def url(self, port: int | None = None) -> str:
        """For other processes as well: the names of this test, at a port. The broker forgets a silent receiver soon."""

    @abstractmethod
    async def waiting(self, service: str) -> int:
        """How many messages of a service the broker has: those that are not settled among them."""

    @abstractmethod
    async def put(self, service: str, headers: dict[str, Any], body: bytes) -> None:
        """Put a message of a stranger into the queue of a service."""

    @abstractmethod
    async def clear(self) -> None:
        """Delete what this test has made for SERVICES."""

    async def keep(self) -> None:
        """Have on disk what was declared, for brokers that write it later than messages."""
        await asyncio.sleep(0)

    def may_end(self) -> None:
        """Skip the test where this version loses what it has confirmed when it is killed, or stopped under traffic."""
        if self.loses:
            pytest.skip(self.loses)

    @property
    def loses(self) -> str:
        """Why it loses what it has confirmed when it is killed, or stopped under traffic."""
        return ""

    @abstractmethod
    def full(self, service: str) -> AbstractAsyncContextManager[None]:
        """The broker refuses meanwhile what goes to a service, beyond a few messages, and does not say for how long."""


_COUNT = """
case rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"{queue}">>)) of
    {{ok, Queue}} ->
        Leader = amqqueue:get_pid(Queue),
        {{ok, {{_, Count}}, _}} = try
            ra:leader_query(Leader, fun rabbit_fifo:query_messages_total/1)
        catch error:function_clause ->
            ra:leader_query(Leader, {{rabbit_fifo, query_messages_total, []}})
        end,
        Count;
    {{error, not_found}} -> 0
end.
"""
"""The leader of a quorum queue knows what it has; `list_queues` says what it was some seconds ago.

Newer servers take a function by its name only, and older ones only as a value.
"""


class RabbitMQLab(Lab):
    """RabbitMQ."""

    kind = PrivateRabbitMQ
    server: PrivateRabbitMQ

    def url(self, port: int | None = None) -> str:
        return f"amqp://guest:guest@127.0.0.1:{port or self.server.port}/?prefix={self.prefix}&heartbeat=1"

    async def waiting(self, service: str) -> int:
        return int(await self.control("eval", _COUNT.format(queue=f"{self.prefix}.service.{service}")))

    async def put(self, service: str, headers: dict[str, Any], body: bytes) -> None:
        async with await aio_pika.connect(self.server.url) as connection:
            channel = await connection.channel()
            message = aio_pika.Message(body, headers=headers)
            await channel.default_exchange.publish(message, f"{self.prefix}.service.{service}", mandatory=True)

    async def clear(self) -> None:
        # Queues only: their messages would be in the way of a restart, and exchanges are nothing but names.
        async with await aio_pika.connect(self.server.url) as connection:
            channel = await connection.channel()
            for service in SERVICES:
                await channel.queue_delete(f"{self.prefix}.service.{service}")

    async def keep(self) -> None:
        # RabbitMQ 3.10 writes which quorum queues there are after three minutes. Killed before, it has lost the leader.
        # 4.0 writes later that there is a queue at all.
        await self.control("eval", "catch mnesia:sync_log(), [dets:sync(Table) || Table <- dets:all()].")

    @asynccontextmanager
    async def full(self, service: str) -> AsyncIterator[None]:
        name = f"{self.prefix}-full"
        queue = f"^{self.prefix}.service.{service}$"
        await self.control("set_policy", name, queue, '{"max-length": 3}', "--apply-to", "queues")
        try:
            yield
        finally:
            await self.control("clear_policy", name)

    async def control(self, *arguments: str) -> str:
        """What `rabbitmqctl` says."""
        return await asyncio.to_thread(self.server.control, *arguments)


class RedisLab(Lab):
    """Redis, whose memory is full where a queue is to be."""

    kind = PrivateRedis

    def url(self, port: int | None = None) -> str:
        return f"redis://127.0.0.1:{port or self.server.port}/0?prefix={self.prefix}&lease=1"

    async def waiting(self, service: str) -> int:
        async with self._keys() as keys:
            return int(await keys.client.xlen(keys.names.queue(service)))

    async def put(self, service: str, headers: dict[str, Any], body: bytes) -> None:
        async with self._keys() as keys:
            await keys.put(service, headers, body)

    async def clear(self) -> None:
        async with self._keys() as keys:
            await keys.clear()

    @asynccontextmanager
    async def full(self, service: str) -> AsyncIterator[None]:
        async with self._keys() as keys:
            await keys.client.config_set("maxmemory", 1)
            try:
                yield
            finally:
                await keys.client.config_set("maxmemory", 0)

    @asynccontextmanager
    async def _keys(self) -> AsyncIterator[OwnKeys]:
        keys = OwnKeys(self.server.url, self.prefix)
        try:
            yield keys
        finally:
            await keys.client.aclose()


class NatsLab(Lab):
    """NATS, whose stream is full where a queue is to be: all services share it."""

    kind = PrivateNats

    def url(self, port: int | None = None) -> str:
        return f"nats://127.0.0.1:{port or self.server.port}?prefix={self.prefix}&lease=2"

    async def waiting(self, service: str) -> int:
        found = await self._api(f"CONSUMER.INFO.{self.prefix}.{service}")
        return int(found["num_pending"]) + int(found["num_ack_pending"]) if "num_pending" in found else 0

    async def put(self, service: str, headers: dict[str, Any], body: bytes) -> None:
        subject = f"{self.prefix}.event.shop.noted"
        async with self._client() as client:
            await client.jetstream().publish(subject, body, headers=headers or None)

    async def clear(self) -> None:
        for stream in (self.prefix, f"KV_{self.prefix}-topology"):
            await self._api(f"STREAM.DELETE.{stream}")

    @property
    def loses(self) -> str:
        if PrivateNats.version() >= (2, 10):
            return ""
        return "NATS 2.9.10 loses what it confirmed when it ends: SAGABUS_NATS_SERVER names a newer one"

    @asynccontextmanager
    async def full(self, service: str) -> AsyncIterator[None]:
        found = await self._api(f"STREAM.INFO.{self.prefix}")
        most = found["state"]["messages"] + 3
        await self._api(f"STREAM.UPDATE.{self.prefix}", **{**found["config"], "max_msgs": most})
        try:
            yield
        finally:
            await self._api(f"STREAM.UPDATE.{self.prefix}", **found["config"])

    async def _api(self, action: str, **arguments: Any) -> dict[str, Any]:
        async with self._client() as client:
            answer = await client.request(f"$JS.API.{action}", json.dumps(arguments).encode(), timeout=10)
        found: dict[str, Any] = json.loads(answer.data)
        return found

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[Client]:
        client = await nats.connect(self.server.url, allow_reconnect=False)
        try:
            yield client
        finally:
            await client.close()


LABS: tuple[type[Lab], ...] = (RabbitMQLab, RedisLab, NatsLab)


# --- links that do something else ---------------------------------------------------------------------------------


class Altered:
    """A transport whose links do something else."""

    def __init__(self, transport: Transport, link: Callable[[Link, Lab], Link], lab: Lab) -> None:
        self._transport, self._link, self._lab = transport, link, lab

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    async def connect(self) -> Link:
        return self._link(await self._transport.connect(), self._lab)


class AlteredLink:
    """A link that does what the one below it does."""

    def __init__(self, link: Link, lab: Lab) -> None:
        self.link, self.lab = link, lab

    def __getattr__(self, name: str) -> Any:
        return getattr(self.link, name)


def altered(lab: Lab, link: Any) -> Any:
    """Makes transports of a lab whose links are of this class, below AlteredLink."""
    return lambda: Altered(lab.transport(), link, lab)
