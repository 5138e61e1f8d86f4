"""What runs outside the way of a message ends when the bus stops it. Any other end is logged, and `health` says it."""

import asyncio
import logging
import re
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.conftest import MakeHarness, until
from tests.scenarios.shop import Noted
from tests.support.databases import Database

import sagabus.engine
from sagabus import Bus, Saga, Settings, StoreUnavailable, handler, starts
from sagabus.engine.loop_beat import LoopBeat
from sagabus.engine.renewal import RenewalThread
from sagabus.envelope import Envelope
from sagabus.outcome import Admission, Settled
from sagabus.store import Batch, Cursor, Fetched, Lane, Retention
from sagabus.store.upkeep import Purged
from sagabus.stores.memory import MemoryStore
from sagabus.testing import ManualClock
from sagabus.transports.memory import MemoryBroker, MemoryTransport

SECOND = timedelta(seconds=1)
TASKS = ["sagabus-intake", "sagabus-housekeeping", "sagabus-stuck-watch", "sagabus-bridge"]
AS_NEEDED = {"sagabus-group-commit", "sagabus-suspects"}
"""These are there while there is something to do, and begin again."""


class Fatal(BaseException):
    """What no `except Exception` catches."""


class Broken(MemoryStore):
    """Fails in the call that it is asked to fail in, in a way that nothing expects."""

    broken = ""

    def _fail(self, call: str) -> None:
        if self.broken == call:
            raise Fatal(f"{call} of postgresql://shop:s3cret@db")

    async def fetch(self, cursors: Sequence[Cursor], limit: int) -> Fetched:
        self._fail("fetch")
        return await super().fetch(cursors, limit)

    async def purge(self, retention: Sequence[Retention], limit: int) -> Purged:
        self._fail("purge")
        return await super().purge(retention, limit)

    async def append(self, envelopes: Sequence[Envelope], version: int) -> Sequence[Admission] | None:
        self._fail("append")
        return await super().append(envelopes, version)

    async def commit(self, batch: Batch) -> Sequence[Settled]:
        self._fail("commit")
        return await super().commit(batch)


@handler("it", key="key")
def it(message: Noted) -> None: ...


class Watched(Saga, name="watched", key="key", stuck_after=SECOND):
    key: str

    @starts
    def noted(self, message: Noted) -> None: ...


def test_each_task_that_a_bus_keeps_is_cancelled_by_a_test() -> None:
    sources = Path(sagabus.engine.__file__).parent.rglob("*.py")
    named = {name for path in sources for name in re.findall(r'BackgroundTask\("([\w-]+)"', path.read_text("utf-8"))}

    assert named == {*TASKS, *AS_NEEDED}


def task_of(name: str) -> "asyncio.Task[Any] | None":
    return next((task for task in asyncio.all_tasks() if task.get_name() == name), None)


def noticed(bus: Bus, name: str, caplog: pytest.LogCaptureFixture) -> bool:
    """Whether the end of that part is in the log as an error, and what the bus is unhealthy by."""
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    reasons = bus.health().reasons
    assert "s3cret" not in "".join(reasons)
    return not bus.health().is_healthy and any(name in each for each in reasons) and set(reasons) <= set(errors)


@pytest.mark.parametrize("name", TASKS)
async def test_other_code_cancels_a_task_of_the_bus(name: str, caplog: pytest.LogCaptureFixture) -> None:
    async with Bus("memory:", it, Watched, transport=MemoryTransport(MemoryBroker()), service="it") as bus:
        healthy = bus.health().is_healthy
        task = task_of(name)
        assert task is not None
        task.cancel()
        await until(lambda: not bus.health().is_healthy)

        assert healthy
        assert noticed(bus, name, caplog)


