"""G5, sentence by sentence, where transactions of an application overlap: on servers, and on one file."""

from contextlib import ExitStack
from typing import Any

import pytest
from tests.grounds import SERVERS, Ground
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Noted
from tests.scenarios.ways_to_join import begun, insert

from sagabus import Bus, handler

seen: list[int] = []


@handler("noting", key="key")
def note(message: Noted) -> None:
    seen.append(message.number)


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    seen.clear()


servers = pytest.mark.parametrize("ground", SERVERS, indirect=True)


async def effects(on_ground: MakeHarness) -> list[int]:
    async with on_ground(note) as bus:
        await bus.idle()
    return list(seen)


async def registered(ground: Ground) -> Bus:
    async with Bus(ground.url, note):
        pass
    return Bus(ground.url)


async def test_within_a_transaction_it_is_the_order_of_the_calls(ground: Ground, on_ground: MakeHarness) -> None:
    bus = await registered(ground)
    with begun(ground) as connection:
        for number in range(5):
            bus.join(connection).publish(Noted(key="A", number=number))

    assert await effects(on_ground) == [0, 1, 2, 3, 4]


async def test_what_is_published_after_another_was_accepted_comes_after_it(
    ground: Ground, on_ground: MakeHarness
) -> None:
    bus = await registered(ground)
    for number in range(5):
        with begun(ground) as connection:
            bus.join(connection).publish(Noted(key="A", number=number))

    assert await effects(on_ground) == [0, 1, 2, 3, 4]


@servers
async def test_of_transactions_that_overlap_the_one_that_wrote_first_is_first_if_both_have_committed(
    ground: Ground, on_ground: MakeHarness
) -> None:
    bus = await registered(ground)
    with ExitStack() as late:
        first = late.enter_context(begun(ground))
        bus.join(first).publish(Noted(key="A", number=1))
        with begun(ground) as second:
            bus.join(second).publish(Noted(key="A", number=2))

    assert await effects(on_ground) == [1, 2]


@servers
async def test_of_transactions_that_overlap_the_one_that_committed_first_is_first_if_a_worker_takes_it_meanwhile(
    ground: Ground, on_ground: MakeHarness
) -> None:
    bus = await registered(ground)
    with begun(ground) as first:
        bus.join(first).publish(Noted(key="A", number=1))
        with begun(ground) as second:
            bus.join(second).publish(Noted(key="A", number=2))
        assert await effects(on_ground) == [2]

    assert await effects(on_ground) == [2, 1]


@servers
async def test_a_row_that_both_lock_before_they_publish_makes_it_the_order_of_the_commits(
    ground: Ground, on_ground: MakeHarness
) -> None:
    bus = await registered(ground)
    with begun(ground) as setup:
        setup.cursor().execute(insert(ground), ("A",))
    with begun(ground) as first, begun(ground) as second:
        for connection in (first, second):
            limit_waiting(ground, connection)
        lock(ground, first)
        bus.join(first).publish(Noted(key="A", number=1))
        with pytest.raises(Exception, match=r"(?i)lock"):
            lock(ground, second)  # it waits, so it cannot publish yet
        second.rollback()
        first.commit()
        lock(ground, second)
        bus.join(second).publish(Noted(key="A", number=2))

    assert await effects(on_ground) == [1, 2]


def limit_waiting(ground: Any, connection: Any) -> None:
    wait = {"postgres": "SET lock_timeout = '50ms'", "mysql": "SET innodb_lock_wait_timeout = 1"}
    connection.cursor().execute(wait[ground.kind])
    connection.commit()


def lock(ground: Any, connection: Any) -> None:
    table = insert(ground).split()[2]
    connection.cursor().execute(f"SELECT id FROM {table} WHERE id = 'A' FOR UPDATE")
