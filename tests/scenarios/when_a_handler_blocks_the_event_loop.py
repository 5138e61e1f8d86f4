"""A handler computes, or calls a client that blocks, for longer than a lease: no worker has died, one effect."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.scenarios.shop import Noted
from tests.support.databases import Database, SqliteDatabase

from sagabus import AsyncConnection, Bus, Context, Settings, handler
from sagabus.stores.memory import MemoryStore

INSERT = "INSERT INTO ledger (id, amount) VALUES (?, ?)"
LEASE = 0.6
SETTINGS = Settings(lanes=4, lease=timedelta(seconds=LEASE))


@contextmanager
def another_worker(url: str, *definitions: Any) -> Iterator[None]:
    """With an event loop and a thread of its own; it works when this begins, and has ended with it."""
    works, ended = threading.Event(), threading.Event()

    async def work() -> None:
        async with Bus(url, *definitions, settings=SETTINGS):
            works.set()
            await asyncio.to_thread(ended.wait, 60)

    thread = threading.Thread(target=asyncio.run, args=(work(),))
    thread.start()
    try:
        assert works.wait(20)
        yield
    finally:
        ended.set()
        thread.join()


def block() -> None:
    """For longer than it takes others to have a worker for dead whose lease is not renewed, and to run its messages."""
    time.sleep(2.5 * LEASE)


async def once(bus: Bus, database: Database, runs: list[int]) -> None:
    """See that a message takes effect once, in one run, wherever it runs."""
    await bus.publish(Noted(key="A", number=1), message_id="m-1")
    await bus.idle(30)

    assert (runs, database.rows()) == ([1], [("A", 1)])
    assert await bus.dead_letters.list() == []


async def test_with_a_second_worker_it_takes_effect_once(database: Database) -> None:
    runs: list[int] = []

    @handler("slow", key="key")
    def slow(message: Noted, ctx: Context) -> None:
        runs.append(ctx.attempt)
        block()
        ctx.execute(database.sql(INSERT), (message.key, message.number))

    with another_worker(database.url, slow):
        async with Bus(database.url, slow, settings=SETTINGS) as bus:
            await once(bus, database, runs)


async def test_with_its_transaction_open_as_well(database: Database) -> None:
    """In a file nobody can renew a lease meanwhile, nor take one over: whoever waits for that has no one for dead."""
    runs: list[int] = []

    @handler("slow", key="key")
    async def slow(message: Noted, ctx: Context, connection: AsyncConnection) -> None:
        runs.append(ctx.attempt)
        await database.execute(connection, INSERT, (message.key, message.number))
        block()

    with another_worker(database.url, slow):
        async with Bus(database.url, slow, settings=SETTINGS) as bus:
            await once(bus, database, runs)


async def test_what_waits_behind_an_open_transaction_is_not_suspect(tmp_path: Path) -> None:
    """In a file, nobody can renew meanwhile: who had to wait as long for its own lease sees nobody as dead."""
    database, runs = SqliteDatabase(tmp_path / "bus.db"), []
    database.make()

    @handler("slow", key="key")
    async def slow(message: Noted, ctx: Context, connection: AsyncConnection) -> None:
        runs.append(ctx.attempt)
        await database.execute(connection, INSERT, (message.key, message.number))
        block()

    with another_worker(database.url, slow):
        async with Bus(database.url, slow, settings=SETTINGS) as bus:
            await bus.publish_many([Noted(key=f"K{number}", number=number) for number in range(4)])
            await bus.idle(60)

    assert runs == [1] * 4
    assert database.of_bus("lane", "max(suspect_until)") == [(0,)]


async def test_two_workers_of_one_event_loop_stay_alive_to_each_other() -> None:
    runs: list[int] = []

    @handler("slow", key="key")
    def slow(message: Noted, ctx: Context) -> None:
        runs.append(ctx.attempt)
        block()

    store = MemoryStore()
    async with Bus(store, slow, settings=SETTINGS) as bus, Bus(store, slow, settings=SETTINGS):
        await bus.publish_many([Noted(key=f"K{number}", number=number) for number in range(4)])
        await bus.idle(30)

    assert runs == [1] * 4
