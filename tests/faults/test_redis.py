"""What goes wrong with Redis alone: its data, memory, rights and scripts. The links go on, or end and say why."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from tests.scenarios.shop import Noted, Tally
from tests.support.private_servers import require
from tests.support.waiting import until

from sagabus import Bus
from sagabus.errors import ConfigurationError, TransportError
from sagabus.testing.brokers import PrivateRedis
from sagabus.transport import Answer, Delivery, Link, Topology, WireMessage
from sagabus.transports.redis import RedisTransport, losses, receiving

pytestmark = pytest.mark.faults

NOTES = Topology("books", ("noted",))
BOOKS = Topology("books", ("noted",), ("do",))
QUEUE, LEASE = "{sagabus}:queue:books", "{sagabus}:lease:books"


@pytest.fixture
def server() -> Iterator[PrivateRedis]:
    require(PrivateRedis)
    with PrivateRedis() as server:
        yield server


@asynccontextmanager
async def client(server: PrivateRedis) -> AsyncIterator[Any]:
    """A connection of an operator."""
    found: Any = Redis.from_url(server.url)
    try:
        yield found
    finally:
        await found.aclose()


@asynccontextmanager
async def linked(transport: RedisTransport, topology: Topology | None = BOOKS) -> AsyncIterator[Link]:
    link = await transport.connect()
    try:
        if topology is not None:
            await link.declare(topology)
        yield link
    finally:
        await link.close()


def message(number: int, name: str = "noted", **fields: Any) -> WireMessage:
    return WireMessage(id=f"m{number}", source="shop", type=name, body=fields.pop("body", b"{}"), **fields)


async def send(link: Link, *numbers: int) -> None:
    answers = await link.send([message(number) for number in numbers])
    assert [each.answer for each in answers] == [Answer.CONFIRMED] * len(numbers)


async def receive(link: Link, count: int) -> list[Delivery]:
    found: list[Delivery] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            found += await link.receive(count - len(found))
    return found


def ids(deliveries: list[Delivery]) -> list[str]:
    return [each.message.id for each in deliveries]


# --- the server loses what it had ---------------------------------------------------------------------------------


async def test_a_group_that_is_gone_is_made_again_and_costs_no_message(server: PrivateRedis) -> None:
    transport = RedisTransport(server.url)
    async with linked(transport) as link, client(server) as operator:
        await send(link, 0, 1, 2)
        first, _ = await receive(link, 2)
        await link.settle([first])
        await operator.xgroup_destroy(QUEUE, "sagabus")

        with pytest.raises(TransportError, match="lost the queue of service 'books'"):
            await receive(link, 2)

        async with linked(transport) as again:
            assert ids(await receive(again, 2)) == ["m1", "m2"]


async def test_a_server_that_has_lost_its_data_ends_the_link(server: PrivateRedis) -> None:
    transport = RedisTransport(server.url)
    async with linked(transport) as link, client(server) as operator:
        await operator.flushall()

        with pytest.raises(TransportError, match="lost its data"):
            await link.send([message(0)])


async def test_sending_rests_after_a_loss_until_others_have_declared_again(
    server: PrivateRedis, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise an event would count as unheard, only because its sender was the first to notice."""
    sender, receiver = RedisTransport(server.url), RedisTransport(server.url)
    async with linked(receiver), linked(sender, None) as link, client(server) as operator:
        await link.declare(Topology("shop"))
        await operator.flushall()
        with pytest.raises(TransportError):
            await link.send([message(0)])

    async with linked(sender, None) as link:
        await link.declare(Topology("shop"))
        (early,) = await link.send([message(0)])
        async with linked(receiver) as books:
            now = asyncio.get_running_loop().time()
            monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now + 11)
            await send(link, 0)

            assert ids(await receive(books, 1)) == ["m0"]
            monkeypatch.undo()

    assert early.answer is Answer.UNKNOWN
    assert "has lost all its data" in caplog.text


