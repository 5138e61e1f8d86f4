"""What goes wrong with RabbitMQ alone: its memory, its rights, queues of another form, messages no driver reads."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aio_pika
import aiormq
import pytest
from aiormq import spec
from aiormq.abc import ChannelFrame
from pamqp import frame
from pamqp.body import ContentBody
from tests.support.brokers import RabbitMQLab
from tests.support.certificates import keep_key
from tests.support.two_services import books, check, have, pair
from tests.support.waiting import until

from sagabus.clock import SystemClock
from sagabus.errors import ConfigurationError, TransportError
from sagabus.testing.brokers import PrivateRabbitMQ
from sagabus.testing.sandbox import ReservedPort
from sagabus.transport import Answer, Delivery, Link, Topology, Transport, WireMessage
from sagabus.transports.rabbitmq import RabbitMQTransport, receiving

pytestmark = pytest.mark.faults

BOOKS = Topology("books", ("noted",), ("do",), "s1")
SECRET = "hunter2"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "rabbitmq.md"


@pytest.fixture
def broker() -> RabbitMQLab:
    return RabbitMQLab()


@asynccontextmanager
async def linked(transport: Transport, topology: Topology | None = BOOKS) -> AsyncIterator[Link]:
    link = await transport.connect()
    try:
        if topology is not None:
            await link.declare(topology)
        yield link
    finally:
        await link.close()


def message(number: int, name: str = "noted", **fields: Any) -> WireMessage:
    return WireMessage(id=f"m{number}", source="shop", type=name, body=fields.pop("body", b"{}"), **fields)


async def send(link: Link, *messages: WireMessage) -> list[Answer]:
    async with asyncio.timeout(20):
        return [sent.answer for sent in await link.send(messages)]


async def receive(link: Link, count: int) -> list[Delivery]:
    found: list[Delivery] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            found += await link.receive(count - len(found))
    return found


@asynccontextmanager
async def operator(url: str) -> AsyncIterator[Any]:
    """A channel of another program."""
    async with await aio_pika.connect(url) as connection:
        yield await connection.channel()


# --- the broker is short of something, or restarts -------------------------------------------------------------


@pytest.mark.slow
async def test_a_broker_that_is_short_of_memory_can_be_emptied_and_takes_the_rest_later(broker: RabbitMQLab) -> None:
    async with broker, linked(broker.transport()) as link:
        await send(link, *map(message, range(3)))
        await asyncio.to_thread(broker.server.control, "set_vm_memory_high_watermark", "0.00001")
        sending = asyncio.create_task(send(link, message(3)))

        await link.settle(await receive(link, 3))
        await link.ping()

        assert not sending.done()
        await asyncio.to_thread(broker.server.control, "set_vm_memory_high_watermark", "0.4")
        assert await sending == [Answer.CONFIRMED]
        assert [each.message.id for each in await receive(link, 1)] == ["m3"]


async def test_what_is_held_for_longer_than_the_broker_waits_comes_again(broker: RabbitMQLab) -> None:
    """As while the store is away for half an hour: the broker takes back all that the link holds."""
    async with broker:
        async with patience(broker, 1000), linked(broker.transport()) as link:
            await send(link, *map(message, range(3)))
            held = await receive(link, 3)
            async with asyncio.timeout(30):
                why = await link.ended()
            assert "PRECONDITION_FAILED" in why or "consumer_timeout" in why  # 4.3 ends the receiver, not its channel
            with pytest.raises(TransportError):
                await link.settle(held)
        async with linked(broker.transport()) as link:
            again = await receive(link, 3)
            await link.settle(again)

    assert [each.message.id for each in again] == ["m0", "m1", "m2"]
    assert all(each.is_again for each in again)


@asynccontextmanager
async def patience(broker: RabbitMQLab, milliseconds: int) -> AsyncIterator[None]:
    """How long new channels may leave a message without an acknowledgement: half an hour unless it is changed."""
    known = ((milliseconds, milliseconds), (1_800_000, 60_000))
    change = (
        "application:set_env(rabbit, consumer_timeout, {}), application:set_env(rabbit, channel_tick_interval, {})."
    )
    before, after = (change.format(*each) for each in known)
    await asyncio.to_thread(broker.server.control, "eval", before)
    try:
        yield
    finally:
        await asyncio.to_thread(broker.server.control, "eval", after)


async def test_connections_that_an_operator_closes_are_made_again(
    broker: RabbitMQLab, two_stores: Sequence[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with broker, pair(two_stores, broker.transport) as both:
        await both.ask(range(3))
        await both.have(3)
        await asyncio.to_thread(broker.server.control, "close_all_connections", "maintenance tonight")
        await both.ask(range(3, 6))

        await both.have(6)
        await both.check(6)
    assert "CONNECTION_FORCED" in caplog.text
    assert "maintenance tonight" in caplog.text


async def test_a_queue_that_is_deleted_is_made_again(broker: RabbitMQLab, two_stores: Sequence[str]) -> None:
    async with broker, pair(two_stores, broker.transport) as both:
        await both.ask(range(3))
        await both.have(3)
        await both.check(3)
        async with operator(broker.server.url) as channel:
            await channel.queue_delete(f"{broker.prefix}.service.books")
        await until(lambda: both.ledger.health().waits)
        await until(lambda: not both.ledger.health().waits)
        await both.ask(range(3, 6))

        await both.have(6)
        await both.check(6)


async def test_an_exchange_that_is_deleted_ends_the_link_and_is_made_again(broker: RabbitMQLab) -> None:
    async with broker, linked(broker.transport()) as link, operator(broker.server.url) as channel:
        await channel.exchange_delete(f"{broker.prefix}.events")

        with pytest.raises(TransportError, match="no exchange"):
            await send(link, message(0))

        async with linked(broker.transport()) as again:
            assert await send(again, message(0)) == [Answer.CONFIRMED]


@pytest.mark.slow
async def test_a_queue_without_a_leader_is_named_in_words(broker: RabbitMQLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """RabbitMQ 3.10 may lose the leader of a queue that was new when it was killed."""
    monkeypatch.setattr(receiving, "_PATIENCE", 3.0)
    async with broker:
        if not (await asyncio.to_thread(broker.server.control, "version")).startswith("3."):
            pytest.skip("newer versions lose none")
        async with linked(broker.transport()):
            await asyncio.to_thread(broker.server.restart, kill=True)

        with pytest.raises(TransportError, match="has lost its leader"):
            async with linked(broker.transport()):
                pass
        await asyncio.to_thread(broker.server.close)


# --- what others have made ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"x-queue-type": "quorum"},
        {"x-queue-type": "quorum", "x-single-active-consumer": True},
        {"x-queue-type": "classic", "x-single-active-consumer": True, "x-overflow": "reject-publish"},
    ],
    ids=["classic", "quorum", "ordered", "not replicated"],
)
async def test_a_queue_in_a_form_that_could_lose_messages_is_refused(
    broker: RabbitMQLab, arguments: dict[str, Any]
) -> None:
    async with broker, operator(broker.server.url) as channel:
        await channel.declare_queue(f"{broker.prefix}.service.books", durable=True, arguments=arguments)

        with pytest.raises(ConfigurationError, match=r"another form.*Empty it, delete it and start again"):
            async with linked(broker.transport()):
                pass

        async with linked(broker.transport(), None) as link:
            with pytest.raises(ConfigurationError, match="is missing"):
                await link.declare(Topology("books", ("noted",)), make=False)  # nothing was made


async def test_an_exchange_in_another_form_is_refused(broker: RabbitMQLab) -> None:
    async with broker, operator(broker.server.url) as channel:
        await channel.declare_exchange(f"{broker.prefix}.events", "direct", durable=True)

        with pytest.raises(ConfigurationError, match=r"events' is there in another form"):
            async with linked(broker.transport()):
                pass


async def test_a_moved_queue_is_refused_to_its_former_store_and_nothing_else_changes(broker: RabbitMQLab) -> None:
    async with broker:
        async with linked(broker.transport()) as link:
            await send(link, message(0))
        async with linked(broker.transport(), None) as link:
            await link.declare(Topology("books", ("noted",), ("do",), "s2"), move=True)

            assert [each.message.id for each in await receive(link, 1)] == ["m0"]
        with pytest.raises(ConfigurationError, match="feeds another store"):
            async with linked(broker.transport()):
                pass


# --- who may do what ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def user(broker: RabbitMQLab, configure: str, write: str, read: str) -> AsyncIterator[RabbitMQTransport]:
    """One with these rights, by patterns of names behind the prefix."""
    control, name = broker.server.control, broker.prefix
    patterns = [f"^{broker.prefix}\\.{pattern}" for pattern in (configure, write, read)]
    await asyncio.to_thread(control, "add_user", name, SECRET)
    await asyncio.to_thread(control, "set_permissions", name, *patterns)
    try:
        yield RabbitMQTransport(broker.url().replace("guest:guest", f"{name}:{SECRET}"))
    finally:
        await asyncio.to_thread(control, "delete_user", name)


async def test_rights_on_names_with_the_prefix_are_enough(broker: RabbitMQLab) -> None:
    async with broker, user(broker, "", "", "") as transport, linked(transport) as link:
        assert await send(link, message(0), message(1, "do", kind="command")) == [Answer.CONFIRMED] * 2
        await link.settle(await receive(link, 2))


async def test_the_rights_on_the_page_are_enough(broker: RabbitMQLab) -> None:
    (pattern,) = re.findall(r"^\^sagabus\\\.(.+)\$$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    rights = pattern.replace("billing", "books") + "$"
    async with broker, user(broker, rights, rights, rights) as transport, linked(transport) as link:
        assert await send(link, message(0), message(1, "do", kind="command")) == [Answer.CONFIRMED] * 2
        await link.settle(await receive(link, 2))


async def test_rights_that_are_missing_are_named(broker: RabbitMQLab) -> None:
    async with broker, user(broker, "(events|commands|store|owner|bound)", "", "") as transport:
        with pytest.raises(ConfigurationError, match=r"service.books'.*ACCESS_REFUSED") as refused:
            async with linked(transport):
                pass
    assert SECRET not in str(refused.value)


async def test_a_message_that_the_user_may_not_send_is_refused_alone(broker: RabbitMQLab) -> None:
    async with broker:
        async with linked(broker.transport()):
            pass
        async with user(broker, "", "(service|events|store|bound)", "") as transport, linked(transport, None) as link:
            command = message(1, "do", kind="command")

            answers = await send(link, message(0), command, message(2))

            assert answers == [Answer.CONFIRMED, Answer.REFUSED, Answer.CONFIRMED]


async def test_a_refused_login_is_a_matter_of_configuration_and_nothing_secret_is_shown(
    broker: RabbitMQLab, caplog: pytest.LogCaptureFixture
) -> None:
    async with broker:
        for url, problem in (
            (f"amqp://guest:{SECRET}@127.0.0.1:{broker.server.port}/", "ACCESS_REFUSED"),
            (f"amqp://guest:guest@127.0.0.1:{broker.server.port}/{broker.prefix}", "does not open the virtual host"),
        ):
            with pytest.raises(ConfigurationError, match=problem) as refused:
                await RabbitMQTransport(url).connect()

            assert SECRET not in f"{refused.value!r} {refused.value.__cause__!r}"
    assert SECRET not in caplog.text


async def test_hosts_are_tried_in_turn_and_each_is_named(broker: RabbitMQLab) -> None:
    async with broker:
        port = broker.server.port
        async with linked(RabbitMQTransport(f"amqp://127.0.0.1:1,127.0.0.1:{port}/?prefix={broker.prefix}")) as link:
            await link.ping()

        with pytest.raises(TransportError) as refused:
            await RabbitMQTransport("amqp://127.0.0.1:1,127.0.0.1:2/").connect()
        for place in ("127.0.0.1:1: ", "127.0.0.1:2: "):
            assert place in str(refused.value)


async def test_the_broker_is_known_by_its_certificate(certificates: Path) -> None:
    port = ReservedPort()
    settings = {
        "listeners.ssl.local": f"127.0.0.1:{port.number}",
        "ssl_options.cacertfile": str(certificates / "authority.pem"),
        "ssl_options.certfile": str(certificates / "server.pem"),
        "ssl_options.keyfile": str(keep_key(certificates, "server", "rabbitmq")),
        "ssl_options.verify": "verify_peer",
        "ssl_options.fail_if_no_peer_cert": "true",
    }
    with closing(port), PrivateRabbitMQ(settings):
        await until(lambda: listens(port.number))
        place = f"127.0.0.1:{port.number}"
        own = f"cert={certificates}/client.pem&key={certificates}/client.key"
        async with linked(RabbitMQTransport(f"amqps://{place}/?ca={certificates}/authority.pem&{own}")) as link:
            assert await send(link, message(0)) == [Answer.CONFIRMED]

        for url in (
            f"amqps://{place}/?ca={certificates}/stranger.pem&{own}",
            f"amqps://localhost:{port.number}/?ca={certificates}/authority.pem&{own}",
        ):
            with pytest.raises(ConfigurationError, match="CERTIFICATE_VERIFY_FAILED"):
                await RabbitMQTransport(url).connect()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# --- messages that the driver cannot read -------------------------------------------------------------------------


async def put_raw(broker: RabbitMQLab, service: str, flags: int, properties: bytes, body: bytes) -> None:
    """Any properties at all."""
    async with aiormq.connect(broker.server.url) as connection:
        channel = await connection.channel(publisher_confirms=False)
        publish = spec.Basic.Publish(exchange="", routing_key=f"{broker.prefix}.service.{service}")
        header = struct.pack(">HHQH", 60, 0, len(body), flags) + properties
        await connection.write_queue.put(
            ChannelFrame(
                payload=frame.marshal(publish, channel.number)
                + struct.pack(">BHI", 2, channel.number, len(header))
                + header
                + b"\xce"
                + frame.marshal(ContentBody(body), channel.number),
                should_close=False,
            )
        )
        await channel.basic_qos(prefetch_count=1)  # answered after it


@pytest.mark.parametrize("place", range(3))
async def test_a_message_that_the_driver_cannot_read_costs_no_other(
    broker: RabbitMQLab, two_stores: Sequence[str], place: int
) -> None:
    async with broker:
        async with books(two_stores[0], broker.transport()):
            pass  # its queue is there since
        for number in range(3):
            if number == place:
                await put_raw(broker, "books", 1 << 5, b"\x02\xff\xfe", b"bad")
            if number < 2:
                headers = {"sagabus-id": f"f{number}", "sagabus-type": "shop.noted"}
                headers["sagabus-sent-at"] = str(SystemClock().now())
                await broker.put("books", headers, b'{"key":"k","number":%d}' % number)

        async with books(two_stores[0], broker.transport()) as ledger:
            await until(have(ledger, 2, ["k"]))
            await until(ledger.dead_letters.list)

            (letter,) = await ledger.dead_letters.list()
            await check(ledger, 2, ["k"])
    assert letter.envelope.body == b"bad"
