"""Much leaves a service at once: it goes in batches, and a key has one unconfirmed message at a time."""

from pathlib import Path

import pytest
from tests.support.two_services import Pair, Relay, books, shop
from tests.support.waiting import until

from sagabus import Bus, Observer
from sagabus.errors import TransportError
from sagabus.observer import Bridged
from sagabus.policies.brokers import Broker
from sagabus.transports.memory import MemoryBroker, MemoryTransport

KEYS = [f"k{number}" for number in range(20)]


class Sent(Observer):
    """The batches that a bridge has sent."""

    def __init__(self) -> None:
        self.batches: list[list[str | None]] = []

    def bridged(self, bridged: Bridged) -> None:
        if bridged.step == "send":
            self.batches.append([message.key for message in bridged.messages])


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_what_is_ready_goes_together_and_a_key_waits_for_its_confirm(kind: str, tmp_path: Path) -> None:
    transport, sent = MemoryTransport(MemoryBroker()), Sent()
    stores = ["memory:", "memory:"] if kind == "memory" else [f"sqlite:///{tmp_path}/{n}.db" for n in range(2)]

    async with books(stores[0], transport) as ledger, shop(stores[1], transport, observers=[sent]) as relay:
        both = Pair(relay, ledger)
        await both.ask(range(3), KEYS)
        await both.have(3, KEYS)
        await both.check(3, KEYS)

    assert all(len(batch) == len(set(batch)) for batch in sent.batches)
    assert len(sent.batches) < 3 * len(KEYS)


async def test_one_that_cannot_be_written_holds_up_no_other_key() -> None:
    transport = MemoryTransport(MemoryBroker())
    broken = Broker(transport=transport, body_codec=Refusing())
    refusing = Bus("memory:", Relay, transport=broken, service="shop")

    async with books("memory:", transport) as ledger, refusing as relay:
        both = Pair(relay, ledger)
        await both.ask(range(1), KEYS)
        await until(lambda: relay.statistics["broker:out", "retried"] >= 1)
        await until(lambda: relay.statistics["broker:out", "completed"] == len(KEYS) - 1)


class Refusing:
    """Writes all bodies but that of one key."""

    name = "refusing"

    def encode(self, body: bytes) -> bytes:
        if b'"k3"' in body:
            raise TransportError("not this one")
        return body

    def decode(self, body: bytes) -> bytes:
        return body