async def test_a_restart_without_a_log_on_disk_is_said(caplog: pytest.LogCaptureFixture) -> None:
    require(PrivateRedis)
    with PrivateRedis({"appendonly": "no"}) as server:
        transport = RedisTransport(server.url)
        async with linked(transport) as link:
            await send(link, 0)
            (risk,) = await link.durability_risks()
            server.restart(kill=True)
            assert await link.ended()

        async with linked(transport):
            assert "has lost all its data" in caplog.text
    assert "appendonly yes" in risk


@pytest.mark.parametrize("kill", [False, True])
async def test_a_restart_keeps_what_was_confirmed(server: PrivateRedis, kill: bool) -> None:
    transport = RedisTransport(server.url)
    async with linked(transport) as link:
        await send(link, 0, 1, 2)
        first, _ = await receive(link, 2)
        await link.settle([first])
        server.restart(kill=kill)
        assert await link.ended()

    async with linked(transport) as link:
        found = await receive(link, 2)
        assert ids(found) == ["m1", "m2"]
        assert [each.is_again for each in found] == [True, False]


async def test_what_a_stranger_deletes_is_said_and_stops_nothing(
    server: PrivateRedis, caplog: pytest.LogCaptureFixture
) -> None:
    transport = RedisTransport(server.url)
    async with client(server) as operator:
        async with linked(transport) as link:
            await send(link, 0, 1)
            await receive(link, 1)
        await operator.xtrim(QUEUE, maxlen=1, approximate=False)

        async with linked(transport) as link:
            assert ids(await receive(link, 1)) == ["m1"]

    assert "1 messages of the service books were deleted" in caplog.text


async def test_scripts_that_the_server_has_forgotten_are_given_again(server: PrivateRedis) -> None:
    async with linked(RedisTransport(server.url)) as link, client(server) as operator:
        for number in range(3):
            await operator.script_flush()
            await send(link, number)
            await operator.script_flush()
            found = await receive(link, 1)
            await operator.script_flush()
            await link.settle(found)

        assert await operator.xlen(QUEUE) == 0


async def test_two_buses_go_on_when_the_server_has_lost_everything(
    server: PrivateRedis, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "_HOLD", 3.0)
    url = server.url + "?lease=1"
    shop = Bus("memory:", transport=url, service="shop")
    books = Bus("memory:", Tally, transport=url, service="books")

    async def have(*numbers: int) -> None:
        await until(lambda: tallied(books, numbers))

    async with books, shop, client(server) as operator:
        await shop.publish(Noted(key="k", number=1), partition_key="k")
        await have(1)
        await operator.flushall()
        await shop.publish(Noted(key="k", number=2), partition_key="k")

        await have(1, 2)

        assert not [each for bus in (shop, books) for each in await bus.dead_letters.list()]
    assert "has lost all its data" in caplog.text
    assert "unheard" not in caplog.text


async def tallied(bus: Bus, numbers: tuple[int, ...]) -> bool:
    found = await bus.sagas.get(Tally, "k")
    return found is not None and tuple(found.state.numbers) == numbers


# --- who receives -------------------------------------------------------------------------------------------------


async def test_a_link_that_was_silent_for_too_long_settles_nothing(server: PrivateRedis) -> None:
    async with linked(RedisTransport(server.url)) as zombie, client(server) as operator:
        await send(zombie, 0, 1)
        stale = await receive(zombie, 1)
        await operator.delete(LEASE)  # as if it had run out
        async with linked(RedisTransport(server.url)) as follower:
            found = await receive(follower, 2)

            with pytest.raises(TransportError, match="has passed"):
                await zombie.settle(stale)

            assert ids(found) == ["m0", "m1"]
            assert await operator.xlen(QUEUE) == 2
            assert "silent for longer than 5 s" in await zombie.ended()


async def test_a_link_that_was_silent_for_too_long_takes_nothing_that_is_new(server: PrivateRedis) -> None:
    async with linked(RedisTransport(server.url)) as zombie, client(server) as operator:
        waits = asyncio.create_task(zombie.receive(1))
        await until(lambda: is_blocked(operator))
        await operator.delete(LEASE)
        async with linked(RedisTransport(server.url)) as follower:
            await send(follower, 0)

            assert ids(await receive(follower, 1)) == ["m0"]
            with pytest.raises(TransportError, match="has passed"):
                await waits


