"""Policies of a real RabbitMQ: the doctor sees those that remove messages, and they do remove them."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest
from tests.support.private_servers import require
from tests.support.waiting import until

from sagabus import Bus, event, handler
from sagabus.errors import TransportError
from sagabus.testing.brokers import PrivateRabbitMQ
from sagabus.testing.sandbox import ReservedPort, ServerFailed
from sagabus.transport import Hazard, Topology, WireMessage
from sagabus.transports.rabbitmq import RabbitMQTransport, management

pytestmark = pytest.mark.faults

BOOKS = Topology("books", ("policies.noted",), (), "s1")
PLUGIN = "rabbitmq_management"
SECRET = "hunter2"


@event("policies.noted")
class Noted:
    number: int


@handler("noting")
def note(message: Noted) -> None: ...


class Managed:
    """A RabbitMQ with its management API."""

    def __init__(self, server: PrivateRabbitMQ, port: int) -> None:
        self.server, self.port = server, port

    def transport(self, prefix: str, login: str = "guest:guest") -> RabbitMQTransport:
        address = f"http://{login}@127.0.0.1:{self.port}"
        return RabbitMQTransport(f"{self.server.url}?prefix={prefix}", management=address)

    async def control(self, *arguments: str) -> None:
        await asyncio.to_thread(self.server.control, *arguments)

    async def policy(self, kind: str, name: str, prefix: str, keys: str) -> None:
        await self.control(f"set_{kind}", name, rf"^{prefix}\.", keys, "--apply-to", "queues")


@pytest.fixture(scope="module")
def broker() -> Iterator[Managed]:
    require(PrivateRabbitMQ)
    plugins = Path(PrivateRabbitMQ._tool("rabbitmqctl")).resolve().parent.parent / "plugins"
    if not any(plugins.glob(f"{PLUGIN}-*")):
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"RabbitMQ lacks its plugin {PLUGIN}")
    with closing(ReservedPort()) as port:
        settings = {
            "management.tcp.ip": "127.0.0.1",
            "management.tcp.port": str(port.number),
            "collect_statistics_interval": "1000",
        }
        with PrivateRabbitMQ(settings, plugins=[PLUGIN]) as server:
            server.control("eval", "application:set_env(rabbit, quorum_tick_interval, 500).")
            yield Managed(server, port.number)


async def hazards(transport: RabbitMQTransport) -> Sequence[Hazard]:
    """As soon as the broker has collected them: it does so every few seconds."""
    found: list[Sequence[Hazard]] = []

    async def told() -> bool:
        try:
            found.append(await transport.hazards(BOOKS))
        except TransportError as error:
            if "ask again" not in str(error):
                raise
        return bool(found)

    await until(told, 60, every=0.2)
    return found[0]


@asynccontextmanager
async def declared(transport: RabbitMQTransport) -> AsyncIterator[None]:
    link = await transport.connect()
    try:
        await link.declare(BOOKS)
        yield
    finally:
        await link.close()


async def test_each_policy_of_the_queue_is_seen_with_what_clears_it(broker: Managed) -> None:
    keys = '{"message-ttl": 60000, "expires": 600000, "dead-letter-exchange": "x"}'
    await broker.policy("policy", "cut", "one", keys)
    await broker.policy("policy", "mine", "two", '{"delivery-limit": 5, "message-ttl": 60000}')
    await broker.policy("operator_policy", "all", "two", '{"delivery-limit": 3}')
    prefixes = ("one", "two", "three")
    transports = [broker.transport(prefix) for prefix in prefixes]
    async with declared(transports[0]), declared(transports[1]), declared(transports[2]):
        one, two, three = [await hazards(transport) for transport in transports]

    assert [(each.severity, each.command) for each in one] == [
        ("note", None),
        ("error", "rabbitmqctl clear_policy -p / cut"),
        ("error", "rabbitmqctl clear_policy -p / cut"),
    ]
    assert "the policy 'cut' gives the queue one.service.books message-ttl=60000" in one[2].text
    assert [each.command for each in two] == [
        "rabbitmqctl clear_operator_policy -p / all",
        "rabbitmqctl clear_policy -p / mine",
    ]
    assert "delivery-limit=3" in two[0].text
    assert three == ()


async def test_a_policy_wins_over_the_queue_that_refuses_what_is_new(broker: Managed) -> None:
    """So it is an error, though the queue was declared with another answer."""
    await broker.policy("policy", "full", "four", '{"max-length": 2, "overflow": "drop-head"}')
    transport = broker.transport("four")
    async with declared(transport):
        pass
    link = await transport.connect()
    for number in range(4):
        await link.send([WireMessage(id=f"m{number}", source="shop", type="policies.noted", body=b"{}")])
    await link.declare(BOOKS)
    left = [each.message.id for each in await link.receive(4)]
    found = await hazards(transport)
    await link.close()

    assert "m0" not in left
    assert [(each.severity, each.command) for each in found] == [("error", "rabbitmqctl clear_policy -p / full")]


async def test_who_may_not_look_is_told_so(broker: Managed) -> None:
    await broker.control("add_user", "visitor", SECRET)
    await broker.control("set_permissions", "visitor", "^$", "^$", "^five")
    transport = broker.transport("five", f"visitor:{SECRET}")
    async with declared(transport):
        with pytest.raises(TransportError, match=r"refuses the login.*the tag `management`") as refused:
            await transport.hazards(BOOKS)
        await broker.control("set_user_tags", "visitor", "management")

        assert await hazards(transport) == ()
    assert SECRET not in str(refused.value)


async def test_the_doctor_says_it(broker: Managed, tmp_path: Path) -> None:
    await broker.policy("policy", "brief", "six", '{"message-ttl": 60000}')
    transport = broker.transport("six")
    async with Bus(f"sqlite:///{tmp_path}/bus.db", note, transport=transport, service="books") as bus:
        await hazards(transport)
        found = await bus.doctor()

    (policy,) = [each for each in found.findings if each.kind == "policy"]
    assert (policy.severity, policy.command) == ("error", "rabbitmqctl clear_policy -p / brief")
    assert found.unknown == ()


@pytest.mark.parametrize(
    ("user", "tag", "why"),
    [
        ("plain", "", "the tag `management`"),
        ("stranger", "management", "no permission in the virtual host.*set_permissions -p 'a/b c'"),
        ("watcher", "monitoring", "no permission in the virtual host"),
        ("guest", "administrator", "correct it$"),
    ],
)
async def test_who_may_not_look_is_told_what_is_missing(broker: Managed, user: str, tag: str, why: str) -> None:
    with suppress(ServerFailed):  # there since the last one
        await broker.control("add_vhost", "a/b c")
    await broker.control("set_permissions", "-p", "a/b c", "guest", ".*", ".*", ".*")
    if user != "guest":
        await broker.control("add_user", user, "pw")
        await broker.control("set_user_tags", user, tag)
    address = f"http://{user}:pw@127.0.0.1:{broker.port}"
    url = f"{broker.server.url.rstrip('/')}/a%2Fb%20c?prefix=rights"
    transport = RabbitMQTransport(url, management=address)
    async with declared(transport):
        with pytest.raises(TransportError, match=why):
            await transport.hazards(BOOKS)
        if user == "stranger":
            await broker.control("set_permissions", "-p", "a/b c", user, "^$", "^$", "^$")
            assert await hazards(transport) == ()


async def test_an_encrypted_api_is_known_by_its_certificate(certificates: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\n\r\n{"effective_policy_definition": {}}')
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        address = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        trusted = f"amqps://127.0.0.1/?ca={certificates}/authority.pem&management={address}"
        assert await RabbitMQTransport(trusted).hazards(BOOKS) == ()

        with pytest.raises(TransportError, match=r"does not answer \(.*certificate"):
            await RabbitMQTransport(trusted.replace("authority", "stranger")).hazards(BOOKS)


async def test_an_encrypted_api_that_falls_silent_is_left_at_the_deadline(
    certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    left = threading.Event()
    monkeypatch.setattr(management, "PATIENCE", 0.5)

    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with context.wrap_socket(connection, server_side=True):
            left.wait(60)  # without an answer to the goodbye of TLS, too

    with socket.create_server(("127.0.0.1", 0)) as server:
        answering = asyncio.create_task(asyncio.to_thread(answer, server))
        address = f"https://127.0.0.1:{server.getsockname()[1]}"
        transport = RabbitMQTransport(f"amqps://127.0.0.1/?ca={certificates}/authority.pem&management={address}")
        try:
            async with asyncio.timeout(10):
                with pytest.raises(TransportError, match="has not answered within"):
                    await transport.hazards(BOOKS)
        finally:
            left.set()
            await answering
