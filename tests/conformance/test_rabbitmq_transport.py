"""Every promise of the transport port, on RabbitMQ."""

import pytest
from tests.support.rabbitmq import RabbitMQPlace, private_rabbitmq, rabbitmq

from sagabus.testing.conformance import TransportConformance
from sagabus.transport import Transport


class TestRabbitMQTransport(TransportConformance):
    place: RabbitMQPlace

    def server(self) -> str:
        """Where it is."""
        return rabbitmq()

    async def make_transport(self) -> Transport:
        self.place = RabbitMQPlace(self.server())
        await self.place.proxy.__aenter__()
        return self.place.transport()

    async def same_transport(self) -> Transport:
        return self.place.transport()

    async def cut(self) -> None:
        self.place.proxy.cut()

    async def put(self, service: str, headers: dict[str, object], body: bytes) -> None:
        await self.place.put(service, headers, body)

    async def close(self) -> None:
        await self.place.clear()
        await self.place.proxy.__aexit__()


@pytest.mark.faults
class TestRabbitMQWithSmallMessages(TestRabbitMQTransport):
    """The same on a server of our own, which takes small messages only."""

    too_large = 300_000

    def server(self) -> str:
        return private_rabbitmq((("max_message_size", "200000"),)).url
