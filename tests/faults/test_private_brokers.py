"""Private brokers are real ones: they keep what they confirmed, whatever is done to them, and leave nothing behind."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import aio_pika
import nats
import pytest
from redis.asyncio import Redis
from tests.support.private_servers import require

from sagabus.testing.brokers import PrivateNats, PrivateRabbitMQ, PrivateRedis
from sagabus.testing.sandbox import until
from sagabus.testing.servers import PrivateServer, ServerFailed

pytestmark = pytest.mark.faults

ABANDONED = """
import sys, time
from sagabus.testing import brokers
server = getattr(brokers, sys.argv[1])()
server.start()
server.freeze()
print(server._shelter.path, server.port, flush=True)
time.sleep(60)
"""


class Kind(NamedTuple):
    """One kind of broker, and how to keep notes in it by its own client."""

    server: type[PrivateServer]
    write: Callable[[str, bytes], Awaitable[None]]
    """Confirmed when it returns."""
    read: Callable[[str], Awaitable[list[bytes]]]
    """All notes, which stay there."""


async def write_to_rabbitmq(url: str, note: bytes) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("notes", durable=True)  # a quorum queue that is new may not survive
        message = aio_pika.Message(note, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, "notes", mandatory=True)


async def read_from_rabbitmq(url: str) -> list[bytes]:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("notes", durable=True)
        found: list[bytes] = []
        while (message := await queue.get(fail=False)) is not None:
            found.append(message.body)
        return found  # none is acknowledged


async def write_to_nats(url: str, note: bytes) -> None:
    async with await nats.connect(url) as client:
        stream = client.jetstream()
        await stream.add_stream(name="notes", subjects=["notes"])
        await stream.publish("notes", note)


async def read_from_nats(url: str) -> list[bytes]:
    async with await nats.connect(url) as client:
        stream = client.jetstream()
        count = (await stream.stream_info("notes")).state.messages
        return [(await stream.get_msg("notes", number)).data or b"" for number in range(1, count + 1)]


async def write_to_redis(url: str, note: bytes) -> None:
    client: Any = Redis.from_url(url)
    async with client:
        await client.rpush("notes", note)


async def read_from_redis(url: str) -> list[bytes]:
    client: Any = Redis.from_url(url)
    async with client:
        return list(await client.lrange("notes", 0, -1))


KINDS = [
    Kind(PrivateNats, write_to_nats, read_from_nats),
    Kind(PrivateRabbitMQ, write_to_rabbitmq, read_from_rabbitmq),
    Kind(PrivateRedis, write_to_redis, read_from_redis),
]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.server.__name__)
def kind(request: pytest.FixtureRequest) -> Kind:
    require(request.param.server)
    return request.param


async def test_what_was_confirmed_survives_stops_and_kills_on_the_same_port(kind: Kind) -> None:
    with kind.server() as server:
        await kind.write(server.url, b"first")
        if isinstance(server, PrivateRabbitMQ):  # 4.0 writes down later that there is a new queue
            server.control("eval", "catch mnesia:sync_log().")
        url = server.url

        server.restart(kill=True)
        await kind.write(url, b"second")
        server.freeze()
        server.restart()

        assert await kind.read(url) == [b"first", b"second"]
        server.kill()
        assert not server.is_running
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)


@pytest.mark.slow
async def test_brokers_side_by_side_share_nothing_and_begin_with_nothing(kind: Kind) -> None:
    with kind.server() as one, kind.server() as other:
        await kind.write(one.url, b"one")
        await kind.write(other.url, b"other")

        assert await kind.read(one.url) == [b"one"]
        other.kill()
        assert await kind.read(one.url) == [b"one"]
        one.close()
        one.start()
        await kind.write(one.url, b"new")
        assert await kind.read(one.url) == [b"new"]


def test_a_broker_that_does_not_start_says_why(kind: Kind) -> None:
    server = kind.server({"no_such_setting": "1"})

    with pytest.raises(ServerFailed, match="no_such_setting"):
        server.start()

    assert not server.is_running


def test_a_broker_does_not_outlive_an_interpreter_that_is_killed(kind: Kind) -> None:
    command = [sys.executable, "-c", ABANDONED, kind.server.__name__]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        folder, port = child.stdout.readline().split()
        assert living_in(folder)

        child.send_signal(signal.SIGKILL)

    assert until(lambda: not Path(folder).exists(), 20)
    assert not living_in(folder)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(port)))


def living_in(folder: str) -> list[int]:
    """Processes that were started for a folder, helpers that have left their family among them."""
    numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [number for number in numbers if number != os.getpid() and folder in surroundings(number)]


def surroundings(process: int) -> str:
    """Its variables, unless it has written its title over them, and where it works."""
    place = Path(f"/proc/{process}")
    try:
        return (place / "environ").read_text(errors="replace") + str((place / "cwd").readlink())
    except OSError:
        return ""


@pytest.mark.parametrize(
    ("kind", "name", "program", "variable"),
    [
        (PrivateRedis, "Redis", "redis-server", "SAGABUS_REDIS_SERVER"),
        (PrivateNats, "NATS", "nats-server", "SAGABUS_NATS_SERVER"),
    ],
)
def test_the_page_names_the_version_that_every_build_tries(
    kind: type[PrivateServer], name: str, program: str, variable: str
) -> None:
    require(kind)
    if variable in os.environ:
        pytest.skip("another version is tried by hand")
    said = subprocess.run([program, "--version"], capture_output=True, check=True, text=True).stdout
    page = Path(__file__).resolve().parents[2] / "docs" / "brokers.md"
    (version,) = re.findall(r"\d+\.\d+\.\d+", said)[:1]

    assert f"| {name} {version} | real server, in every build" in page.read_text(encoding="utf-8")
