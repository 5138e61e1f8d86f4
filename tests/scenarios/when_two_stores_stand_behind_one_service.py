"""A queue remembers which store it feeds: a copy, a backup or another region is refused until the queue is moved."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.scenarios.shop import Tally
from tests.support.databases import MysqlDatabase, PostgresDatabase
from tests.support.waiting import until

from sagabus import Bus
from sagabus.errors import ConfigurationError
from sagabus.transports.memory import MemoryBroker, MemoryTransport


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


def books(store: str, broker: MemoryBroker) -> Bus:
    return Bus(store, Tally, transport=MemoryTransport(broker), service="books")


async def refused(store: str, broker: MemoryBroker) -> bool:
    bus = books(store, broker)
    try:
        await bus.open()
    except ConfigurationError as error:
        return "another store" in str(error)
    await bus.close()
    return False


async def takes(bus: Bus, broker: MemoryBroker, number: int) -> None:
    broker.put(
        "books",
        {"sagabus-id": str(number), "sagabus-type": "shop.noted", "sagabus-source": "x"},
        b'{"key":"k%d"}' % number,
    )
    await until(lambda: bus.statistics["tally", "completed"] == 1)


async def test_the_same_store_comes_back(tmp_path: Path, broker: MemoryBroker) -> None:
    store = f"sqlite:///{tmp_path}/a.db"
    for number in range(3):
        async with books(store, broker) as bus:
            await takes(bus, broker, number)


async def test_another_store_is_refused_until_the_queue_is_moved(tmp_path: Path, broker: MemoryBroker) -> None:
    first, second = f"sqlite:///{tmp_path}/a.db", f"sqlite:///{tmp_path}/b.db"
    async with books(first, broker):
        assert await refused(second, broker)

    moving = books(second, broker)
    await moving.open(worker=False)
    await moving.brokers.declare(move=True)
    await moving.close()

    assert await refused(first, broker)
    async with books(second, broker) as bus:
        await takes(bus, broker, 1)


async def test_a_copy_of_a_file_is_another_store(tmp_path: Path, broker: MemoryBroker) -> None:
    async with books(f"sqlite:///{tmp_path}/a.db", broker):
        pass
    shutil.copy(tmp_path / "a.db", tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "a.db")) as source, closing(sqlite3.connect(tmp_path / "backup.db")) as to:
        source.backup(to)

    assert await refused(f"sqlite:///{tmp_path}/copy.db", broker)
    assert await refused(f"sqlite:///{tmp_path}/backup.db", broker)


async def test_a_store_gets_an_identity_of_its_own_where_nothing_tells_it_from_its_copy(
    tmp_path: Path, broker: MemoryBroker
) -> None:
    store = f"sqlite:///{tmp_path}/a.db"
    async with books(store, broker):
        pass
    mine = MemoryBroker()  # of the staging system
    staging = books(store, mine)
    await staging.open(worker=False)
    await staging.brokers.declare(renew=True)
    await staging.close()

    assert await refused(store, broker)
    assert not await refused(store, mine)


@pytest.fixture(params=[PostgresDatabase, MysqlDatabase])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """URLs of two stores in one database of a server."""
    databases = [request.param(keep=False) for _ in range(2)]
    yield databases[0].url, databases[1].url
    for each in databases:
        each.close()


async def test_two_stores_in_one_database_are_two(broker: MemoryBroker, pair: tuple[str, str]) -> None:
    first, second = pair
    async with books(first, broker):
        assert not await refused(first, broker)
        assert await refused(second, broker)


async def test_a_store_in_memory_may_be_any(broker: MemoryBroker) -> None:
    async with books("memory:", broker):
        assert not await refused("memory:", broker)
