"""RabbitMQ, as one service sees it."""

from __future__ import annotations

from collections.abc import Sequence

from sagabus.transport import Capability, Hazard, Part, Topology
from sagabus.transports.rabbitmq.dialling import Dialler
from sagabus.transports.rabbitmq.link import RabbitMQLink
from sagabus.transports.rabbitmq.names import Names
from sagabus.transports.rabbitmq.options import options
from sagabus.transports.rabbitmq.policies import hazards
from sagabus.url.login import Ask
from sagabus.url.transport import parsed_transport


class RabbitMQTransport:
    """See `sagabus.transport.Transport`. `RabbitMQTransport("amqp://user:password@host/virtual-host")`.

    With `management="http://user:password@host:15672"`, or with that option in the URL, the doctor sees policies.
    `password_file=…` names a file with the password, and `password` is a function that gives it. Either is asked for
    each new connection. ConfigurationError for a URL that cannot be used, with no secret part of it.
    """

    largest_batch = 500
    capabilities = frozenset(Capability) - {Capability.TIMES}

    def __init__(self, url: str, *, management: str | None = None, password: Ask | None = None) -> None:
        self._dialler = Dialler(options(parsed_transport(url), management, password))
        self.place = self._dialler.options.place

    def __repr__(self) -> str:
        return f"RabbitMQTransport({self.place!r})"

    def parts(self, topology: Topology) -> Sequence[Part]:
        return tuple(Names(self._dialler.options.prefix).parts(topology))

    @property
    def unseen(self) -> str:
        if self._dialler.options.management is not None:
            return ""
        return (
            "a policy may remove messages, and AMQP does not show policies: add management=http://HOST:15672 to its URL"
        )

    async def hazards(self, topology: Topology) -> Sequence[Hazard]:
        found = self._dialler.options
        if found.management is None or not topology.receives:
            return ()
        return await hazards(found.management, found.virtual_host, Names(found.prefix).queue(topology.service))

    async def connect(self) -> RabbitMQLink:
        return RabbitMQLink(self._dialler, await self._dialler.sending(), self.largest_batch)
