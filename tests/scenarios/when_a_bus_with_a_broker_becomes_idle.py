"""`bus.idle()` of a bus with a broker: it has come to an end when the broker has confirmed all that leaves."""

import asyncio
from collections.abc import Sequence

import pytest
from tests.scenarios.shop import CapturePayment, Ended
from tests.scenarios.when_two_services_talk_through_a_broker import Stores, broker, bus, pair, stores
from tests.support.two_services import Ledger, Relay, ask
from tests.support.waiting import until

from sagabus import Bus
from sagabus.policies.brokers import Broker
from sagabus.transport import Sent, WireMessage
from sagabus.transports import memory
from sagabus.transports.memory import MemoryBroker, MemoryTransport

__all__ = ["broker", "stores"]


async def test_it_waits_for_the_confirms(stores: Stores, broker: MemoryBroker) -> None:
    async with pair(stores, broker) as (relay, _):
        await ask(relay, range(20))

        await relay.idle(20)

        assert len(broker.sent) == 100
        assert not any(counts.waiting for counts in await relay.counts())


async def test_it_waits_for_a_confirm_that_is_late(
    stores: Stores, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    confirms = asyncio.Event()
    send = memory._MemoryLink.send

    async def slow(link: memory._MemoryLink, messages: Sequence[WireMessage]) -> Sequence[Sent]:
        answers = await send(link, messages)
        await confirms.wait()
        return answers

    monkeypatch.setattr(memory._MemoryLink, "send", slow)
    async with pair(stores, broker) as (relay, _):
        await ask(relay, range(1), ["k"])
        idle = asyncio.create_task(relay.idle(20))
        await until(lambda: len(broker.sent) == 1)
        await until(lambda: relay.statistics["relay", "completed"] == 1)
        assert not idle.done()

        confirms.set()

        await idle


async def test_while_the_broker_is_away_it_is_not_idle_and_says_why(stores: Stores, broker: MemoryBroker) -> None:
    async with pair(stores, broker) as (relay, _):
        broker.stop()
        await ask(relay, range(1))
        await until(lambda: relay.health().waits)

        with pytest.raises(TimeoutError, match=r"'broker:out' has 5 due.*; the broker memory://.*no broker answers"):
            await relay.idle(0.3)

        broker.start()
        await relay.idle(20)
        assert len(broker.sent) == 5


async def test_it_waits_for_each_broker(stores: Stores, broker: MemoryBroker) -> None:
    edge = MemoryBroker()
    edge.stop()
    brokers = {
        "main": Broker(transport=MemoryTransport(broker)),
        "edge": Broker(transport=MemoryTransport(edge), sends=["shop.ended"]),
    }
    async with Bus(stores("shop"), Relay, transport=brokers, service="shop") as both:
        await both.publish(Ended(key="k"))

        with pytest.raises(TimeoutError, match="'broker:out:edge' has 1 due"):
            await both.idle(0.3)

        edge.start()
        await both.idle(20)


async def test_what_is_tried_again_later_does_not_count(stores: Stores, broker: MemoryBroker) -> None:
    async with bus(stores, broker, "orders") as orders:
        await orders.send(CapturePayment(order_id="A1", amount=1))  # which no service receives
        await until(lambda: orders.statistics["broker:out", "retried"] == 1)

        await orders.idle(0.9)


async def test_what_lies_at_the_broker_does_not_count(stores: Stores, broker: MemoryBroker) -> None:
    async with bus(stores, broker, "books", Ledger):
        pass
    async with bus(stores, broker, "shop", Relay) as relay:
        await ask(relay, range(1))

        await relay.idle(20)

        assert broker.waiting("books") == 5


async def test_what_no_service_can_read_is_done_with(stores: Stores, broker: MemoryBroker) -> None:
    async with bus(stores, broker, "books", Ledger) as ledger:
        broker.put("books", {"sagabus-id": "1", "sagabus-type": "shop.noted"}, b"}{")
        await until(ledger.dead_letters.list)

        await ledger.idle(20)
