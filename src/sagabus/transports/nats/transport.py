"""A NATS system with JetStream, as one service sees it; see `sagabus.transport.Transport`."""

from __future__ import annotations

from collections.abc import Sequence

from sagabus.transport import Capability, Part, Topology
from sagabus.transports.nats.address import address
from sagabus.transports.nats.declaring import parts
from sagabus.transports.nats.link import LARGEST_BATCH, NatsLink
from sagabus.transports.nats.names import Names
from sagabus.url.login import Ask


class NatsTransport:
    """The streams of one prefix, of the account of one user.

    `password_file=…` names a file with the password, and `password` is a function that gives it. Either is asked for
    each new connection. Without a user it is a token.
    """

    largest_batch = LARGEST_BATCH
    capabilities = frozenset(Capability)

    def __init__(self, url: str, *, password: Ask | None = None) -> None:
        """ConfigurationError with all that is wrong with the URL."""
        self._address = address(url, password)
        self._names = Names(self._address.prefix)
        self._former: set[str] = set()
        self.place = self._address.place

    def __repr__(self) -> str:
        return f"NatsTransport({self.place!r})"

    def parts(self, topology: Topology) -> Sequence[Part]:
        return parts(topology, self._names, self._address.replicas)

    async def connect(self) -> NatsLink:
        link = NatsLink(self._address, self._names, self._former)
        await link.open()
        return link
