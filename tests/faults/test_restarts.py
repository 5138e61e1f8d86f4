"""Servers that go and come back under load, are full, or end the bus's connections one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import asyncmy
import psycopg
import pymysql
import pytest
from tests.faults.conftest import Heard
from tests.faults.locks import held
from tests.faults.tasks import Step
from tests.support.databases import MysqlDatabase, PostgresDatabase, ServerDatabase
from tests.support.private_servers import query, require
from tests.support.proxied_bus import Wire, keep_publishing, published, wired
from tests.support.waiting import until

from sagabus import StoreUnavailable
from sagabus.testing.servers import PrivateMariaDB, PrivatePostgres, PrivateServer

pytestmark = pytest.mark.faults

KINDS = {"postgres": (PrivatePostgres, PostgresDatabase), "mysql": (PrivateMariaDB, MysqlDatabase)}
FEW = {"max_connections": "12"}


@pytest.fixture(params=KINDS, scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[PrivateServer]:
    kind, _ = KINDS[request.param]
    require(kind)
    with kind(FEW) as server:
        yield server


@pytest.fixture
def database(server: PrivateServer) -> Iterator[ServerDatabase]:
    """Each look at it is on a connection of its own: the server does not keep them."""
    (database_kind,) = (database for kind, database in KINDS.values() if isinstance(server, kind))
    database = database_kind(server.url, keep=False)
    yield database
    database.clear()
    database.close()


@pytest.mark.parametrize(
    ("how", "times"),
    [("killed", 1), *(pytest.param(how, 5, marks=pytest.mark.slow) for how in ("stopped", "killed", "refused"))],
)
async def test_load_goes_on_over_restarts(
    server: PrivateServer, database: ServerDatabase, how: str, times: int
) -> None:
    stop = asyncio.Event()
    async with wired(database) as wire, wire.bus(*wire.readers(), pool=4, deadline=5) as bus:
        keys = ["A", "B", "C"]
        publishers = [asyncio.create_task(keep_publishing(bus, wire, key, stop)) for key in keys]
        try:
            for _ in range(times):
                done = len(wire.attempts)
                await until(lambda done=done: len(wire.attempts) > done + 20)
                await gone_and_back(server, wire, how)
        finally:
            stop.set()
        counts = await asyncio.gather(*publishers)
        await wire.emptied()

        wire.check(dict(zip(keys, counts, strict=True)))


async def gone_and_back(server: PrivateServer, wire: Wire, how: str) -> None:
    if how == "refused":
        wire.proxy.refuse()
        wire.proxy.cut()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", wire.proxy.port)
        wire.proxy.accept()
        return
    connections = wire.proxy.connections
    await asyncio.to_thread(server.restart, kill=how == "killed")
    await wire.proxy.until(lambda proxy: proxy.connections > connections)


async def test_a_server_without_a_connection_left_is_waited_for(
    server: PrivateServer, database: ServerDatabase, heard: Heard
) -> None:
    async with wired(database) as wire, wire.bus(*wire.readers(), pool=4) as bus:
        await published(bus, Step(key="A", number=0), "step-0")
        await wire.emptied()
        wire.proxy.refuse()
        wire.proxy.cut()
        await heard.until("cannot fetch")
        guests = await take_all_connections(server)
        wire.proxy.accept()

        with pytest.raises(StoreUnavailable, match=r"[Tt]oo many"):
            await bus.publish(Step(key="A", number=1), message_id="step-1")
        for guest in guests:
            guest.close()

        await published(bus, Step(key="A", number=1), "step-1")
        await wire.emptied()
        wire.check({"A": 2})


async def take_all_connections(server: PrivateServer) -> list[Any]:
    """Connections that others have taken, until there is none left."""
    taken: list[Any] = []
    while True:
        try:
            taken.append(await asyncio.to_thread(_take, server))
        except (psycopg.OperationalError, pymysql.err.OperationalError):
            return taken


def _take(server: PrivateServer) -> Any:
    if isinstance(server, PrivatePostgres):
        return psycopg.connect(server.url, connect_timeout=10)
    return pymysql.connect(host="127.0.0.1", port=server.port, user="root", connect_timeout=10)


@pytest.mark.parametrize("how", ["cancel", pytest.param("end", marks=pytest.mark.slow)])
async def test_what_the_operator_does_to_connections_is_no_failure(
    server: PrivateServer, database: ServerDatabase, how: str
) -> None:
    """Everything waits for a lock when its statement is cancelled, or its connection ended; again and again."""
    async with wired(database) as wire, wire.bus(*wire.readers(), pool=4) as bus:
        await published(bus, Step(key="A", number=0), "step-0")
        await wire.emptied()
        async with held(database, "instance"):
            async with held(database, "envelope"):
                publishing = asyncio.create_task(published(bus, Step(key="A", number=1), "step-1"))
                assert [await struck(server, how) for _ in range(2)] == [True] * 2
            await publishing
            assert [await struck(server, how) for _ in range(2)] == [True] * 2
        await wire.emptied()
        wire.check({"A": 2})


async def struck(server: PrivateServer, how: str) -> bool:
    """Cancel what waits for a lock, or end its connection; whether there was any within some time."""
    waiting: list[int] = []

    async def look() -> list[int]:
        waiting[:] = await waiting_for_locks(server)
        return waiting

    await until(look, 10)
    if isinstance(server, PrivatePostgres):
        function = {"end": "pg_terminate_backend", "cancel": "pg_cancel_backend"}[how]
        found = await query(server.url, *(f"SELECT {function}({pid})" for pid in waiting))
        return bool(found[0][0])
    for number in waiting:
        with suppress(asyncmy.errors.OperationalError):  # it has ended since
            await query(server.url, f"KILL {'QUERY' if how == 'cancel' else ''} {number}")
    return True


async def waiting_for_locks(server: PrivateServer) -> list[int]:
    if isinstance(server, PrivatePostgres):
        sql = "SELECT pid FROM pg_stat_activity WHERE application_name = 'sagabus' AND wait_event_type = 'Lock'"
    else:
        sql = "SELECT id FROM information_schema.processlist WHERE state LIKE 'Waiting for table%'"
    return [row[0] for row in await query(server.url, sql)]