@pytest.mark.parametrize(
    ("name", "call"),
    [("sagabus-intake", "fetch"), ("sagabus-housekeeping", "purge"), ("sagabus-group-commit", "commit")],
)
async def test_an_error_that_nothing_expects_ends_a_task_of_the_bus(
    name: str, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    store = Broken(clock)
    async with Bus(store, it, clock=clock) as bus:
        store.broken = call
        if call == "commit":
            await bus.publish(Noted(key="A"))
        while bus.health().is_healthy:
            clock.advance(bus.settings.purge_every)
            await asyncio.sleep(0)

        assert noticed(bus, name, caplog)
        store.broken = ""


@pytest.mark.parametrize("cancelled", [True, False])
async def test_the_shared_commit_of_publications_ends_and_begins_again(
    cancelled: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Its callers hear that it may have happened, and their next call works: then the bus is healthy again."""
    store = Broken(ManualClock())
    bus = Bus(store, it)
    await bus.open(worker=False)
    store.broken = "" if cancelled else "append"
    publishing = asyncio.create_task(bus.publish(Noted(key="A"), message_id="m1"))
    if cancelled:
        await until(lambda: task_of("sagabus-group-commit") is not None)
        task_of("sagabus-group-commit").cancel()  # type: ignore[union-attr]  # the line before has waited for it
    with pytest.raises(StoreUnavailable):
        await publishing
    await until(lambda: not bus.health().is_healthy)
    assert noticed(bus, "sagabus-group-commit", caplog)

    store.broken = ""
    receipt = await bus.publish(Noted(key="A"), message_id="m1")

    assert receipt
    await until(lambda: bus.health().is_healthy)
    await bus.close()


async def test_the_watch_over_suspects_is_cancelled(harness: MakeHarness, caplog: pytest.LogCaptureFixture) -> None:
    entered = asyncio.Event()

    @handler("slow", key="key")
    async def slow(message: Noted) -> None:
        entered.set()
        await asyncio.Event().wait()

    async with harness(slow, settings=Settings(grace=timedelta(0))) as bus:
        for _ in range(2):  # after the second death, it runs alone
            await bus.publish(Noted(key="A"), wait=False)
            await entered.wait()
            entered.clear()
            await bus.crash(takeover=False)
            bus.clock.advance(60 * SECOND)
            await entered.wait()
        await until(lambda: task_of("sagabus-suspects") is not None)
        task_of("sagabus-suspects").cancel()  # type: ignore[union-attr]  # the line before has waited for it
        await until(lambda: not bus.bus.health().is_healthy)

        assert noticed(bus.bus, "sagabus-suspects", caplog)


@pytest.mark.parametrize(("part", "method"), [(RenewalThread, "until_due"), (LoopBeat, "look")])
async def test_a_thread_of_the_bus_ends_by_an_error(
    part: type, method: str, database: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Any) -> None:
        raise RuntimeError(method)

    monkeypatch.setattr(part, method, fail)
    async with Bus(database.url, it) as bus:
        await until(lambda: not bus.health().is_healthy)

        assert noticed(bus, "sagabus-leases" if part is RenewalThread else "sagabus-loop-beat", caplog)
        await bus.publish(Noted(key="A"))
        await bus.idle()


async def test_a_closed_bus_leaves_no_part_and_no_error(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    before = set(threading.enumerate())  # a bus that another test abandoned may take its time
    async with Bus(database.url, it) as bus:
        await bus.publish(Noted(key="A"))
        await bus.idle()
        healthy = bus.health().is_healthy
    await bus.close()

    assert healthy
    assert bus.health().is_healthy
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not [each for each in set(threading.enumerate()) - before if each.name == "sagabus-leases"]


async def test_a_worker_is_started_and_stopped_twice() -> None:
    async with Bus("memory:", it) as bus:
        worker = bus._worker
        assert worker is not None
        intake = task_of("sagabus-intake")
        await worker.start()
        assert task_of("sagabus-intake") is intake
        await worker.stop(1)
        await worker.stop(1)

        assert worker.health().is_healthy
        assert task_of("sagabus-intake") is None


class Leasing(MemoryStore):
    """Lets a worker wait for its lanes."""

    async def lease(self, *arguments: Any, **options: Any) -> Sequence[Lane]:
        self.asked.set()
        await self.may_lease.wait()
        return await super().lease(*arguments, **options)

    async def release(self, worker: str) -> None:
        self.released += 1
        await super().release(worker)


async def test_a_worker_that_is_stopped_while_it_starts_keeps_nothing() -> None:
    """Neither a task, nor a lane that it was given after its end."""
    store = Leasing(ManualClock())
    store.asked, store.may_lease, store.released = asyncio.Event(), asyncio.Event(), 0
    bus = Bus(store, it)
    opening = asyncio.create_task(bus.open())
    await store.asked.wait()
    assert bus._worker is not None
    await bus._worker.stop(1)
    store.may_lease.set()
    await opening

    assert task_of("sagabus-intake") is None
    assert store.released == 2
    await bus.close()


async def test_a_stop_that_is_cancelled_ends_every_part() -> None:
    entered = asyncio.Event()

    @handler("slow", key="key")
    async def slow(message: Noted) -> None:
        entered.set()
        await asyncio.Event().wait()

    bus = Bus("memory:", slow, settings=Settings(grace=timedelta(hours=1)))
    await bus.open()
    await bus.publish(Noted(key="A"))
    await entered.wait()
    closing = asyncio.create_task(bus.close())
    await until(lambda: task_of("sagabus-leaving") is not None)
    closing.cancel()
    await asyncio.wait([closing])

    assert closing.cancelled()
    assert asyncio.all_tasks() == {asyncio.current_task()}


class Silent(MemoryStore):
    """Never answers an append."""

    async def append(self, envelopes: Sequence[Envelope], version: int) -> Sequence[Admission] | None:
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError


async def test_closing_gives_up_publications_that_outlast_the_grace() -> None:
    """The caller in the commit and the one that waits behind it both hear that it may have happened."""
    store = Silent(ManualClock())
    store.asked = asyncio.Event()
    bus = Bus(store, it, settings=Settings(grace=timedelta(0)))
    await bus.open()
    publishing = [asyncio.create_task(bus.publish(Noted(key="A")))]
    await store.asked.wait()
    publishing.append(asyncio.create_task(bus.publish(Noted(key="B"))))
    await asyncio.sleep(0)

    await bus.close()
    answers = await asyncio.gather(*publishing, return_exceptions=True)

    assert {type(answer) for answer in answers} == {StoreUnavailable}
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("turns", range(6))
async def test_a_bus_that_closes_while_its_link_ends_leaves_no_worker_of_the_bridge(turns: int) -> None:
    broker = MemoryBroker()
    before = set(threading.enumerate())
    async with Bus("memory:", it, transport=MemoryTransport(broker), service="notes") as bus:
        for _ in range(turns):
            await asyncio.sleep(0)
        broker.stop()
        await until(lambda: bool(bus.health().waits))

    assert asyncio.all_tasks() == {asyncio.current_task()}
    for thread in set(threading.enumerate()) - before:
        await asyncio.to_thread(thread.join, 1)  # it has said that it ends, and may not be gone
        assert not thread.is_alive() or thread.name != "sagabus-leases"
