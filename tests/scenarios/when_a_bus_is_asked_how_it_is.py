"""`bus.health()` says what this process knows. Awaited, it asks the store, and waits no longer than it may."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from tests.scenarios.conftest import MakeHarness, until
from tests.scenarios.shop import Noted

from sagabus import Bus, Health, StoreFull, StoreUnavailable, WrongEventLoop, handler
from sagabus.outcome import Settled
from sagabus.store import Batch, Cursor, Fetched, Routing
from sagabus.stores.memory import MemoryStore
from sagabus.testing import ManualClock
from sagabus.transports.memory import MemoryBroker, MemoryTransport

SOON = timedelta(milliseconds=20)


class Away(MemoryStore):
    """Does not answer while it is away: never, or with an error."""

    error: Exception | None = None
    silent = False
    cancelled = 0

    full: StoreFull | None = None
    """It answers whoever reads, and takes no writes."""

    async def fetch(self, cursors: Sequence[Cursor], limit: int) -> Fetched:
        if self.full is not None:
            raise self.full
        return await super().fetch(cursors, limit)

    async def commit(self, batch: Batch) -> Sequence[Settled]:
        if self.full is not None:
            raise self.full
        return await super().commit(batch)

    async def routing(self) -> Routing:
        if self.error is not None:
            raise self.error
        if self.silent:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        return await super().routing()


@handler("it", key="key")
def it(message: Noted) -> None: ...


async def test_each_part_and_the_store_are_well(harness: MakeHarness) -> None:
    async with harness(it) as bus:
        health = await bus.bus.health()

    assert health.is_ready
    assert (health.reasons, health.waits, health.answers) == ((), (), True)
    assert health.parts == {
        name: Health(answers=True if name == "store" else None)
        for name in ("publishing", "worker", "housekeeping", "store")
    }


async def test_what_is_not_awaited_asks_nothing() -> None:
    store = Away(ManualClock())
    async with Bus(store, it) as bus:
        store.silent = True
        health = bus.health()
        store.silent = False

    assert health.is_healthy
    assert health.answers is None
    assert "store" not in health.parts


async def test_a_store_that_fails_makes_a_bus_not_ready_and_no_restart_would_help() -> None:
    store = Away(ManualClock())
    async with Bus(store, it) as bus:
        store.error = StoreUnavailable("cannot reach postgresql://shop:secret@db/shop")
        health = await bus.health()
        store.error = None
        again = await bus.health()

    assert health.is_healthy
    assert not health.is_ready
    (wait,) = health.waits
    assert "cannot reach" in wait
    assert "secret" not in wait
    assert health.parts["store"].waits == (wait,)
    assert again.is_ready


async def test_a_silent_store_is_waited_for_as_long_as_it_may_take() -> None:
    store = Away(ManualClock())
    async with Bus(store, it) as bus:
        store.silent = True
        health = await bus.health(within=SOON)
        store.silent = False

    assert not health.is_ready
    assert "did not answer within 0.02 s" in health.waits[0]
    assert store.cancelled == 1


async def test_a_worker_that_cannot_fetch_is_not_ready_though_the_store_answers() -> None:
    store = Away(ManualClock())
    async with Bus(store, it) as bus:
        store.full = StoreFull("the disk of postgresql://shop:secret@db/shop is full")
        await until(lambda: bool(bus.health().waits))
        health = await bus.health()
        store.full = None
        await until(lambda: not bus.health().waits)
        again = await bus.health()

    assert health.is_healthy
    assert not health.is_ready
    (wait,) = health.waits
    assert wait.startswith("the worker cannot fetch: StoreFull: the disk of")
    assert "secret" not in wait
    assert health.parts["worker"].waits == (wait,)
    assert health.parts["store"].answers
    assert again.is_ready


async def test_a_worker_that_cannot_commit_is_not_ready_though_the_store_answers() -> None:
    store = Away(ManualClock())
    ran = asyncio.Event()

    @handler("late", key="key")
    async def late(message: Noted) -> None:
        store.full = StoreFull("the disk is full")
        ran.set()

    async with Bus(store, late) as bus:
        await bus.publish(Noted(key="A"))
        await ran.wait()
        await until(lambda: any("cannot commit" in wait for wait in bus.health().waits))
        health = await bus.health()
        store.full = None
        await until(lambda: not bus.health().waits)
        again = await bus.health()

    assert health.is_healthy
    assert not health.is_ready
    assert again.is_ready
    assert again.waits == ()


async def test_a_bus_that_is_not_open_is_not_ready(harness: MakeHarness) -> None:
    async with harness(it) as bus:
        pass
    health = await bus.bus.health()

    assert health.is_healthy
    assert not health.is_ready
    assert health.waits == ("the bus is not open",)


async def test_a_part_that_ended_is_unhealthy_by_its_name() -> None:
    async with Bus("memory:", it) as bus:
        next(task for task in asyncio.all_tasks() if task.get_name() == "sagabus-housekeeping").cancel()
        await until(lambda: not bus.health().is_healthy)
        health = await bus.health()

    assert health.parts["housekeeping"].reasons == health.reasons != ()
    assert health.answers
    assert not health.is_ready
    assert health.parts["worker"].is_healthy


async def test_a_broker_that_is_away_leaves_a_bus_ready() -> None:
    broker = MemoryBroker()
    transport = MemoryTransport(broker)
    async with Bus("memory:", it, transport=transport, service="notes") as bus:
        well = await bus.health()
        broker.stop()
        await until(lambda: bool(bus.health().waits))
        health = await bus.health()

    name = f"bridge to {transport.place}"
    assert well.parts[name] == Health()
    assert health.is_ready
    assert health.parts[name].waits == health.waits != ()


async def test_only_the_loop_of_the_bus_may_ask_the_store() -> None:
    async with Bus("memory:", it) as bus:

        def elsewhere() -> Health:
            assert bus.health().is_healthy

            async def ask() -> Health:
                return await bus.health()

            return asyncio.run(ask())

        with pytest.raises(WrongEventLoop, match=r"await bus\.health"):
            await asyncio.to_thread(elsewhere)


async def test_a_health_that_has_asked_is_awaited_again_without_asking() -> None:
    async with Bus("memory:", it) as bus:
        health = await bus.health()

    assert await health is health