async def is_blocked(operator: Any) -> bool:
    return int((await operator.info("clients"))["blocked_clients"]) > 0


async def test_the_lease_of_a_link_that_is_heard_of_does_not_pass(server: PrivateRedis) -> None:
    async with linked(RedisTransport(server.url + "?lease=1")) as link, client(server) as operator:
        waits = asyncio.create_task(link.receive(1))
        async with linked(RedisTransport(server.url)) as other:
            stands_by = asyncio.create_task(other.receive(1))
            done, _ = await asyncio.wait({waits, stands_by}, timeout=2.5)  # more than two leases
            assert not done
            assert await operator.pttl(LEASE) > 0

            await send(other, 0)

            assert ids(list(await waits)) == ["m0"]
            stands_by.cancel()


async def test_a_link_follows_an_ended_one_of_its_own_process_at_once(server: PrivateRedis) -> None:
    transport = RedisTransport(server.url + "?lease=60")
    async with linked(transport) as link, client(server) as operator:
        await send(link, 0)
        await operator.client_kill_filter(skipme=True)
        await link.ended()

        async with linked(transport) as again:
            assert ids(await receive(again, 1)) == ["m0"]


async def test_a_frozen_server_is_noticed_below_a_blocking_read(
    server: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "_WAIT", 0.2)
    monkeypatch.setattr(receiving, "_BEYOND", 0.2)
    async with linked(RedisTransport(server.url)) as link:
        waits = asyncio.create_task(link.receive(1))
        async with client(server) as operator:
            await until(lambda: is_blocked(operator))
        server.freeze()

        with pytest.raises(TransportError, match="no answer for"):
            async with asyncio.timeout(10):
                await waits
        server.thaw()


async def test_what_came_for_a_call_that_was_cancelled_is_for_the_next_one(server: PrivateRedis) -> None:
    async with linked(RedisTransport(server.url)) as link:
        for number in range(20):
            waits = asyncio.create_task(link.receive(1))
            sending = asyncio.create_task(link.send([message(number)]))
            for _ in range(number):
                await asyncio.sleep(0)
            waits.cancel()
            await asyncio.wait([waits, sending])
            if waits.cancelled():
                waits = asyncio.create_task(link.receive(1))
            (delivery,) = await waits

            assert delivery.message.id == f"m{number}"
            await link.settle([delivery])


# --- the server does not do what it is asked ----------------------------------------------------------------------


async def test_a_full_memory_is_unknown_and_can_be_emptied_by_a_link_that_begins_then(server: PrivateRedis) -> None:
    async with linked(RedisTransport(server.url), None) as sender, client(server) as operator:
        async with linked(RedisTransport(server.url)):
            pass
        await send(sender, *range(50))
        await operator.config_set("maxmemory", 1)

        (sent,) = await sender.send([message(50)])

        assert sent.answer is Answer.UNKNOWN
        assert sent.reason.startswith("OOM")
        async with linked(RedisTransport(server.url)) as link:
            await link.settle(await receive(link, 50))
        assert await operator.xlen(QUEUE) == 0
        await operator.config_set("maxmemory", 0)
        await send(sender, 50)


async def test_a_server_that_becomes_a_replica_ends_the_link(server: PrivateRedis) -> None:
    with PrivateRedis() as other:
        url = f"redis://127.0.0.1:{server.port},127.0.0.1:{other.port}/0"
        async with linked(RedisTransport(url)) as link, client(server) as operator:
            await operator.replicaof("127.0.0.1", other.port)

            with pytest.raises(TransportError, match="READONLY"):
                await link.send([message(0)])

        async with linked(RedisTransport(url)) as link, client(other) as operator:
            await send(link, 1)
            assert await operator.xlen(QUEUE) == 1


async def test_no_host_can_be_written_to(server: PrivateRedis) -> None:
    with PrivateRedis() as other:
        async with client(server) as operator:
            await operator.replicaof("127.0.0.1", other.port)
        other.stop()

        with pytest.raises(TransportError) as refused:
            await RedisTransport(f"redis://127.0.0.1:{server.port},127.0.0.1:{other.port}").connect()

        assert f"127.0.0.1:{server.port}: the server is a replica" in str(refused.value)
        assert f"127.0.0.1:{other.port}: " in str(refused.value)


