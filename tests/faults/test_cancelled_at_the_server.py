"""An operator cancels statements of the bus at the server, again and again: it goes on by itself, and nobody pays."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from tests.conftest import Take
from tests.faults.conftest import Heard
from tests.faults.locks import cancelled, cancelling, held, waiting
from tests.faults.tasks import Step
from tests.support.databases import SERVERS, PostgresDatabase, ServerDatabase
from tests.support.private_servers import query, require
from tests.support.proxied_bus import Wire, published, wired
from tests.support.waiting import until

from sagabus import Bus, Settings, StoreBusy, StoreUnavailable
from sagabus.testing.servers import PrivatePostgres

pytestmark = pytest.mark.faults

TIMES = 8
WAITS = "IPC"
"""What PostgreSQL calls it when a commit waits for its replica, among others that are over in no time."""


@pytest.fixture(params=SERVERS)
def database(request: pytest.FixtureRequest, take: Take) -> ServerDatabase:
    database = take(request.param)
    assert isinstance(database, ServerDatabase)
    return database


@pytest.mark.parametrize("kind", ["buffered", "lent"])
async def test_a_flush_that_is_cancelled_is_repeated_until_it_commits(database: ServerDatabase, kind: str) -> None:
    running, go_on = asyncio.Event(), asyncio.Event()

    async def stop() -> None:
        running.set()
        await go_on.wait()

    async with wired(database) as wire, wire.bus(*wire.readers(kind)) as bus:
        wire.before_each = stop
        await published(bus, Step(key="A", number=0), "step-0")
        await running.wait()
        async with held(database, "envelope"):
            go_on.set()
            for _ in range(TIMES):
                await cancelled(database)

        await wire.emptied()
        await published(bus, Step(key="A", number=1), "step-1")
        await wire.emptied()
        wire.check({"A": 2})


async def test_a_saga_whose_flush_is_cancelled_goes_on(database: ServerDatabase) -> None:
    async with wired(database) as wire, wire.bus(*wire.readers("walk")) as bus:
        async with held(database, "instance"):
            await published(bus, Step(key="A", number=0), "step-0")
            for _ in range(TIMES - 3):  # each pause before a repetition is twice the one before
                await cancelled(database)

        await published(bus, Step(key="A", number=1), "step-1")
        await wire.emptied()
        wire.check({"A": 2})


async def test_an_append_that_is_cancelled_raises_and_can_be_repeated(database: ServerDatabase) -> None:
    async with wired(database) as wire, wire.bus(*wire.readers()) as bus:
        await published(bus, Step(key="A", number=0), "step-0")
        async with held(database, "inbox"), cancelling(database):
            with pytest.raises((StoreBusy, StoreUnavailable)):
                await bus.publish(Step(key="A", number=1), message_id="step-1")

        await published(bus, Step(key="A", number=1), "step-1")
        await wire.emptied()
        wire.check({"A": 2})


async def test_a_fetch_that_is_cancelled_is_repeated(database: ServerDatabase, heard: Heard) -> None:
    async with wired(database) as wire, wire.bus(*wire.readers()) as bus:
        await published(bus, Step(key="A", number=0), "step-0")
        await wire.emptied()
        async with held(database, "envelope", readers=True):
            for _ in range(3):
                await cancelled(database)
            await heard.until("cannot fetch")

        await published(bus, Step(key="A", number=1), "step-1")
        await wire.emptied()
        wire.check({"A": 2})


@pytest.fixture
def alone() -> Iterator[PostgresDatabase]:
    """Tables on a primary that waits with each commit for a standby, once it is told to; and there is none."""
    require(PrivatePostgres)
    with PrivatePostgres() as server:
        yield PostgresDatabase(server.url, keep=False)


async def replicate(database: ServerDatabase, names: str) -> None:
    """From now on, for every session. The statements themselves write nothing that would be waited for."""
    await query(database.server, f"ALTER SYSTEM SET synchronous_standby_names = '{names}'", "SELECT pg_reload_conf()")


async def test_a_commit_that_is_cancelled_while_it_waits_for_its_replica_is_not_taken_for_one(
    alone: PostgresDatabase, heard: Heard
) -> None:
    """It has committed, on this server only, and a failover would lose it: nobody is told that it is accepted, and
    nothing more is done on the strength of it, until a later commit has been replicated.
    """
    alone.make()
    wire = Wire(alone)
    async with Bus(alone.url, *wire.readers("buffered", "walk"), settings=Settings(lanes=2)) as bus:
        await published(bus, Step(key="A", number=0), "step-0")
        await wire.emptied()
        await replicate(alone, "*")
        async with cancelling(alone, WAITS):
            with pytest.raises(StoreUnavailable, match="replica"):
                await bus.publish(Step(key="A", number=1), message_id="step-1")
            await heard.until("trying again")  # the flush, or a renewal before it
        again = asyncio.create_task(bus.publish(Step(key="A", number=1), message_id="step-1"))
        await until(lambda: bool(waiting(alone, WAITS, "horizon")))

        assert not again.done()
        await replicate(alone, "")

        assert (await again).status == "duplicate"
        await wire.emptied()
        wire.check({"A": 2})
