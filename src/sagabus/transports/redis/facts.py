"""What the server says of itself: whether it can be used, and what a crash of it may lose."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from sagabus.errors import ConfigurationError, TransportError
from sagabus.transports.redis import answers
from sagabus.transports.redis.connection import Pipe, Reply
from sagabus.transports.redis.driver import RedisError

_OLDEST = (7, 0)
_VERSION = re.compile(r"(\d+)\.(\d+)")


class Facts:
    """What INFO said when a link began; nothing where it is not permitted."""

    def __init__(self, said: Mapping[str, str]) -> None:
        self._said = said

    @classmethod
    async def of(cls, pipe: Pipe) -> Facts:
        """Ask. Raises the server's error."""
        try:
            found = await pipe.ask("INFO")
        except RedisError as error:
            if answers.code(error) != "NOPERM":
                raise
            return cls({})
        lines = (line.partition(":") for line in bytes(found).decode(errors="replace").splitlines())
        return cls({name: value for name, colon, value in lines if colon})

    def check(self, place: str) -> None:
        """ConfigurationError for a server that is too old, TransportError for one that takes nothing now."""
        version = _VERSION.match(self._said.get("redis_version", ""))
        if version is not None and (int(version[1]), int(version[2])) < _OLDEST:
            raise ConfigurationError(f"{place}: Redis {version[0]} is too old: use Redis 7.0 or newer, or Valkey")
        if self._said.get("loading", "0") != "0":
            raise TransportError("the server is loading its data", transport=place)
        if self._said.get("role", "master") != "master":
            raise TransportError("the server is a replica, which cannot be written to", transport=place)

    async def risks(self, pipe: Pipe, *, wait: int) -> Sequence[str]:
        """See `sagabus.transport.Link`."""
        if not self._said:
            return ("does not say how it keeps its data: permit INFO",)
        return [*self._of_disk(await _setting(pipe, "appendfsync")), *self._of_memory(), *self._of_replicas(wait)]

    def _of_disk(self, fsync: str | None) -> Iterator[str]:
        if self._said.get("aof_enabled") != "1":
            yield "keeps no log on its disk, so a restart loses what came since its last snapshot: set appendonly yes"
        elif fsync is None:
            yield "does not say when its log is on the disk: permit CONFIG GET, and set appendfsync always"
        elif fsync != "always":
            yield (
                f"has appendfsync {fsync}, so a power failure loses what it confirmed in the last "
                f"{'second' if fsync == 'everysec' else 'half minute'}: set appendfsync always"
            )

    def _of_memory(self) -> Iterator[str]:
        policy = self._said.get("maxmemory_policy", "noeviction")
        if self._said.get("maxmemory", "0") != "0" and policy.startswith("allkeys"):
            yield f"removes queues when its memory is full (maxmemory-policy {policy}): set noeviction"

    def _of_replicas(self, wait: int) -> Iterator[str]:
        replicas = int(self._said.get("connected_slaves", "0"))
        if replicas > wait:
            yield (
                f"has {replicas} replicas and confirms what {wait} of them have, so a failover may lose it: "
                f"add wait={replicas} to the URL"
            )


async def _setting(pipe: Pipe, name: str) -> str | None:
    found: Sequence[Reply] = ()
    with suppress(RedisError):  # many hosts of Redis do not permit it
        found = await pipe.ask("CONFIG", "GET", name)
    return bytes(found[1]).decode() if len(found) > 1 else None
