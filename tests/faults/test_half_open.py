"""Nothing passes and nothing ends: connections that look open. Each call ends by its deadline, and work resumes."""

import asyncio
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from tests.conftest import Take
from tests.faults.conftest import Heard
from tests.faults.tasks import Step
from tests.support.databases import SERVERS, ServerDatabase
from tests.support.proxied_bus import RECORD, published, wired
from tests.support.waiting import until

from sagabus import AsyncConnection, Bus, Context, RetryPolicy, StoreUnavailable, handler

pytestmark = pytest.mark.faults

DEADLINE = 0.3


@pytest.fixture(params=SERVERS)
def database(request: pytest.FixtureRequest, take: Take) -> ServerDatabase:
    database = take(request.param)
    assert isinstance(database, ServerDatabase)
    return database


async def test_a_publisher_gets_an_error_within_the_deadline_and_workers_resume(
    database: ServerDatabase, heard: Heard
) -> None:
    async with wired(database) as wire, wire.bus(*wire.readers(), deadline=DEADLINE) as bus:
        await published(bus, Step(key="A", number=0), "step-0")
        wire.proxy.stall()
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await bus.publish(Step(key="A", number=1), message_id="step-1")
        took = time.monotonic() - begun
        await heard.until("cannot fetch")

        wire.proxy.flow()

        await published(bus, Step(key="A", number=1), "step-1")
        await wire.emptied()
        assert took < DEADLINE * 1.5
        assert wire.proxy.stalled > 0
        wire.check({"A": 2})


async def test_new_connections_that_are_half_open_are_given_up_too(database: ServerDatabase) -> None:
    async with wired(database) as wire, wire.bus(*wire.readers(), deadline=DEADLINE) as bus:
        wire.proxy.stall()
        for _ in range(2):
            begun = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await bus.publish(Step(key="A", number=0), message_id="step-0")
            assert time.monotonic() - begun < DEADLINE * 1.5

        wire.proxy.flow()

        await published(bus, Step(key="A", number=0), "step-0")
        await wire.emptied()
        wire.check({"A": 1})


async def test_connections_that_were_lost_at_rest_cost_one_call_and_no_more(database: ServerDatabase) -> None:
    """Each would cost the next call its deadline, one after another, and there are as many as the pool has room for."""
    async with wired(database) as wire:
        bus = wire.bus(*wire.readers("buffered"), deadline=DEADLINE, pool=6)
        await bus.open(worker=False)
        async with AsyncExitStack() as stack:
            for _ in range(5):
                await stack.enter_async_context(bus.transaction())
        wire.proxy.forget()

        calls = await published(bus, Step(key="A", number=0), "step-0")

        await bus.close()
        assert calls == 2


