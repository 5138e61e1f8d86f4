"""Every promise of the transport port, on the broker that needs no server."""

from collections import Counter

from sagabus.testing.conformance import TransportConformance
from sagabus.transport import Transport
from sagabus.transports.memory import MemoryBroker, MemoryTransport


class TestMemoryTransport(TransportConformance):
    broker: MemoryBroker

    async def make_transport(self) -> Transport:
        self.broker = MemoryBroker()
        return MemoryTransport(self.broker)

    async def same_transport(self) -> Transport:
        return MemoryTransport(self.broker)

    async def cut(self) -> None:
        self.broker.disconnect()

    async def put(self, service: str, headers: dict[str, object], body: bytes) -> None:
        self.broker.put(service, headers, body)


def test_no_promise_hides_another() -> None:
    names = Counter(
        name for suite in TransportConformance.__bases__ for name in vars(suite) if name.startswith("test_")
    )

    assert [name for name, count in names.items() if count > 1] == []