async def test_too_few_replicas_are_unknown_and_the_link_is_well(server: PrivateRedis) -> None:
    async with linked(RedisTransport(server.url)) as link, client(server) as operator:
        await operator.config_set("min-replicas-to-write", 1)

        (sent,) = await link.send([message(0)])

        assert sent.answer is Answer.UNKNOWN
        assert sent.reason.startswith("NOREPLICAS")
        await operator.config_set("min-replicas-to-write", 0)
        await send(link, 0)


PAGE = Path(__file__).parent.parent.parent / "docs" / "redis.md"
(LEAST,) = re.findall(r"^ACL SETUSER app (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
"""What the page says."""


async def with_user(operator: Any, rights: str) -> None:
    await operator.execute_command("ACL", "SETUSER", "app", *rights.split())


def at(server: PrivateRedis) -> RedisTransport:
    return RedisTransport(f"redis://app:secret@127.0.0.1:{server.port}/0")


async def test_the_least_rights_are_enough(server: PrivateRedis) -> None:
    async with client(server) as operator:
        await with_user(operator, LEAST)
        async with linked(RedisTransport(f"redis://app:secret@127.0.0.1:{server.port}/0")) as link:
            await send(link, 0)
            waits = asyncio.create_task(link.receive(1))
            await link.settle(list(await waits))
            assert await link.durability_risks() == []
            await link.ping()
            waits = asyncio.create_task(link.receive(1))
            await until(lambda: is_blocked(operator))
            await send(link, 1)
            await link.settle(list(await waits))
        assert await operator.acl_log() == []


@pytest.mark.parametrize(
    "keys",
    [
        "~{sagabus}:mark ~{sagabus}:event:* ~{sagabus}:queue:*",
        "~{sagabus}:mark ~{sagabus}:event:* ~{sagabus}:command:* ~{sagabus}:queue:books",
    ],
    ids=["by its type", "by its queue"],
)
async def test_a_message_that_the_user_may_not_send_is_refused_alone(server: PrivateRedis, keys: str) -> None:
    async with client(server) as operator, linked(RedisTransport(server.url), Topology("till", (), ("do",))):
        await with_user(operator, LEAST)
        async with linked(at(server), NOTES) as link:
            await link.declare(Topology("books", ("noted", "ended")))
            await with_user(operator, LEAST.replace("~{sagabus}:*", f"resetkeys {keys}"))

            command, *events = await link.send(
                [message(0, "do", kind="command"), message(1), message(2, "ended"), message(3)]
            )

            assert command.answer is Answer.REFUSED
            assert "can't" in command.reason or "permissions" in command.reason
            assert [each.answer for each in events] == [Answer.CONFIRMED] * 3


@pytest.mark.parametrize("missing", ["+evalsha", "+xautoclaim", "+xgroup|create", "+sadd"])
async def test_a_missing_right_is_a_matter_of_configuration(server: PrivateRedis, missing: str) -> None:
    async with client(server) as operator:
        await with_user(operator, LEAST.replace(missing, ""))

        with pytest.raises(ConfigurationError, match=r"NOPERM|can't run this command|ACL failure"):
            async with linked(at(server)):
                pass


@pytest.mark.parametrize(
    ("login", "words"), [("app:hunter2@", "WRONGPASS"), (":hunter2@", "without any password"), ("", "DB index")]
)
async def test_what_waiting_does_not_cure_is_a_matter_of_configuration(
    server: PrivateRedis, login: str, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words) as refused:
        await RedisTransport(f"redis://{login}127.0.0.1:{server.port}/99").connect()

    assert "hunter2" not in repr(refused.value) + str(refused.value)
    assert refused.value.__cause__ is None


async def test_a_key_of_another_program_is_named(server: PrivateRedis) -> None:
    async with client(server) as operator:
        await operator.set(QUEUE, "theirs")

        with pytest.raises(ConfigurationError, match="queue:books is a string of another program"):
            async with linked(RedisTransport(server.url)):
                pass
