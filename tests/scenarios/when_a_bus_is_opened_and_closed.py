"""However opening and closing meet each other, publishers and cancellations, nothing is left behind by a closed bus."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from tests.faults.oracle import lanes_owned
from tests.scenarios.shop import Noted
from tests.support.databases import Database

from sagabus import Bus, Settings, handler
from sagabus.errors import SagaBusError

LONG = Settings(lease=timedelta(seconds=60))


def make_bus(database: Database, *, told: asyncio.Event | None = None) -> tuple[Bus, asyncio.Event]:
    """With a handler that ends when it is cancelled; if it says that it was told to, not until it is told again."""
    begun = asyncio.Event()

    @handler("slow", key="key")
    async def slow(message: Noted) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            if told is not None:
                told.set()
                await asyncio.Event().wait()

    return Bus(database.url, slow, settings=LONG), begun


@asynccontextmanager
async def nothing_is_left(database: Database) -> AsyncIterator[None]:
    async with Bus(database.url):
        pass
    yield
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert lanes_owned(database) == 0


async def test_two_who_open_it_at_once_open_it_once(database: Database) -> None:
    bus, begun = make_bus(database)
    async with nothing_is_left(database):
        await asyncio.gather(bus.open(), bus.open())
        await bus.publish(Noted(key="a", number=1))
        await begun.wait()
        closing = asyncio.create_task(bus.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.gather(closing, bus.close(), return_exceptions=True)


async def test_it_is_opened_again_while_it_is_being_closed(database: Database) -> None:
    bus, _ = make_bus(database)
    async with nothing_is_left(database):
        for turns in range(1, 12):
            await bus.open()
            closing = asyncio.create_task(bus.close())
            for _ in range(turns):
                await asyncio.sleep(0)
            await bus.open()
            await closing
            await bus.publish(Noted(key="a", number=turns))
            closing = asyncio.create_task(bus.close())
            await asyncio.sleep(0)
            closing.cancel()
            await asyncio.gather(closing, return_exceptions=True)
            await bus.close()


@pytest.mark.parametrize("apart", [0, 1, 3, 10])
async def test_opening_is_cancelled_twice(apart: int, database: Database) -> None:
    async with nothing_is_left(database):
        for turns in range(1, 40):
            bus, _ = make_bus(database)
            opening = asyncio.create_task(bus.open())
            for wait in (turns, apart):
                for _ in range(wait):
                    await asyncio.sleep(0)
                opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            await bus.close()


async def test_closing_is_cancelled_twice_while_a_handler_takes_its_time(database: Database) -> None:
    told = asyncio.Event()
    bus, begun = make_bus(database, told=told)
    async with nothing_is_left(database):
        await bus.open()
        await bus.publish(Noted(key="a", number=1))
        await begun.wait()
        closing = asyncio.create_task(bus.close())
        await asyncio.sleep(0)
        closing.cancel()
        await told.wait()
        closing.cancel()
        await asyncio.wait([closing])
        assert closing.cancelled()
        assert lanes_owned(database) == 0
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)


async def test_it_closes_though_others_go_on_publishing(database: Database) -> None:
    bus, _ = make_bus(database)
    await bus.open(worker=False)
    accepted: list[int] = []
    enough = asyncio.Event()

    async def publish(number: int) -> None:
        while True:
            await bus.publish(Noted(key=f"k{number}", number=number))
            accepted.append(number)
            if len(accepted) > 100:
                enough.set()

    tasks = [asyncio.create_task(publish(number)) for number in range(16)]
    await enough.wait()
    async with asyncio.timeout(20):
        await bus.close()
    ended = await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(each, SagaBusError) for each in ended)
    assert len(database.of_bus("envelope")) >= len(accepted)


@pytest.mark.parametrize("turns", [1, 20, 200])
async def test_a_cancelled_close_waits_for_no_transaction_and_tells_its_owner_nothing_else(
    turns: int, database: Database
) -> None:
    bus, _ = make_bus(database)
    await bus.open()
    entered, closed = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        async with bus.transaction() as tx:
            tx.publish(Noted(key="a"))
            entered.set()
            await closed.wait()
            raise KeyError("mine")

    mine = asyncio.create_task(work())
    await entered.wait()
    closing = asyncio.create_task(bus.close())
    for _ in range(turns):
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing], timeout=20)
    assert closing.done()
    closed.set()

    with pytest.raises(KeyError, match="mine"):
        await mine
    assert database.of_bus("envelope") == []
