"""Several workers on one store, by the real clock: they share its lanes and hand them over, come, go or die."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from tests.conftest import Take
from tests.faults.tasks import Step
from tests.support.databases import SERVERS, Database, Words
from tests.support.fork_server import ForkServer
from tests.support.waiting import until

from sagabus import Bus, Context, Saga, Settings, handler, starts

pytestmark = pytest.mark.faults

LONG = timedelta(seconds=60)
LANES = 16
RECORD = "INSERT INTO ledger (id, amount) VALUES (?, ?)"


class Walk(Saga, name="walks", key="key"):
    """The state is a list of what was applied: a lost, doubled or reordered step shows."""

    key: str
    numbers: tuple[int, ...] = ()

    @starts
    def step(self, message: Step) -> None:
        self.numbers = (*self.numbers, message.number)


@pytest.fixture(params=["sqlite", *SERVERS])
def database(request: pytest.FixtureRequest, take: Take) -> Database:
    database = take(request.param)
    database.make()
    return database


def worker(database: Database, *definitions: object, lease: timedelta = LONG) -> Bus:
    return worker_at(database.url, *definitions, lease=lease)


def worker_at(url: str, *definitions: object, lease: timedelta) -> Bus:
    return Bus(url, *(definitions or (recording(Words(url)),)), settings=Settings(lanes=LANES, lease=lease))


def recording(words: Words) -> Callable[..., None]:
    @handler("recording", key="key")
    def record(message: Step, ctx: Context) -> None:
        ctx.execute(words.sql(RECORD), (message.key, message.number))

    return record


async def work_for_ever(url: str, lease: int) -> None:
    """A process of its own."""
    async with worker_at(url, lease=timedelta(milliseconds=lease)):
        await asyncio.Event().wait()


@asynccontextmanager
async def crew(*buses: Bus) -> AsyncIterator[None]:
    for bus in buses:
        await bus.open()
    try:
        await until(lambda: is_shared_out(*buses))
        yield
    finally:
        for bus in buses:
            await bus.close()


def lanes(bus: Bus) -> int:
    return len(bus._worker.hand.lanes) if bus._worker is not None else 0


def is_shared_out(*buses: Bus) -> bool:
    shares = [lanes(bus) for bus in buses]
    return sum(shares) == LANES and max(shares) - min(shares) <= 1


async def publish(bus: Bus, count: int = 64) -> None:
    await bus.publish_many([(Step(key=f"K{number}", number=number), f"step-{number}") for number in range(count)])


def all_done(database: Database, count: int = 64) -> bool:
    return len(database.rows()) >= count


async def test_lanes_are_shared_again_at_once_when_workers_come_and_go(database: Database) -> None:
    buses = [worker(database) for _ in range(5)]
    opened: list[Bus] = []
    waits: list[float] = []
    for bus in buses:
        await bus.open()
        opened.append(bus)
        waits.append(await until(lambda: is_shared_out(*opened)))
    while len(opened) > 1:
        await opened.pop(0).close()
        waits.append(await until(lambda: is_shared_out(*opened)))
    await opened[0].close()

    assert max(waits) < 3


async def test_a_graceful_stop_hands_over_at_once(database: Database) -> None:
    first, second = worker(database), worker(database)
    async with crew(first, second):
        await first.close()
        await publish(second)

        assert await until(lambda: all_done(database)) < 3
        assert sorted(number for _, number in database.rows()) == list(range(64))


async def test_work_left_by_one_that_stops_goes_on_at_once(database: Database) -> None:
    first, second = worker(database), worker(database)
    async with crew(first, second):
        await publish(second, 600)
        await first.close()

        assert await until(lambda: all_done(database, 600), 60) < 30
        assert sorted(number for _, number in database.rows()) == list(range(600))
        assert await second.dead_letters.list() == []
        assert second.statistics["recording", "retried"] == 0


async def test_sixteen_workers_on_one_hot_key_are_no_storm(database: Database) -> None:
    buses = [worker(database, Walk) for _ in range(16)]
    async with crew(*buses):

        async def publish(at: int) -> None:
            for number in range(at, 1_000, 16):
                await buses[at].publish(Step(key="hot", number=number), message_id=f"step-{number}")

        await asyncio.gather(*(publish(at) for at in range(16)))
        await asyncio.gather(*(bus.idle(60) for bus in buses))
        record = await buses[0].sagas.get(Walk, "hot")
        dead = await buses[0].dead_letters.list(status=None)

    assert record is not None
    assert (record.version, sorted(record.state.numbers)) == (1_000, list(range(1_000)))
    assert all(
        [number for number in record.state.numbers if number % 16 == at] == list(range(at, 1_000, 16))
        for at in range(16)
    )
    assert dead == []
    outcomes = sum((bus.statistics for bus in buses), start=buses[0].statistics.__class__())
    assert {kind for _, kind in outcomes} == {"completed"}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_the_keys_of_a_dead_worker_move_within_its_lease_and_a_second(
    database: Database, fork_server: ForkServer, how: signal.Signals
) -> None:
    if how is signal.SIGSTOP and database.url.startswith("sqlite"):
        pytest.skip("who is frozen while it writes holds the whole file, for as long as it is frozen")
    lease = 2.0
    async with worker(database, lease=timedelta(seconds=lease)) as bus:
        child = fork_server.start("tests.faults.test_many_workers:work_for_ever", database.url, int(lease * 1000))
        await until(lambda: lanes(bus) == LANES // 2)

        os.kill(child, how)
        await publish(bus)
        took = await until(lambda: all_done(database))

        assert took < lease + 1
        assert lanes(bus) == LANES
        assert sorted(number for _, number in database.rows()) == list(range(64))
    os.kill(child, signal.SIGKILL)
    assert fork_server.wait(child).killed
