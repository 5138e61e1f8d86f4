"""Whatever process somebody looks from: what each worker runs, and since when, is in the store."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.shop import Noted
from tests.support.databases import Database
from tests.support.waiting import until

from sagabus import Bus, Settings, StoreUnavailable, handler
from sagabus.bus.inspection.records import WorkerStatus
from sagabus.store.running import MOST_NOTED, Running
from sagabus.telemetry.prometheus import Metrics
from sagabus.testing import Harness

SECOND = timedelta(seconds=1)


def hanging(going: asyncio.Event) -> Any:
    @handler("it", key="key")
    async def it(message: Noted) -> None:
        await going.wait()

    return it


async def workers(bus: Bus, wanted: Callable[[WorkerStatus], bool]) -> tuple[WorkerStatus, ...]:
    """As soon as they are as wanted: a worker says it with its next renewal."""
    found: tuple[WorkerStatus, ...] = ()

    async def are_as_wanted() -> bool:
        nonlocal found
        found = await bus.inspect.workers()
        return all(map(wanted, found))

    await until(are_as_wanted)
    return found


async def test_another_process_sees_what_runs_and_since_when(database: Database) -> None:
    going, metrics = asyncio.Event(), Metrics()
    settings = Settings(warn_after=SECOND, lease=timedelta(seconds=3))
    watching = Bus(database.url, hanging(going), settings=settings, observers=[metrics])
    async with Bus(database.url, hanging(going)) as bus:
        await watching.open(worker=False)
        await bus.publish(Noted(key="A"), message_id="m1")
        (worker,) = await workers(watching, lambda each: bool(each.runs))
        (subscription,) = await watching.inspect.subscriptions()
        found = await watching.doctor()
        await metrics.look(watching)
        going.set()
        await bus.idle()
        await workers(watching, lambda each: not each.runs)
        await watching.close()

    (run,) = worker.runs
    assert (run.subscription, run.message_id, run.message_type, run.key) == ("it", "m1", "shop.noted", "A")
    assert run.lasted >= SECOND
    assert worker.running == 1
    assert subscription.longest_run is not None
    assert subscription.longest_run >= SECOND
    (finding,) = [each for each in found.findings if each.kind == "long-runs"]
    assert f"1 run of it in worker {worker.worker} lasts long, shop.noted m1 of key 'A' for " in finding.text
    text = metrics.exposition()[0].decode()
    assert 'sagabus_longest_run_seconds{subscription="it"} 0.0' not in text
    assert 'sagabus_longest_run_seconds{subscription="it"} ' in text


async def test_a_message_that_runs_is_shown_as_running_with_its_worker_and_since_when(database: Database) -> None:
    going, began = asyncio.Event(), datetime.now(UTC)
    looking = Bus(database.url, hanging(going))
    async with Bus(database.url, hanging(going)) as bus:
        await looking.open(worker=False)
        await bus.publish(Noted(key="A"), message_id="m1")
        await bus.publish(Noted(key="A"), message_id="m2")
        (worker,) = await workers(looking, lambda each: bool(each.runs))
        inspect = looking.inspect
        every, ready = await inspect.messages("it"), await inspect.messages("it", kind="ready")
        running = await inspect.messages("it", kind="running")
        (subscription,) = await inspect.subscriptions()
        (entry,) = (await inspect.conversation("m1")).entries
        why = await inspect.why("it", "A")
        going.set()
        await bus.idle()
        ended = await inspect.messages(kind="running")
        await looking.close()

    assert [(each.message_id, each.kind) for each in every.messages] == [("m1", "running"), ("m2", "ready")]
    assert [each.message_id for each in ready.messages] == ["m2"]
    (found,) = running.messages
    assert (found.message_id, found.worker) == ("m1", worker.worker)
    assert found.running_since is not None
    assert began - SECOND <= found.running_since <= datetime.now(UTC) - SECOND
    assert (subscription.running, subscription.ready, subscription.waiting) == (1, 1, 2)
    assert (entry.what, entry.worker, entry.running_since) == ("running", worker.worker, found.running_since)
    assert [each.kind for each in why.messages] == ["running", "ready"]
    assert f" in worker {worker.worker}, since {found.running_since:%Y-%m-%d %H:%M:%S} UTC." in why.sentences[0]
    assert ended.messages == ()


async def test_of_runs_that_end_at_once_nothing_is_noted() -> None:
    noted = list[object]()

    @handler("it", key="key")
    async def it(message: Noted) -> None:
        await asyncio.sleep(0)

    async with Harness(it) as bus:
        store: Any = bus.bus.store
        store.note_running = lambda *given: noted.append(given)
        for number in range(20):
            await bus.publish(Noted(key=f"K{number}"))
            await bus.advance(timedelta(seconds=10))

    assert noted == []


async def test_fetching_goes_on_where_the_store_takes_no_note(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    going, done, asked = asyncio.Event(), list[str](), asyncio.Event()

    @handler("it", key="key")
    async def it(message: Noted) -> None:
        if message.key == "slow":
            await going.wait()
        done.append(message.key)

    async def refuse(*given: object) -> None:
        asked.set()
        raise StoreUnavailable("it takes no note")

    async with Bus(f"sqlite:///{file}", it, settings=Settings(lease=timedelta(seconds=3))) as bus:
        store: Any = bus.store
        store.note_running = refuse
        await bus.publish(Noted(key="slow"))
        await asked.wait()
        await bus.publish(Noted(key="quick"))
        await until(lambda: done)
        going.set()
        await bus.idle()

    assert done == ["quick", "slow"]
    assert "cannot fetch" not in caplog.text


@pytest.mark.parametrize(
    "note",
    [
        "{",
        "[1]",
        "[-5,[]]",
        '[0,[["a"]]]',
        f'[1,[["m1","x",null,{-(10**30)}]]]',
        f'[{10**30},[["m1","x",null,5]]]',
    ],
)
async def test_a_note_that_cannot_be_read_is_none(database: Database, note: str) -> None:
    async with Bus(database.url, hanging(asyncio.Event())) as bus:
        await database.change(f"UPDATE {database.own('worker')} SET running = '{note}'")
        (worker,) = await bus.inspect.workers()
        (subscription,) = await bus.inspect.subscriptions()

    assert (worker.runs, worker.running, subscription.longest_run) == ((), 0, None)


async def test_the_doctor_counts_those_runs_alone_that_it_knows_to_last_long(database: Database) -> None:
    async with Bus(database.url, hanging(asyncio.Event()), settings=Settings(warn_after=10 * SECOND)) as bus:
        (worker,) = await bus.inspect.workers()

        async def told(*lasted: int) -> str:
            runs = [Running(f"m{each}", "shop.noted", None, each * 1_000_000, 7) for each in lasted]
            await bus.store.note_running(worker.worker, {"it": runs})
            (finding,) = [each for each in (await bus.doctor()).findings if each.kind == "long-runs"]
            return finding.text.split(" of it in worker ")[0]

        few = await told(60, *([2] * 2 * MOST_NOTED))
        many = await told(*([60] * 2 * MOST_NOTED))

    assert (few, many) == ("1 run", f"{MOST_NOTED}+ runs")
