"""Every promise of the transport port, on RabbitMQ."""

from tests.support.rabbitmq import RabbitMQPlace, rabbitmq

from sagabus.testing.conformance import TransportConformance
from sagabus.transport import Transport


class TestRabbitMQTransport(TransportConformance):
    place: RabbitMQPlace

    async def make_transport(self) -> Transport:
        self.place = RabbitMQPlace(await rabbitmq())
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
