"""The number of lanes changed again and again beside real workers, one of which dies: every key in order, once."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import timedelta
from typing import Any

import pytest
from tests.conftest import Take
from tests.faults.tasks import Step
from tests.faults.test_many_workers import Walk
from tests.support.databases import SERVERS
from tests.support.fork_server import ForkServer
from tests.support.lock_waits import one_waits
from tests.support.waiting import until

from sagabus import Bus, Settings
from sagabus.outcome import RetryAt, Verdict
from sagabus.store import Batch
from sagabus.stores.sql.dividing import divide
from sagabus.stores.sql.steps import drive_async

pytestmark = pytest.mark.faults

KEYS = [f"K{number}" for number in range(10)]
STEPS = 60
LANES = {10: 5, 20: 40, 30: 1, 40: 16, 50: 7}
"""After which step there are how many."""
DIES_AT = 33


def walker(url: str) -> Bus:
    return Bus(url, Walk, settings=Settings(lease=timedelta(seconds=1)))


async def walk_for_ever(url: str) -> None:
    """A process of its own."""
    async with walker(url):
        print("walking", flush=True)
        await asyncio.Event().wait()


async def walked(bus: Bus) -> dict[str, tuple[int, ...]]:
    return {record.key: record.state.numbers for record in await bus.sagas.list(Walk)}


async def until_walked(bus: Bus) -> None:
    async def all_have() -> bool:
        return sum(map(len, (await walked(bus)).values())) >= len(KEYS) * STEPS

    await until(all_have, 40, every=0.02)


async def go(bus: Bus, doomed: int) -> None:
    """Publish all steps, dividing meanwhile."""
    dividing: list[asyncio.Task[object]] = []
    for number in range(STEPS):
        await bus.publish_many([Step(key=key, number=number) for key in KEYS])
        if number in LANES:
            await asyncio.gather(*dividing)
            dividing.append(asyncio.create_task(bus.store.divide(LANES[number])))
        if number == DIES_AT:
            os.kill(doomed, signal.SIGKILL)
    await asyncio.gather(*dividing)


@pytest.mark.parametrize("kind", ["sqlite", *SERVERS])
async def test_each_key_is_walked_in_order_once(kind: str, take: Take, fork_server: ForkServer) -> None:
    url = take(kind).url
    async with walker(url) as bus:
        doomed, other = (fork_server.start("tests.faults.test_lanes_under_load:walk_for_ever", url) for _ in range(2))
        await until(lambda: all(fork_server.has_said(child, "walking") for child in (doomed, other)))
        await go(bus, doomed)
        await until_walked(bus)

        assert await walked(bus) == {key: tuple(range(STEPS)) for key in KEYS}
        assert (await bus.store.routing()).lanes == LANES[max(LANES)]
        assert await bus.dead_letters.list() == []
    os.kill(other, signal.SIGKILL)
    assert fork_server.wait(doomed).killed
    assert fork_server.wait(other).killed


@pytest.mark.parametrize("kind", SERVERS)
async def test_who_waits_for_the_change_of_lanes_commits_nothing_after_it(kind: str, take: Take) -> None:
    """What a statement saw before it waited is not what is so afterwards."""
    database = take(kind)
    first, other = walker(database.url), walker(database.url)
    await first.open(worker=False)
    await other.open(worker=False)
    await first.publish(Step(key="K", number=1))
    (stored,) = await first.store.inspect.envelopes("walks")
    lanes = await first.store.lease("w", ["walks"], duration=60_000_000, window=10)
    epochs = {(lane.channel, lane.lane): lane.epoch for lane in lanes}
    batch = Batch([RetryAt(envelope=stored, delay=1, holds=True)], (await first.store.routing()).version, epochs)

    async with other.store.transaction() as unit:
        link: Any = unit
        await drive_async(divide(5, 0), link._link.answer)
        committing = asyncio.create_task(first.store.commit(batch))
        await one_waits(database, unless=committing.done)
        await unit.commit()

    assert [answer.verdict for answer in await committing] == [Verdict.FENCED]
    await first.close()
    await other.close()
