"""Only the primary: a bus refuses every other server, waits where its own becomes one, and follows a failover."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
import pytest
from tests.faults.conftest import Heard
from tests.faults.databases import query, require
from tests.faults.tasks import Step
from tests.faults.wires import Wire, keep_publishing, published, until, wired
from tests.grounds import MySqlGround, PostgresGround, ServerGround

from sagabus import Bus, Settings, StoreReadOnly
from sagabus.testing.servers import PrivateMariaDB, PrivatePostgres, _program
from sagabus.testing.shelter import HOST

pytestmark = pytest.mark.faults

READ_ONLY = {
    PrivatePostgres: ("ALTER SYSTEM SET default_transaction_read_only = {}", "SELECT pg_reload_conf()"),
    PrivateMariaDB: ("SET GLOBAL read_only = {}", "SELECT 1"),
}


class Standby(PrivatePostgres):
    """Follows another server from a copy of its data."""

    def __init__(self, primary: PrivatePostgres) -> None:
        super().__init__()
        self._primary = primary

    def _begin(self, attempts: int) -> None:
        self._shelter = shelter = self._new_shelter()
        options = f"-h {HOST} -p {self._primary.port} -U postgres -X stream -c fast -R -D {shelter.path / 'data'}"
        shelter.run([str(_program("pg_basebackup")), *options.split()])
        self._launch(shelter)

    def promote(self) -> None:
        """Follow no more, but lead."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SELECT pg_promote()")


@pytest.fixture(params=READ_ONLY)
def ground(request: pytest.FixtureRequest) -> Iterator[ServerGround]:
    """Tables on a private server, of a user for whom read-only is read-only."""
    require(request.param)
    with request.param() as server:
        if request.param is PrivatePostgres:
            yield PostgresGround(server.url, keep=False)
        else:
            asyncio.run(query(server.url, "CREATE USER bound@'%'", "GRANT ALL ON test.* TO bound@'%'"))
            yield MySqlGround(server.url.replace("root@", "bound@"), keep=False)


async def read_only(ground: ServerGround, switch: str) -> None:
    kind = PrivatePostgres if ground.kind == "postgres" else PrivateMariaDB
    await query(ground._server.replace("bound@", "root@"), *(sql.format(switch) for sql in READ_ONLY[kind]))


async def test_a_server_that_becomes_read_only_is_waited_for(ground: ServerGround, heard: Heard) -> None:
    async with wired(ground) as wire, wire.bus(*wire.readers()) as bus:
        await published(bus, Step(key="A", number=0), "step-0")
        await wire.emptied()
        wire.before_each = lambda: read_only(ground, "on")
        await published(bus, Step(key="A", number=1), "step-1")
        await heard.until("cannot commit")
        wire.proxy.cut()
        with pytest.raises(StoreReadOnly, match="point the bus at the primary"):
            await Bus(ground.url).open()

        wire.before_each = None
        await read_only(ground, "off")

        await wire.emptied()
        assert not wire.ground.of_bus("dead_letter")
        wire.check({"A": 2})


@pytest.fixture
def pair() -> Iterator[tuple[PrivatePostgres, Standby]]:
    """A primary that commits nothing which its standby has not got, and the standby."""
    require(PrivatePostgres)
    with PrivatePostgres() as primary, Standby(primary) as standby:
        synchronous = "ALTER SYSTEM SET synchronous_standby_names = '*'"
        asyncio.run(query(primary.url, synchronous, "SELECT pg_reload_conf()"))
        yield primary, standby


async def test_a_standby_is_refused(pair: tuple[PrivatePostgres, Standby]) -> None:
    _, standby = pair

    with pytest.raises(StoreReadOnly, match="is a standby: point the bus at the primary"):
        await Bus(standby.url).open()


async def test_a_running_bus_follows_a_failover_and_loses_nothing(
    pair: tuple[PrivatePostgres, Standby], heard: Heard
) -> None:
    primary, standby = pair
    ground = PostgresGround(primary.url, keep=False)
    ground.make()
    wire = Wire(ground)
    hosts = f"{HOST}:{primary.port},{HOST}:{standby.port}"
    stop = asyncio.Event()
    url = ground.url.replace(f"{HOST}:{primary.port}", hosts)
    async with Bus(url, *wire.readers(), settings=Settings(lanes=2)) as bus:
        publishers = [asyncio.create_task(keep_publishing(bus, wire, key, stop)) for key in "ABC"]
        await until(lambda: len(wire.attempts) > 50)
        await asyncio.to_thread(primary.kill)
        await heard.until("cannot")
        await asyncio.to_thread(standby.promote)
        done = len(wire.attempts)
        await until(lambda: len(wire.attempts) > done + 50)
        stop.set()
        counts = await asyncio.gather(*publishers)
        ground._server = standby.url
        await wire.emptied()

    wire.check(dict(zip("ABC", counts, strict=True)))
