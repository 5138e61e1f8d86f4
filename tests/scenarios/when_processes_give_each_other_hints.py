"""`?notify=1` on PostgreSQL: a worker hears of another process's messages at once. Without it, it looks."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import pytest

from sagabus import Bus, Context, event, handler
from sagabus.errors import UnsupportedCapability
from sagabus.stores.postgres import PostgresStore

URL = os.environ.get("SAGABUS_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")


@event("hints.given")
class Given:
    number: int


@handler("hinted")
def take(message: Given, ctx: Context) -> None:
    pass


@asynccontextmanager
async def own_schema() -> AsyncIterator[str]:
    schema = f"hints_{uuid4().hex[:12]}"
    try:
        yield f"{URL}?schema={schema}"
    finally:
        connection = await asyncpg.connect(URL)
        await connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        await connection.close()


async def heard(store: PostgresStore, other: Bus) -> bool:
    """Whether the store's next hint comes from the other process rather than by looking."""
    store._waiting._pause = 3600.0
    waiting = asyncio.create_task(store.changed(None))
    for number in range(200):
        await other.publish(Given(number=number))
        done, _ = await asyncio.wait([waiting], timeout=0.05)
        if done:
            return True
    waiting.cancel()
    return False


def test_a_hint_reaches_another_process_without_looking() -> None:
    async def run() -> None:
        async with own_schema() as url:
            first, second = Bus(f"{url}&notify=1", take), Bus(f"{url}&notify=1", take)
            await first.open(worker=False)
            await second.open(worker=False)
            assert isinstance(first.store, PostgresStore)
            assert await heard(first.store, second)
            await first.close()
            await second.close()

    asyncio.run(run())


def test_messages_of_another_process_are_handled_with_hints_and_without() -> None:
    async def run(option: str) -> None:
        async with own_schema() as url, Bus(url + option, take) as worker:
            publisher = Bus(url + option, take)
            await publisher.open(worker=False)
            await publisher.publish_many([Given(number=number) for number in range(50)])
            await publisher.close()
            await worker.idle(30)
            assert worker.statistics[("hinted", "completed")] == 50

    for option in ("", "&notify=1"):
        asyncio.run(run(option))


def test_behind_a_pooler_hints_are_refused() -> None:
    async def run() -> None:
        async with own_schema() as url:
            with pytest.raises(UnsupportedCapability, match="notify=1"):
                await Bus(f"{url}&notify=1&pooler=1", take).open(worker=False)

    asyncio.run(run())
