"""An operator cancels statements of the bus at the server, again and again: it goes on by itself, and nobody pays."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from tests.conftest import Take
from tests.faults.conftest import Heard
from tests.faults.databases import query, require
from tests.faults.locks import cancelled, cancelling, held, waiting
from tests.faults.tasks import Step
from tests.faults.wires import Wire, published, until, wired
from tests.grounds import SERVERS, PostgresGround, ServerGround

from sagabus import Bus, Settings, StoreBusy, StoreUnavailable
from sagabus.testing.servers import PrivatePostgres

pytestmark = pytest.mark.faults

TIMES = 8
WAITS = "IPC"
"""What PostgreSQL calls it when a commit waits for its replica, among others that are over in no time."""


@pytest.fixture(params=SERVERS)
def ground(request: pytest.FixtureRequest, take: Take) -> ServerGround:
    ground = take(request.param)
    assert isinstance(ground, ServerGround)
    return ground


@pytest.mark.parametrize("kind", ["buffered", "lent"])
async def test_a_flush_that_is_cancelled_is_repeated_until_it_commits(ground: ServerGround, kind: str) -> None:
    running, go_on = asyncio.Event(), asyncio.Event()

    async def stop() -> None:
        running.set()
        await go_on.wait()

    async with wired(ground) as wire, wire.bus(*wire.readers(kind)) as bus:
        wire.before_each = stop
        await published(bus, Step(key="A", number=0), "step-0")
        await running.wait()
        async with held(ground, "envelope"):
            go_on.set()
            for _ in range(TIMES):
                await cancelled(ground)

        await wire.emptied()
        await published(bus, Step(key="A", number=1), "step-1")
        await wire.emptied()
        wire.check({"A": 2})


async def test_a_saga_whose_flush_is_cancelled_goes_on(ground: ServerGround) -> None:
    async with wired(ground) as wire, wire.bus(*wire.readers("walk")) as bus:
        async with held(ground, "instance"):
            await published(bus, Step(key="A", number=0), "step-0")
            for _ in range(TIMES):
                await cancelled(ground)

        await published(bus, Step(key="A", number=1), "step-1")
        await wire.emptied()
        wire.check({"A": 2})


async def test_an_append_that_is_cancelled_is_told_and_can_be_repeated(ground: ServerGround) -> None:
    async with wired(ground) as wire, wire.bus(*wire.readers()) as bus:
        await published(bus, Step(key="A", number=0), "step-0")
        async with held(ground, "inbox"), cancelling(ground):
            with pytest.raises((StoreBusy, StoreUnavailable)):
                await bus.publish(Step(key="A", number=1), message_id="step-1")

        await published(bus, Step(key="A", number=1), "step-1")
        await wire.emptied()
        wire.check({"A": 2})


async def test_a_fetch_that_is_cancelled_is_repeated(ground: ServerGround, heard: Heard) -> None:
    async with wired(ground) as wire, wire.bus(*wire.readers()) as bus:
        await published(bus, Step(key="A", number=0), "step-0")
        await wire.emptied()
        async with held(ground, "envelope", readers=True):
            for _ in range(3):
                await cancelled(ground)
            await heard.until("cannot fetch")

        await published(bus, Step(key="A", number=1), "step-1")
        await wire.emptied()
        wire.check({"A": 2})


@pytest.fixture
def alone() -> Iterator[PostgresGround]:
    """Tables on a primary that waits with each commit for a standby, once it is told to; and there is none."""
    require(PrivatePostgres)
    with PrivatePostgres() as server:
        yield PostgresGround(server.url, keep=False)


async def replicate(ground: ServerGround, names: str) -> None:
    """From now on, for every session. The statements themselves write nothing that would be waited for."""
    await query(ground._server, f"ALTER SYSTEM SET synchronous_standby_names = '{names}'", "SELECT pg_reload_conf()")


async def test_a_commit_that_is_cancelled_while_it_waits_for_its_replica_is_not_taken_for_one(
    alone: PostgresGround, heard: Heard
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