async def test_many_publishers_at_once_all_get_an_error(database: ServerDatabase) -> None:
    async with wired(database) as wire, wire.bus(*wire.readers(), deadline=DEADLINE, pool=2) as bus:
        wire.proxy.stall()
        begun = time.monotonic()
        calls = [bus.publish(Step(key="A", number=n), message_id=f"step-{n}") for n in range(100)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        took = time.monotonic() - begun

        wire.proxy.flow()

        assert {type(answer) for answer in answers} == {StoreUnavailable}
        assert took < DEADLINE * 2.5  # that of the flush before, and its own
        await bus.publish_many([(Step(key="A", number=n), f"step-{n}") for n in range(100)])
        await wire.emptied()
        wire.check({"A": 100})


async def test_closing_a_bus_that_hears_nothing_comes_to_an_end(database: ServerDatabase) -> None:
    async with wired(database) as wire:
        bus = wire.bus(*wire.readers(), deadline=DEADLINE, lease=1)
        await bus.open()
        await bus.publish_many([(Step(key="A", number=n), f"step-{n}") for n in range(20)])
        wire.proxy.stall()
        begun = time.monotonic()

        await bus.close()

        assert time.monotonic() - begun < 5
        wire.proxy.flow()
        async with wire.bus(*wire.readers()):
            await wire.emptied()
        wire.check({"A": 20})


async def test_a_handler_that_asks_a_silent_server_runs_again_uncounted(database: ServerDatabase) -> None:
    attempts: list[int] = []

    @handler("asking", key="key", retry=RetryPolicy(attempts=1, transient_for=timedelta(0)))
    async def asking(message: Step, ctx: Context, connection: AsyncConnection) -> None:
        attempts.append(ctx.attempt)
        if len(attempts) == 1:
            wire.proxy.stall()
        await connection.execute(database.sql("SELECT id FROM ledger WHERE id = ?"), (message.key,))
        ctx.execute(database.sql(RECORD), (message.key, message.number))

    async with wired(database) as wire, wire.bus(asking, deadline=DEADLINE) as bus:
        await bus.publish(Step(key="A", number=0), message_id="step-0")
        await wire.proxy.until(lambda proxy: proxy.stalled > 0)
        await asyncio.sleep(DEADLINE * 1.2)  # that it is given up on a connection that does not end takes time

        wire.proxy.flow()

        await until(lambda: database.rows() != [])
        await wire.emptied()
        assert attempts == [1] * len(attempts)
        assert len(attempts) > 1
        wire.check_books(1)


async def test_connections_that_are_silent_for_longer_than_a_lease_cost_no_lanes(database: ServerDatabase) -> None:
    """The deadline of a call is thirty leases long; a thread renews by another connection, and looks are shorter."""
    async with wired(database) as wire, wire.bus(*wire.readers("buffered"), lease=1, deadline=30) as bus:
        thread = bus._worker._leases._thread
        await published(bus, Step(key="A", number=0), "step-0")
        await wire.emptied()
        async with Bus(database.url, *wire.readers("buffered"), settings=bus.settings) as other:
            await until(lambda: len(set(database.of_bus("lane", "owner", "WHERE owner IS NOT NULL"))) == 2)
            await bus.idle(20)  # a call that is under way when all falls silent has its whole deadline
            shared = sorted(database.of_bus("lane", "lane, owner, epoch, suspect_until"))
            wire.proxy.forget()
            await until(lambda: thread.renewals > 0)
            await published(other, Step(key="A", number=1), "step-1")
            await published(other, Step(key="B", number=0), "step-B0")
            await wire.emptied()

            assert sorted(database.of_bus("lane", "lane, owner, epoch, suspect_until")) == shared
            wire.proxy.cut()
        wire.check({"A": 2, "B": 1})


async def test_lanes_that_were_lost_in_the_silence_belong_to_another(database: ServerDatabase) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    def reader(name: str) -> Any:
        @handler("slow", key="key")
        async def slow(message: Step, ctx: Context) -> None:
            ctx.execute(database.sql(RECORD), (name, message.number))
            if name == "silent":
                reached.set()
                await go_on.wait()

        return slow

    async with wired(database) as wire, wire.bus(reader("silent"), deadline=DEADLINE, lease=1) as bus:
        await bus.publish(Step(key="A", number=0), message_id="step-0")
        await reached.wait()
        wire.proxy.stall()
        async with Bus(database.url, reader("heir")) as other:
            await until(lambda: database.rows() != [])
            go_on.set()

            wire.proxy.flow()

            await until(lambda: bus.statistics["slow", "lost: gone"] + bus.statistics["slow", "lost: fenced"] > 0)
            await other.idle(20)
        assert database.rows() == [("heir", 0)]
        wire.check_books(1)


async def test_hints_come_again_after_a_silence(take: Take, heard: Heard) -> None:
    database = take("postgres")
    assert isinstance(database, ServerDatabase)
    async with wired(database) as wire, wire.bus(*wire.readers(), deadline=DEADLINE, notify=1) as bus:
        await published(bus, Step(key="A", number=0), "step-0")
        await wire.emptied()
        wire.proxy.hold_client_bytes_when(b"NOTIFY")
        await heard.until("no hints between processes for a moment: TimeoutError")

        wire.proxy.release()

        await published(bus, Step(key="A", number=1), "step-1")
        await wire.emptied()
        wire.check({"A": 2})


@pytest.mark.parametrize("word", ["BEGIN", "COMMIT"])
async def test_lanes_are_not_divided_for_ever_in_a_silence(database: ServerDatabase, word: str) -> None:
    """Which has no deadline as a whole, but for each of its steps."""
    async with wired(database) as wire, wire.bus(deadline=DEADLINE) as bus:
        wire.proxy.hold_client_bytes_when(lambda chunk: word in chunk.decode(errors="replace").replace("COMMITTED", ""))

        with pytest.raises(StoreUnavailable, match="no answer within"):
            await bus.store.divide(4)

        wire.proxy.release()
        assert (await bus.store.divide(4)).lanes == 4
