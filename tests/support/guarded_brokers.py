"""Brokers that ask a user for a password, on private servers: it is changed, and connections are ended, as they run."""

from __future__ import annotations

import asyncio
import os
import signal
from abc import ABC, abstractmethod
from functools import cache
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

from redis.asyncio import Redis
from tests.faults.proxy import Proxy
from tests.support.private_servers import require
from tests.support.waiting import until

from sagabus.testing.brokers import PrivateNats, PrivateRabbitMQ, PrivateRedis
from sagabus.testing.servers import PrivateServer
from sagabus.transports.nats import NatsTransport
from sagabus.transports.rabbitmq import RabbitMQTransport
from sagabus.transports.redis import RedisTransport


class GuardedBroker(ABC):
    """One user, and names of one test's own."""

    scheme: ClassVar[str]
    makes: ClassVar[Any]
    """Its transport, from a URL and `password`."""
    refusal: ClassVar[str]
    """What is in the error of a wrong password."""
    path: ClassVar[str] = ""

    def __init__(self, server: PrivateServer) -> None:
        self.server = server
        self.name = f"test{uuid4().hex[:12]}"
        self.port = server.port

    def url(self, options: str = "", login: str | None = None) -> str:
        """Of a transport."""
        user = self.name if login is None else login
        return f"{self.scheme}://{user}@127.0.0.1:{self.port}{self.path}?prefix={self.name}&{options}"

    @abstractmethod
    async def change(self, password: str) -> None:
        """New connections need this one; the first makes the user."""

    @abstractmethod
    async def end_connections(self) -> None:
        """All of the user end."""

    @abstractmethod
    async def open(self) -> None:
        """Be ready, in this event loop."""

    @abstractmethod
    async def close(self) -> None:
        """Leave nothing behind."""


class GuardedRabbitMQ(GuardedBroker):
    scheme, makes, refusal, path = "amqp", RabbitMQTransport, "ACCESS_REFUSED", "/"
    server: PrivateRabbitMQ
    _is_made = False

    async def open(self) -> None:
        await self.change(uuid4().hex)

    async def change(self, password: str) -> None:
        if self._is_made:
            await self._control("change_password", self.name, password)
            return
        await self._control("add_user", self.name, password)
        await self._control("set_permissions", self.name, ".*", ".*", ".*")
        self._is_made = True

    async def end_connections(self) -> None:
        await self._control("close_all_user_connections", self.name, "rotated")

    async def close(self) -> None:
        await self._control("delete_user", self.name)

    async def _control(self, *arguments: str) -> None:
        await asyncio.to_thread(self.server.control, *arguments)


class GuardedRedis(GuardedBroker):
    scheme, makes, refusal, path = "redis", RedisTransport, "WRONGPASS", "/0"

    async def open(self) -> None:
        self._operator: Any = Redis.from_url(self.server.url)

    async def change(self, password: str) -> None:
        await self._operator.execute_command(
            "ACL", "SETUSER", self.name, "on", "resetpass", f">{password}", "~*", "&*", "+@all"
        )

    async def end_connections(self) -> None:
        await self._operator.execute_command("CLIENT", "KILL", "USER", self.name)

    async def close(self) -> None:
        await self._operator.execute_command("ACL", "DELUSER", self.name)
        await self._operator.aclose()


class GuardedNats(GuardedBroker):
    """Its old versions end no connection on request, so that a proxy does."""

    scheme, makes, refusal = "nats", NatsTransport, "refuses the user, password or key"
    server: PrivateNats

    async def open(self) -> None:
        self.proxy = await Proxy("127.0.0.1", self.server.port).__aenter__()
        self.port = self.proxy.port

    async def change(self, password: str) -> None:
        _nats_users[self.name] = password
        users = ", ".join(f'{{ user: {user}, password: "{secret}" }}' for user, secret in _nats_users.items())
        await reload(self.server, authorization=f"{{ users: [ {users} ] }}")

    async def end_connections(self) -> None:
        self.proxy.cut()

    async def close(self) -> None:
        await self.proxy.__aexit__()


_nats_users: dict[str, str] = {}


async def reload(server: PrivateNats, **settings: str) -> None:
    """Have a running server read its settings again, or other ones, and files of certificates. It goes on with its
    connections where they still hold.
    """
    shelter = server._running()
    server._settings.update(settings)
    server._with_settings(shelter.path)
    before = _reloads(shelter.path)
    assert shelter._inhabitant is not None
    os.kill(shelter._inhabitant.pid, signal.SIGHUP)
    await until(lambda: _reloads(shelter.path) > before)


def _reloads(folder: Path) -> int:
    return (folder / "log").read_text(encoding="utf-8").count("Reloaded server configuration")


KINDS: dict[str, tuple[type[GuardedBroker], type[PrivateServer]]] = {
    "rabbitmq": (GuardedRabbitMQ, PrivateRabbitMQ),
    "nats": (GuardedNats, PrivateNats),
    "redis": (GuardedRedis, PrivateRedis),
}


async def guarded_broker(kind: str) -> GuardedBroker:
    """A broker of the kind; skips on a laptop without the server."""
    makes, server = KINDS[kind]
    require(server)
    found = makes(await asyncio.to_thread(_running, server))
    await found.open()
    return found


@cache
def _running(kind: type[PrivateServer]) -> PrivateServer:
    """Runs until this interpreter ends, and is gone then."""
    server = kind()
    server.start()
    return server
