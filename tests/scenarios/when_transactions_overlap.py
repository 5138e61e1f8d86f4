"""G5, sentence by sentence, where transactions of an application overlap: on servers, and on one file."""

from contextlib import ExitStack
from typing import Any

import pytest
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Noted
from tests.scenarios.ways_to_join import begun, insert
from tests.support.databases import SERVERS, Database

from sagabus import Bus, handler

seen: list[int] = []


@handler("noting", key="key")
def note(message: Noted) -> None:
    seen.append(message.number)


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    seen.clear()


servers = pytest.mark.parametrize("database", SERVERS, indirect=True)


async def effects(on_database: MakeHarness) -> list[int]:
    async with on_database(note) as bus:
        await bus.idle()
    return list(seen)


async def registered(database: Database) -> Bus:
    async with Bus(database.url, note):
        pass
    return Bus(database.url)


async def test_within_a_transaction_it_is_the_order_of_the_calls(database: Database, on_database: MakeHarness) -> None:
    bus = await registered(database)
    with begun(database) as connection:
        for number in range(5):
            bus.join(connection).publish(Noted(key="A", number=number))

    assert await effects(on_database) == [0, 1, 2, 3, 4]


async def test_what_is_published_after_another_was_accepted_comes_after_it(
    database: Database, on_database: MakeHarness
) -> None:
    bus = await registered(database)
    for number in range(5):
        with begun(database) as connection:
            bus.join(connection).publish(Noted(key="A", number=number))

    assert await effects(on_database) == [0, 1, 2, 3, 4]


@servers
async def test_of_transactions_that_overlap_the_one_that_wrote_first_is_first_if_both_have_committed(
    database: Database, on_database: MakeHarness
) -> None:
    bus = await registered(database)
    with ExitStack() as late:
        first = late.enter_context(begun(database))
        bus.join(first).publish(Noted(key="A", number=1))
        with begun(database) as second:
            bus.join(second).publish(Noted(key="A", number=2))

    assert await effects(on_database) == [1, 2]


@servers
async def test_of_transactions_that_overlap_the_one_that_committed_first_is_first_if_a_worker_takes_it_meanwhile(
    database: Database, on_database: MakeHarness
) -> None:
    bus = await registered(database)
    with begun(database) as first:
        bus.join(first).publish(Noted(key="A", number=1))
        with begun(database) as second:
            bus.join(second).publish(Noted(key="A", number=2))
        assert await effects(on_database) == [2]

    assert await effects(on_database) == [2, 1]


@servers
async def test_a_row_that_both_lock_before_they_publish_makes_it_the_order_of_the_commits(
    database: Database, on_database: MakeHarness
) -> None:
    bus = await registered(database)
    with begun(database) as setup:
        setup.cursor().execute(insert(database), ("A",))
    with begun(database) as first, begun(database) as second:
        for connection in (first, second):
            limit_waiting(database, connection)
        lock(database, first)
        bus.join(first).publish(Noted(key="A", number=1))
        with pytest.raises(Exception, match=r"(?i)lock"):
            lock(database, second)  # it waits, so it cannot publish yet
        second.rollback()
        first.commit()
        lock(database, second)
        bus.join(second).publish(Noted(key="A", number=2))

    assert await effects(on_database) == [1, 2]


def limit_waiting(database: Any, connection: Any) -> None:
    wait = {"postgres": "SET lock_timeout = '50ms'", "mysql": "SET innodb_lock_wait_timeout = 1"}
    connection.cursor().execute(wait[database.kind])
    connection.commit()


def lock(database: Any, connection: Any) -> None:
    table = insert(database).split()[2]
    connection.cursor().execute(f"SELECT id FROM {table} WHERE id = 'A' FOR UPDATE")
