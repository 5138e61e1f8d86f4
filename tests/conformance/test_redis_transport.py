"""Every promise of the transport port, on Redis Streams."""

from tests.support.redis_server import OwnKeys, redis_url

from sagabus.testing.conformance import TransportConformance
from sagabus.transport import Transport
from sagabus.transports.redis import RedisTransport
from sagabus.transports.redis.entries import LARGEST


class TestRedisTransport(TransportConformance):
    too_large = LARGEST + 1
    keys: OwnKeys

    async def make_transport(self) -> Transport:
        self.keys = OwnKeys(redis_url())
        return RedisTransport(self.keys.url)

    async def same_transport(self) -> Transport:
        return RedisTransport(self.keys.url)

    async def cut(self) -> None:
        await self.keys.cut()

    async def put(self, service: str, headers: dict[str, object], body: bytes) -> None:
        await self.keys.put(service, headers, body)

    async def close(self) -> None:
        await self.keys.close()
