"""The Redis of the tests, under a prefix that each test has for itself."""

from __future__ import annotations

import os
import socket
from functools import cache
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from redis.asyncio import Redis
from tests.support.private_servers import require

from sagabus.testing.brokers import PrivateRedis
from sagabus.transports.redis.names import Names
from sagabus.url.parsing import with_option

URL = os.environ.get("SAGABUS_TEST_REDIS", "redis://127.0.0.1:6379/0")
PRIVATE = "SAGABUS_REDIS_SERVER"


@cache
def redis_url() -> str:
    """Of the server that runs; else of a private one, which ends with this process. A named program is always ours."""
    if PRIVATE not in os.environ and answers(URL):
        return URL
    require(PrivateRedis)
    server = _private()
    server.start()
    return server.url


@cache
def _private() -> PrivateRedis:
    return PrivateRedis()


def answers(url: str) -> bool:
    place = urlsplit(url)
    try:
        socket.create_connection((place.hostname or "127.0.0.1", place.port or 6379), timeout=5).close()
    except OSError:
        return False
    return True


class OwnKeys:
    """The keys below one prefix, and the connections of transports that use it."""

    def __init__(self, url: str, prefix: str = "") -> None:
        self.prefix = prefix or f"test-{uuid4().hex[:12]}"
        self.names = Names(self.prefix)
        self.url = with_option(url, "prefix", self.prefix)
        self.client: Any = Redis.from_url(url)

    async def cut(self) -> None:
        for each in await self.client.client_list():
            if each["name"] == f"sagabus-{self.prefix}":
                await self.client.client_kill_filter(_id=each["id"])

    async def put(self, service: str, headers: dict[str, object], body: bytes) -> None:
        await self.client.xadd(self.names.queue(service), {**headers, "body": body})

    async def clear(self) -> None:
        """Remove what was made."""
        async for key in self.client.scan_iter(match=f"{{{self.prefix}}}*", count=1000):
            await self.client.delete(key)

    async def close(self) -> None:
        await self.clear()
        await self.client.aclose()
