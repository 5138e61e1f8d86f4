"""Fewer connections than there are who want one: everybody waits within bounds, and leases are kept all the same."""

import asyncio
from collections import Counter
from datetime import timedelta

import pytest
from tests.conftest import Take
from tests.faults.tasks import Step
from tests.support.databases import SERVERS, ServerDatabase
from tests.support.proxied_bus import RECORD
from tests.support.waiting import until

from sagabus import AsyncConnection, Bus, Context, Settings, StoreUnavailable, handler

pytestmark = pytest.mark.faults


@pytest.fixture(params=SERVERS)
def database(request: pytest.FixtureRequest, take: Take) -> ServerDatabase:
    database = take(request.param)
    assert isinstance(database, ServerDatabase)
    database.make()
    return database


async def test_handlers_that_hold_their_transactions_do_not_cost_the_bus_its_lanes(database: ServerDatabase) -> None:
    lease, count = 0.6, 8
    runs, done = Counter[int](), asyncio.Event()

    @handler("holding", key="number")
    async def holding(message: Step, ctx: Context, connection: AsyncConnection) -> None:
        runs[message.number] += 1
        await connection.execute(database.sql(RECORD), (message.key, message.number))
        await done.wait()

    settings = Settings(lanes=2, lease=timedelta(seconds=lease))
    async with Bus(f"{database.url}&pool=2", holding, settings=settings) as bus, Bus(database.url) as onlooker:
        await bus.publish_many([(Step(key="A", number=n), f"step-{n}") for n in range(count)])
        await until(lambda: bool(runs))
        assert bus._worker is not None
        identity = bus._worker.identity
        await asyncio.sleep(lease * 2)  # that the lease does not end takes its time

        in_time = database.of_bus("lane", "count(*)", f"WHERE owner = '{identity}'")
        receipt = await bus.publish(Step(key="A", number=count), message_id=f"step-{count}")
        done.set()
        await onlooker.idle(20)

        assert (in_time, receipt.status) == ([(2,)], "accepted")
        assert database.rows() == [("A", number) for number in range(count + 1)]
        assert set(runs.values()) == {1}
        assert not [kind for kind in bus.statistics if kind[1] != "completed"]


async def test_hundreds_of_publishers_and_handlers_share_two_connections(database: ServerDatabase) -> None:
    keys = range(40)

    @handler("lent", key="key")
    async def lent(message: Step, ctx: Context, connection: AsyncConnection) -> None:
        await connection.execute(database.sql(RECORD), (message.key, message.number))

    async with Bus(f"{database.url}&pool=2", lent) as bus:

        async def in_a_block(number: int) -> None:
            async with bus.transaction() as tx:
                tx.publish(Step(key=f"K{number}", number=1), message_id=f"block-{number}")

        copies = [bus.publish(Step(key=f"K{n}", number=0), message_id=f"step-{n}") for n in keys for _ in range(5)]
        receipts, *_ = await asyncio.gather(asyncio.gather(*copies), *(in_a_block(n) for n in keys))
        await bus.idle(30)

        assert Counter(receipt.status for receipt in receipts) == {"accepted": 40, "duplicate": 160}
        assert database.rows() == sorted((f"K{n}", number) for n in keys for number in (0, 1))
        assert await bus.dead_letters.list() == []
        assert {kind for _, kind in bus.statistics} == {"completed", "duplicate"}


async def test_a_call_that_finds_every_connection_taken_fails_in_time(database: ServerDatabase) -> None:
    async with Bus(f"{database.url}&pool=2&deadline=0.3") as bus, bus.transaction():
        with pytest.raises(StoreUnavailable, match=r"in use for 0\.3 s"):
            async with bus.transaction():
                pass

        assert (await bus.publish(Step(key="A", number=0))).status == "unheard"
