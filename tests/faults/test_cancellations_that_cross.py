"""Cancelled in the very turn in which a wait ends: told to go on and to end, it ends. And what a bus whose opening or
closing is cancelled leaves behind: nothing.
"""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Take
from tests.faults.application import drained, make_bus, place, place_in_transaction
from tests.faults.cancelling import Crossing, Stepping
from tests.faults.oracle import lanes_owned, left_by
from tests.support.databases import Database

from sagabus import Bus
from sagabus.errors import StoreUnavailable
from sagabus.stores.postgres import PostgresStore

pytestmark = pytest.mark.faults

CALLS: dict[str, Callable[[Bus], Coroutine[Any, Any, Any]]] = {
    "open": Bus.open,
    "idle": Bus.idle,
    "place": place,
    "transaction": place_in_transaction,
    "purge": Bus.purge,
    "close": Bus.close,
}
NEVER = 10_000


async def is_cut(call: Coroutine[Any, Any, Any], how: type[Stepping], cancel_at: int) -> bool:
    """Cancel at the n-th await; whether there were so many, and then whoever called has ended by it."""

    stepping = how(call, cancel_at)

    async def step() -> None:
        await stepping

    await asyncio.wait([task := asyncio.create_task(step())], timeout=60)
    assert task.done(), f"cancelled at await {cancel_at} it goes on"
    assert task.cancelled() == (stepping.awaits >= cancel_at), f"cancelled at await {cancel_at} it returned"
    return task.cancelled()


def open_files() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.share(2)
async def test_it_is_obeyed_at_every_await(call: str, orders: Database) -> None:
    cancel_at, goes_on = 0, True
    while goes_on:
        cancel_at += 1
        bus = make_bus(orders.url)
        if call != "open":
            await bus.open()
            await place(bus)
        goes_on = await is_cut(CALLS[call](bus), Crossing, cancel_at)
        await bus.close()

    assert cancel_at > 1


@pytest.mark.parametrize("how", [Stepping, Crossing])
@pytest.mark.share(2)
async def test_a_bus_whose_opening_is_cancelled_leaves_nothing_behind(how: type[Stepping], orders: Database) -> None:
    async with make_bus(orders.url):
        pass
    await asyncio.sleep(0)
    files, cancel_at = open_files(), 1

    while await is_cut((bus := make_bus(orders.url)).open(), how, cancel_at):
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}, f"cancelled at await {cancel_at}"
        assert open_files() == files, f"cancelled at await {cancel_at}"
        assert lanes_owned(orders) == 0, f"cancelled at await {cancel_at}"
        cancel_at += 1
    await bus.close()

    assert cancel_at > 3


async def closing_is_cut(database: Database, how: type[Stepping], cancel_at: int) -> bool:
    bus = make_bus(database.url)
    await bus.open()
    await place(bus)
    repeating = asyncio.create_task(place(bus))
    await asyncio.sleep(0)
    cut = await is_cut(bus.close(), how, cancel_at)
    await asyncio.wait([repeating])
    assert isinstance(repeating.exception(), StoreUnavailable | None)
    await asyncio.sleep(0)  # a socket is closed a turn after it was cut
    return cut


@pytest.mark.parametrize("how", [Stepping, Crossing])
@pytest.mark.share(2)
async def test_a_bus_whose_closing_is_cancelled_leaves_nothing_behind(
    how: type[Stepping], orders: Database, undisturbed: dict[str, Any]
) -> None:
    """No task that goes on without its store, no connection, and no lane that others would have to wait for."""
    await closing_is_cut(orders, how, NEVER)
    files, cancel_at = open_files(), 1

    while await closing_is_cut(orders, how, cancel_at):
        assert asyncio.all_tasks() == {asyncio.current_task()}, f"cancelled at await {cancel_at}"
        assert open_files() == files, f"cancelled at await {cancel_at}"
        assert lanes_owned(orders) == 0, f"cancelled at await {cancel_at}"
        cancel_at += 1
    async with make_bus(orders.url) as bus:
        await drained(bus)

    assert cancel_at > 3
    assert left_by(orders) == undisturbed


@pytest.mark.parametrize("how", [Stepping, Crossing])
async def test_a_store_that_listens_is_closed_too(how: type[Stepping], take: Take) -> None:
    store = PostgresStore(f"{take('postgres').url}&notify=1")
    await store.open()
    await store.close()
    await asyncio.sleep(0)
    files, cancel_at, goes_on = open_files(), 0, True

    while goes_on:
        cancel_at += 1
        await store.open()
        goes_on = await is_cut(store.close(), how, cancel_at)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}, f"cancelled at await {cancel_at}"
        assert open_files() == files, f"cancelled at await {cancel_at}"

    assert cancel_at > 2


async def test_a_block_that_outlives_its_bus_raises_and_leaves_nothing(orders: Database) -> None:
    bus = make_bus(orders.url)
    await bus.open(worker=False)

    async def block() -> None:
        async with bus.transaction() as tx:
            await orders.execute(tx.connection, "INSERT INTO placed (order_id) VALUES ('in-transaction')")
            closing = asyncio.create_task(bus.close())
            for _ in range(5):
                await asyncio.sleep(0)
            closing.cancel()  # where it waits for the block, which waits for it
            await asyncio.wait([closing])

    with pytest.raises(StoreUnavailable):
        await block()

    assert orders.rows("*", "placed") == []
