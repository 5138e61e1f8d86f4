"""Every promise of the transport port, on a NATS server with JetStream."""

from __future__ import annotations

import json
from uuid import uuid4

import nats
from tests.faults.proxy import Proxy
from tests.support.nats_server import nats_server

from sagabus.testing.conformance import TransportConformance
from sagabus.transport import Transport
from sagabus.transports.nats import NatsTransport


class TestNatsTransport(TransportConformance):
    too_large = 1 << 20

    async def make_transport(self) -> Transport:
        self._named = f"t{uuid4().hex[:12]}"
        self._proxy = Proxy(*nats_server())
        self._proxy.accept()
        self._client = await nats.connect(f"nats://{nats_server()[0]}:{nats_server()[1]}")
        return await self.same_transport()

    async def same_transport(self) -> Transport:
        return NatsTransport(f"nats://127.0.0.1:{self._proxy.port}?prefix={self._named}")

    async def cut(self) -> None:
        self._proxy.cut()

    async def put(self, service: str, headers: dict[str, object], body: bytes) -> None:
        lines = {name: str(value) for name, value in headers.items()}
        await self._client.jetstream().publish(f"{self._named}.event.noted", body, headers=lines or None)

    async def close(self) -> None:
        for stream in (self._named, f"KV_{self._named}-topology"):
            answer = await self._client.request(f"$JS.API.STREAM.DELETE.{stream}", timeout=5)
            assert json.loads(answer.data).get("error", {}).get("code", 404) == 404
        await self._client.close()
        await self._proxy.__aexit__()
