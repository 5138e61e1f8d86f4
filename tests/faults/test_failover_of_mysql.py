"""What a failover of MySQL costs, by how the replica that leads on had followed; on private servers of MariaDB.

The bus has one address, as a URL names one host: a proxy, which leads to whoever is the primary.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest
from pymysql.cursors import DictCursor
from tests.faults.conftest import Heard
from tests.faults.tasks import Step
from tests.support.databases import MysqlDatabase, stranger
from tests.support.private_servers import query, require
from tests.support.proxied_bus import Wire, keep_publishing, published, wired
from tests.support.waiting import until

from sagabus import Bus, StoreReadOnly, StoreUnavailable
from sagabus.cli import main
from sagabus.testing.sandbox import HOST
from sagabus.testing.servers import PrivateMariaDB

pytestmark = pytest.mark.faults

LEADS = {"server-id": "1", "log-bin": "binlog", "binlog-format": "ROW"}
FOLLOWS = {"server-id": "2", "log-bin": "binlog", "binlog-format": "ROW", "read-only": "1"}
# Whoever commits waits for a replica that has it, however long, before anybody sees what is committed.
LEADS_ONLY_TOGETHER = LEADS | {
    "rpl-semi-sync-master-enabled": "1",
    "rpl-semi-sync-master-wait-point": "AFTER_SYNC",
    "rpl-semi-sync-master-timeout": "1000000000",
}
IS_SEMI_SYNCHRONOUS = """
SELECT SUBSTRING(LOWER(variable_name), 22), variable_value FROM information_schema.global_status
WHERE variable_name IN ('rpl_semi_sync_master_no_tx', 'rpl_semi_sync_master_status') ORDER BY 1
"""
PATIENCE = 20


class Replica(PrivateMariaDB):
    """Follows another server from its first transaction on; takes no writes until it is promoted."""

    def __init__(self, primary: PrivateMariaDB) -> None:
        super().__init__(FOLLOWS | {"rpl-semi-sync-slave-enabled": "1"})
        self._primary = primary

    def follow(self) -> None:
        """From now on, over a connection that is made in a moment."""
        place = f"MASTER_HOST = '{HOST}', MASTER_PORT = {self._primary.port}, MASTER_USER = 'root'"
        self.run(f"CHANGE MASTER TO {place}, MASTER_USE_GTID = slave_pos", "START SLAVE")

    def stop_following(self) -> None:
        """It has all that is committed so far, and gets nothing more."""
        with closing(stranger(self._primary.url)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT @@gtid_binlog_pos")
            ((reached,),) = cursor.fetchall()
        self._catch_up(reached)
        self.run("STOP SLAVE")

    def promote(self) -> None:
        """Follow no more, but lead: with all that it has got, be it applied by now or not."""
        (status,) = self.run("STOP SLAVE IO_THREAD", "SHOW SLAVE STATUS")
        self._catch_up(status["Gtid_IO_Pos"])
        self.run("STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = OFF")

    def run(self, *statements: str) -> list[dict[str, Any]]:
        """The rows of the last one, by the names of their columns."""
        with closing(stranger(self.url)) as connection, connection.cursor(DictCursor) as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def _catch_up(self, reached: str) -> None:
        (answer,) = self.run(f"SELECT MASTER_GTID_WAIT('{reached}', {PATIENCE}) AS late")
        assert answer == {"late": 0}


class Pair:
    """A primary, its replica, and tables on whoever leads."""

    def __init__(self, primary: PrivateMariaDB, replica: Replica) -> None:
        self.primary, self.replica = primary, replica
        replica.follow()
        self.database = MysqlDatabase(primary.url, keep=False)

    @asynccontextmanager
    async def wired(self) -> AsyncIterator[Wire]:
        """The address that follows the primary."""
        async with wired(self.database) as wire:
            yield wire

    async def fail_over(self, wire: Wire, *, fence: bool = False) -> None:
        """The replica leads on, and only then does the address lead to it."""
        await asyncio.to_thread(self.replica.promote)
        self.database.server = self.replica.url
        if fence:
            assert await asyncio.to_thread(main, ["lanes", "--fence", "--store", self.database.url]) == 0
        wire.proxy.lead_to(self.replica.port)


@pytest.fixture(params=[LEADS])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """By default a primary that waits for nobody."""
    require(PrivateMariaDB)
    with PrivateMariaDB(request.param) as primary, Replica(primary) as replica:
        yield Pair(primary, replica)


semi_synchronous = pytest.mark.parametrize("pair", [LEADS_ONLY_TOGETHER], indirect=True, ids=["semi-synchronous"])


async def accepted(bus: Bus, steps: list[tuple[Step, str]]) -> None:
    """Publish them again until there is somebody who accepts them."""
    while True:
        try:
            await bus.publish_many(steps)
        except (StoreUnavailable, StoreReadOnly):
            continue
        return


async def test_a_replica_is_refused_though_it_would_take_the_writes_of_an_administrator(pair: Pair) -> None:
    await query(pair.replica.url, "CREATE DATABASE theirs")

    with pytest.raises(StoreReadOnly, match="is read-only"):
        await Bus(pair.replica.url).open()


@semi_synchronous
async def test_a_running_bus_follows_a_failover_and_loses_nothing(pair: Pair, heard: Heard) -> None:
    stop = asyncio.Event()
    async with pair.wired() as wire, wire.bus(*wire.readers()) as bus:
        publishers = [asyncio.create_task(keep_publishing(bus, wire, key, stop)) for key in "ABC"]
        await until(lambda: len(wire.attempts) > 50)
        assert await query(pair.primary.url, IS_SEMI_SYNCHRONOUS) == [("no_tx", "0"), ("status", "ON")]
        await asyncio.to_thread(pair.primary.kill)
        await heard.until("cannot")
        await pair.fail_over(wire)

        done = len(wire.attempts)
        await until(lambda: len(wire.attempts) > done + 50)
        stop.set()
        counts = await asyncio.gather(*publishers)
        await wire.emptied()
        wire.check(dict(zip("ABC", counts, strict=True)))


async def test_in_flight_work_settles_no_other_row_after_a_lagging_replica_takes_over(pair: Pair) -> None:
    """It gives the numbers of rows that it never had to others. In lanes that have begun anew nobody takes the ones for
    the others; and who publishes the ones again, under the same ids, loses nothing.
    """
    go_on = asyncio.Event()
    go_on.set()
    many = 20
    lost = [(Step(key=f"lost {n}", number=0), f"lost-{n}") for n in range(many)]
    later = [(Step(key=f"later {n}", number=0), f"later-{n}") for n in range(many)]

    async def wait() -> None:
        await go_on.wait()

    async with pair.wired() as wire, wire.bus(*wire.readers("buffered")) as bus:
        await published(bus, Step(key="A", number=0), "A-0")
        await wire.emptied()
        await asyncio.to_thread(pair.replica.stop_following)
        wire.before_each = wait
        go_on.clear()
        await bus.publish_many(lost)
        await until(lambda: len(wire.attempts) == 1 + many)
        in_hand = pair.database.of_bus("envelope", "position")

        await asyncio.to_thread(pair.primary.kill)
        await pair.fail_over(wire, fence=True)
        await accepted(bus, later)
        assert set(in_hand) == set(pair.database.of_bus("envelope", "position"))
        go_on.set()
        await wire.emptied()
        await accepted(bus, lost)

        await wire.emptied()
        wire.check({"A": 1} | {step.key: 1 for step, _ in [*lost, *later]})
