"""RabbitMQ, as one service sees it."""

from __future__ import annotations

from collections.abc import Sequence

from sagabus.transport import Capability, Part, Topology
from sagabus.transports.rabbitmq.dialling import Dialler
from sagabus.transports.rabbitmq.link import RabbitMQLink
from sagabus.transports.rabbitmq.names import Names
from sagabus.transports.rabbitmq.options import options
from sagabus.url.transport import parsed_transport


class RabbitMQTransport:
    """See `sagabus.transport.Transport`. `RabbitMQTransport("amqp://user:password@host/virtual-host")`.

    ConfigurationError for a URL that cannot be used, with no secret part of it.
    """

    largest_batch = 500
    capabilities = frozenset(Capability) - {Capability.TIMES}

    def __init__(self, url: str) -> None:
        self._dialler = Dialler(options(parsed_transport(url)))
        self.place = self._dialler.options.place

    def __repr__(self) -> str:
        return f"RabbitMQTransport({self.place!r})"

    def parts(self, topology: Topology) -> Sequence[Part]:
        return tuple(Names(self._dialler.options.prefix).parts(topology))

    async def connect(self) -> RabbitMQLink:
        return RabbitMQLink(self._dialler, await self._dialler.sending(), self.largest_batch)
