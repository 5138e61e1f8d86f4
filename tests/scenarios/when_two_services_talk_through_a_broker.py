"""Two services with a store each, and a broker between them: what one sends takes effect once at the other.

What happened is read from lists that sagas' states and the broker hold, never from the bridge's own word.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.shop import CapturePayment, Do, Ended, Noted, OrderSaga, OrderSubmitted, PaymentCaptured, capture
from tests.support.two_services import Ledger, Relay, ask, check, have
from tests.support.waiting import until

from sagabus import Bus, Cause, Context, Settings, handler
from sagabus.clock import SystemClock
from sagabus.engine.bridges import bridge, outbound
from sagabus.errors import ConfigurationError, StoreUnavailable, UnsupportedCapability
from sagabus.identity import accepted_id, derive
from sagabus.observer import Departure, Observer
from sagabus.policies.retry import Linear, RetryPolicy
from sagabus.store_urls import store_from_url
from sagabus.transport import Capability
from sagabus.transports.memory import MemoryBroker, MemoryTransport

Stores = Callable[[str], str]


@pytest.fixture(params=["memory", "sqlite"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    """The store of a service, by its name."""
    return lambda name: "memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/{name}.db"


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


def bus(stores: Stores, broker: MemoryBroker, service: str, *definitions: Any, **options: Any) -> Bus:
    return Bus(stores(service), *definitions, transport=MemoryTransport(broker), service=service, **options)


@asynccontextmanager
async def pair(stores: Stores, broker: MemoryBroker) -> AsyncIterator[tuple[Bus, Bus]]:
    """One service that relays, and one that keeps a ledger."""
    ledger, relay = bus(stores, broker, "books", Ledger), bus(stores, broker, "shop", Relay)
    async with ledger, relay:
        yield relay, ledger


async def drained(broker: MemoryBroker, *services: str) -> None:
    """Until nothing waits for them, copies among it."""
    await until(lambda: not any(map(broker.waiting, services)))


# --- the plain way ------------------------------------------------------------------------------------------------


async def test_a_saga_reaches_its_end_across_two_services(stores: Stores, broker: MemoryBroker) -> None:
    payments, orders = bus(stores, broker, "payments", capture), bus(stores, broker, "orders", OrderSaga)

    async def is_paid() -> bool:
        record = await orders.sagas.get(OrderSaga, "A1")
        return record is not None and record.state.status == "paid"

    async with payments, orders:
        await orders.publish(OrderSubmitted(order_id="A1", total=42), message_id="checkout-A1")
        await until(is_paid)

    assert [message.type for message in broker.sent] == ["payments.capture", "payments.captured"]


async def test_ids_name_the_service_and_keys_for_other_systems_do_not(stores: Stores, broker: MemoryBroker) -> None:
    payments, orders = bus(stores, broker, "payments", capture), bus(stores, broker, "orders", OrderSaga)

    async with payments, orders:
        await orders.publish(OrderSubmitted(order_id="A1"), message_id="checkout-A1")
        await until(lambda: len(broker.sent) == 2)

    command, event = broker.sent
    here = accepted_id("orders", command.id)
    assert command.id == derive("checkout-A1", "orders/orders", 1)
    assert event.id == derive(here, "payments/payments", 1)
    assert (command.source, event.source, event.causation_id) == ("orders", "payments", here)
    assert command.correlation_id == event.correlation_id == "checkout-A1"
    assert event.body == b'{"order_id":"A1","transaction":"%s"}' % derive(here, "payments", "key:charge").encode()


async def test_what_a_message_is_says_its_declaration_and_no_header_of_a_user(
    stores: Stores, broker: MemoryBroker
) -> None:
    @handler("reporter")
    def report(message: CapturePayment, ctx: Context) -> None:
        ctx.publish(PaymentCaptured(order_id="plain"))
        ctx.publish(PaymentCaptured(order_id="with"), headers={"sagabus-kind": "command", "mine": "x"})

    async with bus(stores, broker, "orders", OrderSaga), bus(stores, broker, "payments", report) as payments:
        await payments.send(CapturePayment(order_id="A1", amount=1))
        await until(lambda: len(broker.sent) == 2)

    sent = sorted(((message.kind, dict(message.headers)) for message in broker.sent), key=str)
    assert sent == [("event", {"mine": "x"}), ("event", {})]


async def test_what_a_message_is_says_no_header_of_an_observer(stores: Stores, broker: MemoryBroker) -> None:
    class Tagging(Observer):
        def departing(self, departure: Departure) -> None:
            departure.headers.update({"sagabus-kind": "command", "tag": "x"})

    @handler("reporter")
    def report(message: CapturePayment, ctx: Context) -> None:
        for number in range(3):  # the first is addressed in full, the others in fewer steps
            ctx.publish(PaymentCaptured(order_id=f"A{number}"))

    payments = bus(stores, broker, "payments", report, observers=[Tagging()])
    async with bus(stores, broker, "orders", OrderSaga), payments:
        await payments.send(CapturePayment(order_id="A1", amount=1))
        await until(lambda: len(broker.sent) == 3)

    assert [(message.kind, dict(message.headers)) for message in broker.sent] == [("event", {"tag": "x"})] * 3


async def test_order_within_each_key_holds_from_end_to_end(stores: Stores, broker: MemoryBroker) -> None:
    async with pair(stores, broker) as (relay, ledger):
        await ask(relay, range(20))
        await until(have(ledger, 20))

        await check(ledger, 20)


async def test_an_event_reaches_every_service_that_wants_it_and_not_its_own(
    stores: Stores, broker: MemoryBroker
) -> None:
    shop = bus(stores, broker, "shop", Relay, Ledger)
    first, second = bus(stores, broker, "first", Ledger), bus(stores, broker, "second", Ledger)

    async with first, second, shop:
        await ask(shop, range(3), ["k"])
        for each in (shop, first, second):
            await until(have(each, 3, ["k"]))
        await drained(broker, "first", "second", "shop")

        for each in (shop, first, second):
            await check(each, 3, ["k"])


async def test_an_event_that_no_service_wants_is_unheard(
    stores: Stores, broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    async with bus(stores, broker, "shop") as shop:
        receipt = await shop.publish(Ended(key="k"))
        await until(lambda: "shop.ended" in caplog.text)
        await until(lambda: _is_empty(shop))

        assert receipt.accepted
        assert await shop.dead_letters.list() == []


async def _is_empty(shop: Bus) -> bool:
    return not any(counts.waiting for counts in await shop.counts())


async def test_a_process_that_only_publishes_leaves_it_to_the_others(stores: Stores, broker: MemoryBroker) -> None:
    store = store_from_url(stores("shop"), SystemClock())
    publisher = Bus(store, service="shop")
    worker = Bus(store, transport=MemoryTransport(broker), service="shop")
    async with bus(stores, broker, "books", Ledger) as ledger, worker:
        await publisher.open(worker=False)
        await publisher.publish(Noted(key="k", number=0), partition_key="k")
        await until(have(ledger, 1, ["k"]))
        await publisher.close()


# --- copies and losses ------------------------------------------------------------------------------------------------


async def test_every_message_delivered_twice_takes_effect_once(stores: Stores, broker: MemoryBroker) -> None:
    broker.copies = 2
    async with pair(stores, broker) as (relay, ledger):
        await ask(relay, range(10))
        await until(have(ledger, 10))
        await drained(broker, "books")

        await check(ledger, 10)
        assert ledger.statistics["ledger", "duplicate"] == 50


async def test_confirms_that_are_lost_cost_copies_only(
    stores: Stores, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_haste(monkeypatch)
    broker.lost_confirms = 7
    async with pair(stores, broker) as (relay, ledger):
        await ask(relay, range(5))
        await until(have(ledger, 5))
        await drained(broker, "books")
        await until(lambda: _is_empty(relay))

        await check(ledger, 5)
        assert max(Counter(message.id for message in broker.sent).values()) > 1


def in_haste(monkeypatch: pytest.MonkeyPatch, attempts: int = 8) -> None:
    policy = RetryPolicy(
        attempts=attempts,
        backoff=Linear(first=timedelta(milliseconds=5), step=timedelta(0)),
        rules=outbound.RETRY.rules,
    )
    monkeypatch.setattr(outbound, "RETRY", policy)


async def test_acknowledgements_lost_after_the_inbox_commit_cost_copies_only(
    stores: Stores, broker: MemoryBroker
) -> None:
    broker.lost_acknowledgements = 1_000
    async with pair(stores, broker) as (relay, ledger):
        await ask(relay, range(5))
        await until(have(ledger, 5))
        assert broker.waiting("books") == 25

        broker.lost_acknowledgements = 0
        broker.disconnect()
        await drained(broker, "books")

        await check(ledger, 5)
        assert ledger.statistics["ledger", "duplicate"] == 25


def has_sent_more_than(broker: MemoryBroker, count: int) -> bool:
    return len(broker.sent) > count


def has_handled(relay: Bus, count: int) -> bool:
    return relay.statistics["relay", "completed"] >= count


async def test_links_that_end_again_and_again(stores: Stores, broker: MemoryBroker) -> None:
    async with pair(stores, broker) as (relay, ledger):
        for round_ in range(5):
            await ask(relay, range(round_ * 4, round_ * 4 + 4))
            await until(partial(has_sent_more_than, broker, len(broker.sent)))
            broker.disconnect()
        await until(have(ledger, 20))

        await check(ledger, 20)


# --- a broker that is away ----------------------------------------------------------------------------------------


async def test_a_broker_that_is_down_at_the_start_stops_no_publisher(stores: Stores, broker: MemoryBroker) -> None:
    async with pair(stores, broker):
        pass  # the queue of the books is there since
    broker.stop()
    async with pair(stores, broker) as (relay, ledger):
        await ask(relay, range(3))
        await until(partial(has_handled, relay, 15))
        (word,) = relay.health().waits
        assert "memory://: no broker answers" in word
        assert relay.health().is_healthy  # a restart would not cure it

        broker.start()
        await until(have(ledger, 3), 5)

        await check(ledger, 3)
        assert relay.health().waits == ledger.health().waits == ()


async def test_a_broker_that_goes_away_later(stores: Stores, broker: MemoryBroker) -> None:
    async with pair(stores, broker) as (relay, ledger):
        await ask(relay, range(3))
        await until(have(ledger, 3))
        broker.stop()
        await ask(relay, range(3, 6))
        await until(partial(has_handled, relay, 30))
        assert relay.health().waits

        broker.start()
        await until(have(ledger, 6), 5)

        await check(ledger, 6)
        letters = await relay.dead_letters.list()
        assert letters == []


async def test_nothing_of_the_outage_is_counted_as_an_attempt(stores: Stores, broker: MemoryBroker) -> None:
    broker.stop()
    async with bus(stores, broker, "shop") as shop:
        await shop.publish(Ended(key="k"))
        await until(lambda: bool(shop.health().waits))
        broker.start()
        await until(lambda: not shop.health().waits)
        broker.stop()
        await until(lambda: bool(shop.health().waits))

        assert ("broker:out", "retried") not in shop.statistics


async def test_closing_does_not_wait_for_a_broker_that_hears_nothing(
    stores: Stores, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_: MemoryTransport) -> Any:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(MemoryTransport, "connect", never)
    monkeypatch.setattr(bridge, "_FIRST_TRY", 0.01)
    shop = bus(stores, broker, "shop")
    await shop.open()
    async with asyncio.timeout(5):
        await shop.close()


async def test_a_link_without_confirms_is_given_up_and_nothing_is_lost(
    stores: Stores, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "PATIENCE", 0.05)
    async with pair(stores, broker) as (relay, ledger):
        broker.is_silent = True
        await ask(relay, range(3))
        await until(lambda: len(broker.sent) > 15)  # they were sent, and sent again
        broker.is_silent = False
        await until(have(ledger, 3))
        await drained(broker, "books")

        await check(ledger, 3)
        assert ("broker:out", "retried") not in relay.statistics


async def test_what_is_being_sent_when_a_bus_closes_may_have_its_confirm(stores: Stores, broker: MemoryBroker) -> None:
    async with bus(stores, broker, "books", Ledger) as ledger:
        async with bus(stores, broker, "shop", Relay) as relay:
            await until(lambda: relay.health().waits == ())
            broker.is_silent = True
            await ask(relay, range(1))
            await until(lambda: len(broker.sent) == 5)
            closing = asyncio.create_task(relay.close())
            await asyncio.sleep(0)
            broker.is_silent = False
            await closing
        await until(have(ledger, 1))

        await check(ledger, 1)
    assert len(broker.sent) == 5


async def test_closing_ends_when_the_link_ends_meanwhile(stores: Stores, broker: MemoryBroker) -> None:
    async with bus(stores, broker, "books", Ledger):
        relay = bus(stores, broker, "shop", Relay)
        await relay.open()
        broker.is_silent = True
        await ask(relay, range(1))
        await until(lambda: len(broker.sent) == 5)
        closing = asyncio.create_task(relay.close())
        await asyncio.sleep(0)
        broker.disconnect()
        async with asyncio.timeout(10):
            await closing


# --- messages that are wrong --------------------------------------------------------------------------------------


def foreign(number: int, **headers: str) -> dict[str, object]:
    return {
        "sagabus-id": f"f{number}",
        "sagabus-source": "legacy",
        "sagabus-type": "shop.noted",
        "sagabus-sent-at": str(SystemClock().now()),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }


def good(number: int) -> tuple[dict[str, object], bytes]:
    return foreign(number), b'{"key":"k","number":%d}' % number


BROKEN: dict[str, tuple[dict[str, object], bytes, Cause]] = {
    "no JSON": (foreign(9), b"}{", Cause.PERMANENT),
    "no text": (foreign(9), b"\xff\xfe{}", Cause.DAMAGED),
    "NUL": (foreign(9), b'{"key":"k\0"}', Cause.DAMAGED),
    "does not fit": (foreign(9), b'{"key":7}', Cause.PERMANENT),
    "a key twice": (foreign(9), b'{"key":"k","key":"l"}', Cause.PERMANENT),
    "unknown type": (foreign(9, sagabus_type="shop.unknown"), b"{}", Cause.UNKNOWN),
    "no type": ({"sagabus-id": "f9"}, b'{"a":1}', Cause.PERMANENT),
    "no header at all": ({}, b"hello", Cause.PERMANENT),
    "headers of strangers": (foreign(9, sagabus_hops="many", sagabus_key="\x1ekey"), b"{}", Cause.PERMANENT),
    "half a character": (foreign(9, other="\ud800"), b"{}", Cause.PERMANENT),
    "a time that cannot be": (foreign(9, sagabus_sent_at="9" * 40), b"{}", Cause.PERMANENT),
    "bad id of its cause": (foreign(9, sagabus_causation_id="a\nb"), b"{}", Cause.PERMANENT),
}


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("kind", BROKEN)
async def test_one_broken_message_costs_no_other(stores: Stores, broker: MemoryBroker, kind: str, place: int) -> None:
    headers, body, cause = BROKEN[kind]
    batch = [good(number) for number in range(2)]
    batch.insert(place, (headers, body))
    for each in batch:
        broker.put("books", *each)

    async with bus(stores, broker, "books", Ledger) as ledger:
        await until(have(ledger, 2, ["k"]))
        await drained(broker, "books")
        await until(ledger.dead_letters.list)

        (letter,) = await ledger.dead_letters.list()
        await check(ledger, 2, ["k"])

    assert letter.cause is cause
    assert letter.reason
    if cause is Cause.DAMAGED:
        assert letter.envelope.body.isascii()
    else:
        assert letter.envelope.body == body


async def test_a_type_that_is_known_later_goes_on_by_a_replay(stores: Stores, broker: MemoryBroker) -> None:
    store = store_from_url(stores("books"), SystemClock())
    for number in range(2):
        broker.put("books", *good(number))
    async with Bus(store, Relay, transport=MemoryTransport(broker), service="books") as older:
        await until(lambda: _letters(older, 2))
    async with Bus(store, Relay, Ledger, transport=MemoryTransport(broker), service="books") as newer:
        for letter in await newer.dead_letters.list():
            assert letter.cause is Cause.UNKNOWN
            await newer.dead_letters.replay(letter.id, reason="a test")
        await until(have(newer, 2, ["k"]))

        await check(newer, 2, ["k"])


async def _letters(bus: Bus, count: int) -> bool:
    return len(await bus.dead_letters.list()) == count


async def test_a_message_that_the_broker_refuses_is_a_dead_letter_and_can_be_replayed(
    stores: Stores, broker: MemoryBroker
) -> None:
    broker.refused["shop.noted"] = "larger than the broker takes"
    async with pair(stores, broker) as (relay, ledger):
        await ask(relay, range(1), ["k"])
        await until(lambda: _letters(relay, 1))
        (letter,) = await relay.dead_letters.list()
        assert letter.envelope.channel == "broker:out"
        assert "larger than the broker takes" in letter.reason

        broker.refused.clear()
        await relay.dead_letters.replay(letter.id, reason="a test")
        await until(have(ledger, 1, ["k"]))

        await check(ledger, 1, ["k"])


async def test_a_command_without_a_receiver_is_retried_and_then_a_dead_letter(
    stores: Stores, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_haste(monkeypatch, attempts=3)
    async with bus(stores, broker, "shop") as shop:
        await shop.send(CapturePayment(order_id="A1", amount=1))
        await until(lambda: _letters(shop, 1))
        (letter,) = await shop.dead_letters.list()
        assert letter.attempts == 3
        assert "no service receives the command 'payments.capture'" in letter.reason
        assert shop.statistics["broker:out", "retried"] == 2

        async with bus(stores, broker, "payments", capture):
            await shop.dead_letters.replay(letter.id, reason="a test")
            await until(lambda: len(broker.sent) == 1)


async def test_a_command_that_waited_for_its_receiver_reaches_it_even_in_its_own_service(
    stores: Stores, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_haste(monkeypatch, attempts=1_000)
    store = store_from_url(stores("shop"), SystemClock())
    async with Bus(store, transport=MemoryTransport(broker), service="shop") as older:
        await older.send(Do(key="k", number=0))
        await until(lambda: older.statistics["broker:out", "retried"] > 0)
    async with Bus(store, Relay, transport=MemoryTransport(broker), service="shop") as newer:
        await until(lambda: newer.sagas.get(Relay, "k"))
        await drained(broker, "shop")

        record = await newer.sagas.get(Relay, "k")
        assert record is not None
        assert record.state.asked == 1


# --- a store that is away -----------------------------------------------------------------------------------------


async def test_while_the_store_is_away_the_bridge_holds_what_it_has(
    stores: Stores, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bus(stores, broker, "books", Ledger) as ledger:
        append, calls = ledger.store.append, 0

        async def fails(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            raise StoreUnavailable("the database is away")

        monkeypatch.setattr(ledger.store, "append", fails)
        for number in range(3):
            broker.put("books", *good(number))
        await until(lambda: calls >= 2)
        (word,) = ledger.health().waits
        assert "the bridge holds it" in word
        assert broker.waiting("books") == 3

        monkeypatch.setattr(ledger.store, "append", append)
        await until(have(ledger, 3, ["k"]))

        await check(ledger, 3, ["k"])
        assert ledger.health().waits == ()


# --- several bridges ----------------------------------------------------------------------------------------------


async def test_two_bridges_of_one_service_share_the_work_in_order(stores: Stores, broker: MemoryBroker) -> None:
    in_memory = {name: store_from_url("memory:", SystemClock()) for name in ("books", "shop")}

    def another(service: str, *definitions: Any) -> Bus:
        store = in_memory[service] if stores(service) == "memory:" else stores(service)
        return Bus(store, *definitions, transport=MemoryTransport(broker), service=service)

    async with another("books", Ledger) as ledger, another("shop", Relay) as relay:
        async with another("books", Ledger), another("shop", Relay):
            await ask(relay, range(10))
            await until(have(ledger, 5))
            broker.disconnect()
            await until(have(ledger, 10))
        await ask(relay, range(10, 20))
        await until(have(ledger, 20))

        await check(ledger, 20)


async def test_a_bridge_that_lost_its_lanes_while_it_sent_changes_nothing(
    stores: Stores, broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sagabus")
    async with pair(stores, broker) as (relay, ledger):
        await ask(relay, range(5))
        await until(lambda: bool(broker.sent))
        await relay.store.fence_all()  # as if another bridge had taken all lanes meanwhile
        await ask(relay, range(5, 10))
        await until(have(ledger, 10))
        await until(lambda: _is_empty(relay))

        await check(ledger, 10)


# --- what is refused ----------------------------------------------------------------------------------------------


def test_a_transport_needs_the_name_of_a_service() -> None:
    with pytest.raises(ConfigurationError, match="needs the name of its service"):
        Bus("memory:", capture, transport="memory://shop")


@pytest.mark.parametrize("service", ["", "a b", "sagabus.x", 7])
def test_a_service_has_a_name_like_that_of_a_handler(service: Any) -> None:
    with pytest.raises(ConfigurationError, match="service"):
        Bus("memory:", capture, service=service)


@pytest.mark.parametrize("missing", [Capability.ORDERED, Capability.RETURNS])
def test_a_broker_that_cannot_what_the_bus_needs_is_refused_in_words(missing: Capability) -> None:
    transport = MemoryTransport()
    transport.capabilities -= {missing}

    with pytest.raises(UnsupportedCapability, match=missing.value):
        Bus("memory:", capture, transport=transport, service="payments")


def test_a_broker_that_forgets_is_refused_where_durability_is_required() -> None:
    with pytest.raises(ConfigurationError, match="does not keep messages"):
        Bus("memory:", capture, transport="memory://x", service="x", settings=Settings(durability="require"))


async def test_a_second_owner_of_a_command_is_refused_when_it_opens(
    stores: Stores, broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    async with bus(stores, broker, "payments", capture):
        second = bus(stores, broker, "others", capture)
        with pytest.raises(ConfigurationError, match="has a receiver already, service 'payments'"):
            await second.open()

    assert "the next try" not in caplog.text  # there is none


async def test_what_is_refused_after_the_bus_has_opened_is_tried_again(
    stores: Stores, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, answers = MemoryTransport.connect, asyncio.Event()

    async def slow(transport: MemoryTransport) -> Any:
        await answers.wait()
        return await connect(transport)

    monkeypatch.setattr(bridge, "_FIRST_TRY", 0.01)
    owner = bus(stores, broker, "payments", capture)
    async with owner:
        monkeypatch.setattr(MemoryTransport, "connect", slow)
        second = bus(stores, broker, "others", capture)
        await second.open()
        answers.set()
        await until(lambda: "has a receiver already" in "".join(second.health().waits))
    broker._owners.clear()  # the operator of the broker has cured it

    await until(lambda: second.health().waits == (), 10)
    await second.close()


@handler("twice")
def twice(message: PaymentCaptured) -> None:
    """Does nothing."""


async def test_a_bus_opens_and_closes_again(stores: Stores, broker: MemoryBroker) -> None:
    shop = bus(stores, broker, "shop", twice)
    for _ in range(2):
        async with shop:
            assert shop.health().waits == ()
    async with asyncio.timeout(10):
        await shop.open()
        await shop.close()
