"""Redis Streams, as one service sees them."""

from __future__ import annotations

from collections.abc import Sequence

from sagabus.transport import Capability, Part, Topology
from sagabus.transports.redis import declaring, options
from sagabus.transports.redis.connecting import first_server
from sagabus.transports.redis.lease import Leases
from sagabus.transports.redis.link import RedisLink
from sagabus.transports.redis.losses import Losses
from sagabus.url.login import Ask

__all__ = ["RedisTransport"]

_LARGEST_BATCH = 500


class RedisTransport:
    """See `sagabus.transport.Transport`. Connects nothing before `connect`.

    `password_file=…` names a file with the password, and `password` is a function that gives it. Either is asked for
    each new connection.
    """

    largest_batch = _LARGEST_BATCH
    capabilities = frozenset(Capability)

    def __init__(self, url: str, *, password: Ask | None = None) -> None:
        """ConfigurationError, with all problems, for a URL that cannot be used."""
        self._options = options.read(url, password)
        self.place = self._options.place
        self._losses = Losses(self.place)
        self._leases = Leases(self._options.lease)

    def __repr__(self) -> str:
        return f"RedisTransport({self.place!r})"

    def parts(self, topology: Topology) -> Sequence[Part]:
        return declaring.parts(self._options, topology)

    async def connect(self) -> RedisLink:
        server = await first_server(self._options)
        return RedisLink(self._options, server, self._losses, self._leases.of(server.life))
