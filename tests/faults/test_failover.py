"""Only the primary: a bus refuses every other server, waits where its own becomes one, and follows a failover."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
import pytest
from tests.faults.conftest import Heard
from tests.faults.tasks import Step
from tests.support.databases import MysqlDatabase, PostgresDatabase, ServerDatabase
from tests.support.private_servers import query, require
from tests.support.proxied_bus import Wire, keep_publishing, published, wired
from tests.support.waiting import until

from sagabus import Bus, Settings, StoreReadOnly, StoreUnavailable
from sagabus.stores.postgres import PostgresStore
from sagabus.testing.sandbox import HOST
from sagabus.testing.servers import PrivateMariaDB, PrivatePostgres, _program

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
def database(request: pytest.FixtureRequest) -> Iterator[ServerDatabase]:
    """Tables on a private server, of a user for whom read-only is read-only."""
    require(request.param)
    with request.param() as server:
        if request.param is PrivatePostgres:
            yield PostgresDatabase(server.url, keep=False)
        else:
            asyncio.run(query(server.url, "CREATE USER bound@'%'", "GRANT ALL ON test.* TO bound@'%'"))
            yield MysqlDatabase(server.url.replace("root@", "bound@"), keep=False)


async def read_only(database: ServerDatabase, switch: str) -> None:
    kind = PrivatePostgres if database.kind == "postgres" else PrivateMariaDB
    await query(database.server.replace("bound@", "root@"), *(sql.format(switch) for sql in READ_ONLY[kind]))

    async def is_so() -> bool:
        return await query(database.server, "SHOW default_transaction_read_only") == [(switch,)]

    if kind is PrivatePostgres:
        await until(is_so)  # it reads its settings a moment later, and only then tells those who are connected


async def test_a_server_that_becomes_read_only_is_waited_for(database: ServerDatabase, heard: Heard) -> None:
    async with wired(database) as wire, wire.bus(*wire.readers()) as bus:
        await published(bus, Step(key="A", number=0), "step-0")
        await wire.emptied()
        wire.before_each = lambda: read_only(database, "on")
        await published(bus, Step(key="A", number=1), "step-1")
        await heard.until("cannot commit")
        wire.proxy.cut()
        with pytest.raises(StoreReadOnly, match="point the bus at the primary"):
            await Bus(database.url).open()

        wire.before_each = None
        await read_only(database, "off")

        await wire.emptied()
        assert not wire.database.of_bus("dead_letter")
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
    database = PostgresDatabase(primary.url, keep=False)
    database.make()
    wire = Wire(database)
    hosts = f"{HOST}:{primary.port},{HOST}:{standby.port}"
    stop = asyncio.Event()
    url = database.url.replace(f"{HOST}:{primary.port}", hosts)
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
        database.server = standby.url
        await wire.emptied()

    wire.check(dict(zip("ABC", counts, strict=True)))


class Lagging:
    """A bus on a primary whose standby may stop to follow: what comes later is lost with the primary."""

    def __init__(self, primary: PrivatePostgres, standby: Standby) -> None:
        self._primary, self._standby = primary, standby
        self.database = PostgresDatabase(primary.url, keep=False)
        self.database.make()
        hosts = f"{HOST}:{primary.port},{HOST}:{standby.port}"
        self.url = self.database.url.replace(f"{HOST}:{primary.port}", hosts)

    async def stop_following(self) -> None:
        """The standby has all that is committed so far, and gets nothing more."""
        ((end,),) = await query(self._primary.url, "SELECT pg_current_wal_lsn()::text")
        reached = f"SELECT pg_last_wal_replay_lsn() >= '{end}'::pg_lsn"

        async def has_all() -> bool:
            return await query(self._standby.url, reached) == [(True,)]

        async def is_alone() -> bool:
            return not await query(self._primary.url, "SELECT 1 FROM pg_stat_replication")

        await until(has_all)
        await query(self._standby.url, "ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
        await until(is_alone)

    async def fail_over(self) -> None:
        """The primary is gone, and the standby leads on."""
        await asyncio.to_thread(self._primary.kill)
        await asyncio.to_thread(self._standby.promote)
        self.database.server = self._standby.url

    async def come_back(self) -> None:
        """The former primary is started again."""
        await asyncio.to_thread(self._primary.start)


@pytest.fixture
def lagging() -> Iterator[Lagging]:
    require(PrivatePostgres)
    with PrivatePostgres() as primary, Standby(primary) as standby:
        yield Lagging(primary, standby)


async def test_a_running_bus_goes_on_with_what_a_lagging_standby_knows(lagging: Lagging) -> None:
    """Rows, sagas and the inbox are as of some time ago; who publishes again under the same ids loses nothing."""
    wire = Wire(lagging.database)
    async with Bus(lagging.url, *wire.readers(), settings=Settings(lanes=2)) as bus:
        for number in range(5):
            await published(bus, Step(key="A", number=number), f"A-{number}")
        await wire.emptied()
        await lagging.stop_following()
        for number in range(5, 10):
            await published(bus, Step(key="A", number=number), f"A-{number}")
        await wire.emptied()

        await lagging.fail_over()
        for number in range(12):
            await published(bus, Step(key="A", number=number), f"A-{number}")

        await wire.emptied()
        wire.check({"A": 12})


async def test_in_flight_work_settles_no_other_row_after_a_lagging_standby_takes_over(lagging: Lagging) -> None:
    """The new primary gives the numbers of rows that it never had to others: to remove the ones by the handlers of the
    others would lose them.
    """
    wire = Wire(lagging.database)
    go_on = asyncio.Event()
    many = 200  # a standby's sequence is ahead by some numbers

    async def wait() -> None:
        await go_on.wait()

    async with Bus(lagging.url, *wire.readers("buffered"), settings=Settings(lanes=2, concurrency=many)) as bus:
        await published(bus, Step(key="A", number=0), "A-0")
        go_on.set()
        await wire.emptied()
        await lagging.stop_following()
        wire.before_each = wait
        go_on.clear()
        await bus.publish_many([(Step(key=f"lost {n}", number=0), f"lost-{n}") for n in range(many)])
        await until(lambda: len(wire.attempts) == 1 + many)

        await lagging.fail_over()
        later = [(Step(key=f"later {n}", number=0), f"later-{n}") for n in range(many)]
        while True:
            try:
                await bus.publish_many(later)
                break
            except (StoreUnavailable, StoreReadOnly):
                continue
        go_on.set()

        await wire.emptied()
        wire.check({"A": 1} | {f"later {n}": 1 for n in range(many)})


async def test_a_bus_that_has_followed_does_not_go_back_to_the_former_primary(lagging: Lagging) -> None:
    """Which comes back and takes writes, as if nothing had happened: by an oversight."""
    wire = Wire(lagging.database)
    async with Bus(lagging.url, *wire.readers("walk"), settings=Settings(lanes=2)) as bus:
        await published(bus, Step(key="A", number=0), "A-0")
        await wire.emptied()
        await lagging.stop_following()
        await lagging.fail_over()
        await published(bus, Step(key="A", number=1), "A-1")
        await wire.emptied()

        await lagging.come_back()

        assert isinstance(bus.store, PostgresStore)
        with pytest.raises(StoreUnavailable, match="a former primary is there again"):
            await bus.store._connect()
