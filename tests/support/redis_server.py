"""The Redis of the tests, under a prefix that each test has for itself."""

from __future__ import annotations

import os
from typing import Any, Self
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from sagabus.transports.redis.names import Names
from sagabus.url.parsing import with_option

URL = os.environ.get("SAGABUS_TEST_REDIS", "redis://127.0.0.1:6379/0")


class OwnKeys:
    """The keys below one prefix, and the connections of transports that use it."""

    def __init__(self, url: str) -> None:
        self.prefix = f"test-{uuid4().hex[:12]}"
        self.names = Names(self.prefix)
        self.url = with_option(url, "prefix", self.prefix)
        self.client: Any = Redis.from_url(url)

    @classmethod
    async def claimed(cls, url: str = URL) -> Self:
        """Without a server the test is skipped; in CI it fails."""
        own = cls(url)
        try:
            await own.client.ping()
        except RedisError as error:
            await own.client.aclose()
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no Redis: {error}")
        return own

    async def cut(self) -> None:
        for each in await self.client.client_list():
            if each["name"] == f"sagabus-{self.prefix}":
                await self.client.client_kill_filter(_id=each["id"])

    async def put(self, service: str, headers: dict[str, object], body: bytes) -> None:
        await self.client.xadd(self.names.queue(service), {**headers, "body": body})

    async def close(self) -> None:
        """Remove what was made."""
        async for key in self.client.scan_iter(match=f"{{{self.prefix}}}*", count=1000):
            await self.client.delete(key)
        await self.client.aclose()
