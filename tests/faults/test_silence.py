"""A handler with a handle of the driver's own may be slow: no deadline ends it. A server that is gone is noticed."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncmy
import asyncpg
import pytest
from tests.conftest import Take
from tests.faults.conftest import Heard
from tests.faults.tasks import Step
from tests.support.databases import SERVERS, ServerDatabase
from tests.support.proxied_bus import RECORD, wired
from tests.support.waiting import until

from sagabus import Context, Linear, RetryPolicy, handler
from sagabus.clock import SystemClock
from sagabus.store_urls import store_from_url
from sagabus.stores.sql.keepalive import notice_silence
from sagabus.stores.sql.server import ServerStore

pytestmark = pytest.mark.faults

ONCE = RetryPolicy(attempts=1, transient_for=timedelta(0))
TWICE = RetryPolicy(attempts=2, backoff=Linear(timedelta(milliseconds=1), step=timedelta(0)))
SLEEP = {"postgres": "SELECT pg_sleep({}) /* {} */", "mysql": "SELECT SLEEP({}) /* {} */"}
SLEEPING = {
    "postgres": "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE ? AND pid <> pg_backend_pid()",
    "mysql": "SELECT id FROM information_schema.processlist WHERE info LIKE ? AND id <> connection_id()",
}
END = {"postgres": "SELECT pg_terminate_backend({})", "mysql": "KILL {}"}
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="options and filters of Linux")


@pytest.fixture(params=SERVERS)
def database(request: pytest.FixtureRequest, take: Take) -> ServerDatabase:
    database = take(request.param)
    assert isinstance(database, ServerDatabase)
    return database


def sleeper(
    database: ServerDatabase,
    seconds: Callable[[], float],
    begun: list[int],
    mark: str = "",
    *,
    limit: float | None = None,
) -> Any:
    """A handler that sleeps at the server, on a connection of the driver's own."""

    async def sleep(message: Step, ctx: Context, connection: Any) -> None:
        begun.append(ctx.attempt)
        ctx.execute(database.sql(RECORD), (message.key, message.number))
        statement = SLEEP[database.kind].format(seconds(), mark)
        async with asyncio.timeout(limit):
            await (connection.fetch if database.kind == "postgres" else connection.cursor().execute)(statement)

    native = asyncpg.Connection if database.kind == "postgres" else asyncmy.Connection
    sleep.__annotations__ |= {"message": Step, "ctx": Context, "connection": native, "return": None}
    return handler("sleeper", key="key", retry=TWICE if limit else ONCE)(sleep)


async def test_a_slow_statement_on_a_native_handle_goes_on_beyond_the_deadline(database: ServerDatabase) -> None:
    begun: list[int] = []

    async with wired(database) as wire, wire.bus(sleeper(database, lambda: 4.5, begun), deadline=1) as bus:
        await bus.publish(Step(key="A", number=0), message_id="step-0")
        await wire.emptied()

        assert database.rows() == [("A", 0)]
        assert begun == [1]


@LINUX
async def test_a_native_handle_hears_of_a_server_that_is_gone_while_it_waits_for_an_answer(
    database: ServerDatabase,
) -> None:
    begun: list[int] = []
    mark = uuid4().hex
    reader = sleeper(database, lambda: 60 if len(begun) == 1 else 0, begun, mark)

    async with wired(database) as wire, wire.bus(reader, deadline=1) as bus:
        await bus.publish(Step(key="A", number=0), message_id="step-0")
        await until(lambda: bool(sleeping(database, mark)))

        wire.proxy.vanish()

        await wire.emptied()
        assert wire.proxy.vanished > 0
        assert database.rows() == [("A", 0)]
        assert begun == [1, 1]
        wire.check_books(1)
    for number in sleeping(database, mark):
        database.run(END[database.kind].format(number))


def sleeping(database: ServerDatabase, mark: str) -> list[int]:
    """The connections on which it is done, at the server: it goes on there for whom nobody hears."""
    return [number for (number,) in database.run(SLEEPING[database.kind], [f"%{mark}%"])]


@LINUX
async def test_a_native_handle_hears_of_a_server_that_is_gone_when_it_asks_something(database: ServerDatabase) -> None:
    begun: list[int] = []

    def vanished() -> float:
        if len(begun) == 1:
            wire.proxy.vanish()
        return 0

    async with wired(database) as wire, wire.bus(sleeper(database, vanished, begun), deadline=1) as bus:
        await bus.publish(Step(key="A", number=0), message_id="step-0")
        await until(lambda: len(begun) > 1)
        await wire.emptied()

        assert database.rows() == [("A", 0)]
        assert begun == [1, 1]
        wire.check_books(1)


async def test_a_handler_that_gives_up_a_server_that_hangs_is_free_of_it(
    database: ServerDatabase, heard: Heard
) -> None:
    """The machine answers and the server does not: nothing but the handler's own limit ends that."""
    begun: list[int] = []

    def stalled() -> float:
        if len(begun) == 1:
            wire.proxy.stall()
        return 0

    async with wired(database) as wire, wire.bus(sleeper(database, stalled, begun, limit=0.2), deadline=1) as bus:
        await bus.publish(Step(key="A", number=0), message_id="step-0")
        await heard.until("sleeper: ")

        wire.proxy.flow()

        await wire.emptied()
        assert database.rows() == [("A", 0)]
        assert begun == [1, 2 if database.kind == "postgres" else 1]  # the other driver ends a connection by that


@LINUX
@pytest.mark.parametrize(("deadline", "idle", "seconds"), [(30, 10, 30), (0.3, 1, 3), (1e6, 30_000, 90_000)])
async def test_every_connection_asks_the_machine_of_its_server(
    database: ServerDatabase, deadline: float, idle: int, seconds: int
) -> None:
    database.make()
    store = store_from_url(f"{database.url}&deadline={deadline}", SystemClock())
    assert isinstance(store, ServerStore)
    link = await store._connect()
    sock = link.native._transport.get_extra_info("socket")

    def told(option: int) -> int:
        return int(sock.getsockopt(socket.IPPROTO_TCP, option))

    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert (told(socket.TCP_KEEPIDLE), told(socket.TCP_KEEPINTVL), told(socket.TCP_KEEPCNT)) == (idle, idle, 2)
    assert told(socket.TCP_USER_TIMEOUT) == seconds * 1_000
    link.terminate()
    await asyncio.sleep(0)


async def test_a_socket_that_is_no_tcp_is_left_alone() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        notice_silence(asyncio.BaseTransport({"socket": ours}), 30)
        notice_silence(asyncio.BaseTransport(), 30)
        notice_silence(None, 30)

        assert not ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


async def test_a_socket_that_has_ended_is_left_to_its_user() -> None:
    ended = socket.socket()
    ended.close()

    notice_silence(asyncio.BaseTransport({"socket": ended}), 30)
