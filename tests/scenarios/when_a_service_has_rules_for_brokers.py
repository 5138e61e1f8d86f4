"""What leaves a service and by which broker, what stays inside, and what is asked for."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import field
from datetime import timedelta
from typing import Any

import pytest
from tests.scenarios.shop import Noted
from tests.support.waiting import until

from sagabus import Bus, Cause, Context, Saga, Settings, command, event, handler, handles, starts
from sagabus.clock import SystemClock
from sagabus.errors import ConfigurationError
from sagabus.policies.body_codecs import Gzip
from sagabus.policies.brokers import Broker
from sagabus.store_urls import store_from_url
from sagabus.transports.memory import MemoryBroker, MemoryTransport


@event("audit.seen")
class Seen:
    number: int


@event("audit.secret", private=True)
class Secret:
    number: int


@command("audit.store", private=True)
class Store:
    number: int


class Log(Saga, name="log", key="number"):
    """Counts what reaches it, copies too."""

    number: int
    seen: list[str] = field(default_factory=list)

    @starts
    @handles
    def on_seen(self, message: Seen) -> None:
        self.seen.append("seen")

    @starts
    @handles
    def on_secret(self, message: Secret) -> None:
        self.seen.append("secret")


class Ledger(Saga, name="ledger", key="key"):
    key: str
    numbers: list[int] = field(default_factory=list)

    @starts
    @handles
    def noted(self, message: Noted) -> None:
        self.numbers.append(message.number)


def via(broker: MemoryBroker, **options: Any) -> Broker:
    return Broker(transport=MemoryTransport(broker), **options)


def types(broker: MemoryBroker) -> list[str]:
    return [message.type for message in broker.sent]


def logged(bus: Bus, number: int, *seen: str) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        record = await bus.sagas.get(Log, str(number))
        return record is not None and sorted(record.state.seen) == sorted(seen)

    return holds


async def empty(*buses: Bus) -> bool:
    return not any(counts.waiting for each in [await bus.counts() for bus in buses] for counts in each)


# --- several brokers --------------------------------------------------------------------------------------------------


async def test_each_message_leaves_by_the_broker_whose_pattern_is_the_most_specific() -> None:
    main, edge = MemoryBroker(), MemoryBroker()
    brokers = {"main": via(main), "edge": via(edge, sends=["audit.*"])}
    async with (
        Bus("memory:", Ledger, transport=MemoryTransport(main), service="books") as books,
        Bus("memory:", Log, transport=MemoryTransport(edge), service="logs") as logs,
        Bus("memory:", transport=brokers, service="shop") as shop,
    ):
        await shop.publish_many([Noted(key="k", number=1), Seen(number=1), Noted(key="k", number=2)])
        await until(logged(logs, 1, "seen"))
        await until(lambda: empty(shop, books))

    assert sorted(types(main)) == ["shop.noted", "shop.noted"]
    assert types(edge) == ["audit.seen"]


async def test_what_comes_from_several_brokers_takes_effect_once_each() -> None:
    main, edge = MemoryBroker(), MemoryBroker()
    async with (
        Bus(
            "memory:", Ledger, Log, transport={"main": via(main), "edge": via(edge, sends=())}, service="books"
        ) as books,
        Bus("memory:", transport=MemoryTransport(main), service="shop") as shop,
        Bus("memory:", transport=MemoryTransport(edge), service="far") as far,
    ):
        await shop.publish(Seen(number=1), message_id="m1")
        await far.publish(Seen(number=1), message_id="m1")  # unique in its service only
        await until(logged(books, 1, "seen", "seen"))


async def test_a_broker_that_is_away_holds_up_no_other() -> None:
    main, edge = MemoryBroker(), MemoryBroker()
    brokers = {"main": via(main), "edge": via(edge, sends=["audit.*"])}
    async with (
        Bus("memory:", Log, transport=MemoryTransport(edge), service="logs") as logs,
        Bus("memory:", Ledger, transport=MemoryTransport(main), service="books") as books,
        Bus("memory:", transport=brokers, service="shop") as shop,
    ):
        main.stop()
        await shop.publish(Noted(key="k", number=1))
        await shop.publish(Seen(number=1))
        await until(logged(logs, 1, "seen"))
        await until(lambda: shop.health().waits)
        (word,) = shop.health().waits
        assert [name for name, part in shop.health().parts.items() if part.waits] == ["bridge main to memory://"]
        assert "waits in the store" in word
        assert types(main) == []

        main.start()
        await until(lambda: empty(shop))
        await until(lambda: books.statistics["ledger", "completed"] == 1)


async def test_a_service_asks_a_broker_only_for_the_types_that_it_receives_there() -> None:
    main, edge = MemoryBroker(), MemoryBroker()
    brokers = {"main": via(main, receives=["shop.*"]), "edge": via(edge, sends=(), receives=["audit.*"])}
    async with (
        Bus("memory:", Ledger, Log, transport=brokers, service="books"),
        Bus("memory:", transport=MemoryTransport(main), service="shop") as shop,
    ):
        await shop.publish_many([Seen(number=1), Noted(key="k", number=1)])
        await until(lambda: empty(shop))

    assert types(main) == ["shop.noted"]  # what no queue takes is not among them


async def test_a_release_with_other_rules_takes_the_place_of_the_one_before() -> None:
    store, broker = store_from_url("memory:", SystemClock()), MemoryBroker()
    async with Bus(store, transport=via(broker, keeps=["audit.*"]), service="shop") as shop:
        await shop.publish(Seen(number=1))
    async with (
        Bus("memory:", Log, transport=MemoryTransport(broker), service="logs") as logs,
        Bus(store, transport=via(broker), service="shop") as shop,
    ):
        await shop.publish(Seen(number=2))
        await until(logged(logs, 2, "seen"))

    assert types(broker) == ["audit.seen"]


async def test_a_process_that_only_publishes_follows_the_rules_of_the_others() -> None:
    store, broker = store_from_url("memory:", SystemClock()), MemoryBroker()
    async with (
        Bus("memory:", Ledger, Log, transport=MemoryTransport(broker), service="books") as books,
        Bus(store, transport=via(broker, keeps=["audit.*"]), service="shop"),
    ):
        publisher = Bus(store, service="shop")
        await publisher.open(worker=False)
        await publisher.publish_many([Seen(number=1), Noted(key="k", number=1)])
        await until(lambda: books.statistics["ledger", "completed"] == 1)
        await publisher.close()

    assert types(broker) == ["shop.noted"]


# --- what stays inside ------------------------------------------------------------------------------------------------


async def test_private_messages_stay_in_their_service() -> None:
    broker, stored = MemoryBroker(), []

    @handler("store")
    def store(message: Store) -> None:
        stored.append(message.number)

    @handler("passes")
    def passes(message: Noted, ctx: Context) -> None:
        ctx.publish(Secret(number=message.number))
        ctx.send(Store(number=message.number))
        ctx.publish(Seen(number=message.number))

    async with (
        Bus("memory:", Log, transport=MemoryTransport(broker), service="logs") as logs,
        Bus("memory:", passes, store, Log, transport=MemoryTransport(broker), service="shop") as shop,
    ):
        await shop.publish(Noted(key="k", number=1))
        await shop.publish(Secret(number=2))
        await until(logged(shop, 1, "seen", "secret"))
        await until(logged(shop, 2, "secret"))
        await until(logged(logs, 1, "seen"))
        assert await logs.sagas.get(Log, "2") is None

    assert stored == [1]
    assert types(broker) == ["audit.seen"]


async def test_a_private_event_without_a_subscription_is_unheard(caplog: pytest.LogCaptureFixture) -> None:
    broker = MemoryBroker()
    async with Bus("memory:", transport=MemoryTransport(broker), service="shop") as shop:
        await shop.publish(Secret(number=1))
        assert "audit.secret" in caplog.text
        assert await empty(shop)


# --- declaring --------------------------------------------------------------------------------------------------------


async def test_a_service_that_may_not_declare_says_what_is_missing() -> None:
    broker = MemoryBroker()
    books = Bus("memory:", Ledger, transport=via(broker, declare=False), service="books")
    with pytest.raises(ConfigurationError, match="'books'"):
        await books.open()

    async with Bus("memory:", Ledger, transport=via(broker), service="books"):
        pass
    async with Bus("memory:", Ledger, transport=via(broker, declare=False), service="books") as books:
        broker.put("books", {"sagabus-id": "1", "sagabus-type": "shop.noted"}, b'{"key":"k","number":1}')
        await until(lambda: books.statistics["ledger", "completed"] == 1)


# --- types that come later --------------------------------------------------------------------------------------------


async def test_an_unknown_type_waits_for_the_release_that_knows_it() -> None:
    store, broker = store_from_url("memory:", SystemClock()), MemoryBroker()
    settings = Settings(unknown_type_wait=timedelta(hours=1))
    for number in range(2):
        headers: dict[str, object] = {"sagabus-id": str(number), "sagabus-type": "shop.noted"}
        broker.put("books", headers, b'{"key":"k","number":%d}' % number)
    async with Bus(store, Log, transport=via(broker), service="books", settings=settings) as older:
        await until(lambda: older.statistics["broker:in", "retried"] == 2)
        assert await older.dead_letters.list() == []
    async with Bus(store, Log, Ledger, transport=via(broker), service="books", settings=settings) as newer:
        await until(lambda: newer.statistics["ledger", "completed"] == 2)


async def test_an_unknown_type_that_waits_in_vain_is_a_dead_letter() -> None:
    broker = MemoryBroker()
    settings = Settings(unknown_type_wait=timedelta(milliseconds=1))
    broker.put("books", {"sagabus-id": "1", "sagabus-type": "shop.noted"}, b'{"key":"k","number":1}')
    async with Bus("memory:", Log, transport=via(broker), service="books", settings=settings) as books:
        await until(books.dead_letters.list)
        (letter,) = await books.dead_letters.list()

    assert letter.cause is Cause.UNKNOWN
    assert "no subscription receives it" in letter.reason


# --- bytes ------------------------------------------------------------------------------------------------------------


async def test_bodies_are_compressed_between_services_that_agree_on_it() -> None:
    broker, packs = MemoryBroker(), {"body_codec": Gzip()}
    async with (
        Bus("memory:", Ledger, transport=via(broker, **packs), service="books") as books,
        Bus("memory:", transport=via(broker, **packs), service="shop") as shop,
    ):
        await shop.publish(Noted(key="k" * 200, number=1))
        await until(lambda: books.statistics["ledger", "completed"] == 1)

    (sent,) = broker.sent
    assert len(sent.body) < 200
    assert sent.headers["sagabus-encoding"] == "gzip"


class Fails:
    """A codec that reads nothing."""

    name = "gzip"

    def encode(self, body: bytes) -> bytes:
        return body

    def decode(self, body: bytes) -> bytes:
        raise RuntimeError("broken")


@pytest.mark.parametrize("codec", [None, Fails(), Gzip(largest=10)], ids=["none", "broken", "too large for it"])
async def test_bodies_that_cannot_be_unpacked_are_dead_letters_with_their_bytes(codec: Any) -> None:
    broker = MemoryBroker()
    async with (
        Bus("memory:", Ledger, transport=via(broker, body_codec=codec), service="books") as books,
        Bus("memory:", transport=via(broker, body_codec=Gzip()), service="shop") as shop,
    ):
        await shop.publish(Noted(key="k", number=1))
        await until(books.dead_letters.list)
        (letter,) = await books.dead_letters.list()

    assert letter.cause is Cause.PERMANENT
    assert "encoding 'gzip'" in letter.reason or "the codec 'gzip'" in letter.reason
    assert bytes.fromhex(json.loads(letter.envelope.body)["body"]["hex"]) == broker.sent[0].body


# --- what is refused --------------------------------------------------------------------------------------------------


def wrong(**options: Any) -> dict[str, Any]:
    return {"main": via(MemoryBroker(), **options)}


@pytest.mark.parametrize(
    ("transport", "why"),
    [
        ({}, "names no broker"),
        ({"a b": via(MemoryBroker())}, "a broker's name"),
        ({"a": via(MemoryBroker()), "b": via(MemoryBroker())}, "a message leaves by one way"),
        (wrong(sends=["audit.*"], keeps=["audit.*"]), "cannot be sent and kept"),
        (wrong(sends="audit.*"), "give a list of patterns"),
        (wrong(keeps=["*.secret"]), "is no pattern"),
        (wrong(receives=[7]), "is no pattern"),
        ({"main": Broker(transport=7)}, "is a URL, or has the calls"),  # type: ignore[arg-type]
    ],
)
def test_rules_that_cannot_be_meant_are_refused_when_the_bus_is_made(transport: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        Bus("memory:", transport=transport, service="shop")


def test_a_broker_shows_no_password() -> None:
    assert "hunter2" not in repr(Broker(transport="memory://user:hunter2@host"))


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Bus("memory:", transport=wrong(sends=["*x"], receives="audit"))

    assert len(caught.value.problems) == 3
