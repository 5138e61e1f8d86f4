"""A worker at rest: how soon it sees what another process has stored, and what its looking costs the database.

Time is the tests' own, so these are the paces themselves and not how busy the machine was.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.conftest import Take
from tests.scenarios.conftest import PATIENCE, MakeHarness
from tests.scenarios.shop import Noted, Tally
from tests.scenarios.when_two_workers_share_a_store import GLANCE, glances

from sagabus import Bus, handler
from sagabus.stores.mysql.link import MysqlLink
from sagabus.stores.postgres.link import PostgresLink
from sagabus.testing import Harness, ManualClock

STEP = timedelta(milliseconds=5)
LONGEST = {"sqlite": 50_000, "postgres": 100_000, "mysql": 100_000}
"""Microseconds between two looks at rest, as the pages about the stores say."""
STATEMENTS_PER_SECOND = 30
"""At most, of one worker at rest: ten looks of two statements, and a lease."""


async def passes(clock: ManualClock, harness: Harness, holds: Callable[[], bool]) -> int:
    """How much time it takes, in microseconds, until something holds; at most a second."""
    begun = clock.now()
    while not holds() and clock.now() - begun < 1_000_000:
        clock.advance(STEP)
        quiet = 0
        while quiet < 10:
            await asyncio.sleep(0)
            quiet = 0 if harness._tap.under_way else quiet + 1
    return clock.now() - begun


@pytest.mark.parametrize("rested", [0, 15, 33, 74])
async def test_what_another_process_stores_is_seen_within_the_longest_look(
    rested: int, on_database: MakeHarness, database: Any, clock: ManualClock
) -> None:
    seen: list[int] = []

    @handler("watching", key="key")
    def watch(message: Noted) -> None:
        seen.append(message.number)

    async with on_database(watch, clock=clock) as worker:
        await glances(clock, worker, number=rested)
        other = Bus(database.url, clock=clock)
        await other.open(worker=False)
        await other.publish(Noted(key="K", number=1))
        after = await passes(clock, worker, lambda: bool(seen))
        await other.close()

        assert after <= LONGEST[database.kind] + 2 * 5_000


async def test_what_this_process_stores_is_seen_though_no_time_passes(on_database: MakeHarness) -> None:
    async with on_database(Tally) as worker:
        await glances(worker.clock, worker, number=60)
        begun = worker.clock.now()
        await worker.publish(Noted(key="K", number=1))

        assert await worker.saga(Tally, "K") == Tally(key="K", numbers=[1])
        assert worker.clock.now() == begun


@pytest.mark.parametrize("kind", ["postgres", "mysql"])
async def test_at_rest_a_worker_asks_little(kind: str, take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Counter[str] = Counter()
    for link, method in ((PostgresLink, "answer"), (PostgresLink, "now"), (MysqlLink, "_run"), (MysqlLink, "_execute")):
        monkeypatch.setattr(link, method, counting(getattr(link, method), asked))
    clock = ManualClock()
    async with Harness(Tally, store=take(kind).url, clock=clock, patience=PATIENCE) as worker:
        await glances(clock, worker, number=40)
        asked.clear()
        await glances(clock, worker, number=200)

    assert 10 <= asked.total() / (200 * GLANCE).total_seconds() <= STATEMENTS_PER_SECOND


def counting(method: Any, asked: Counter[str]) -> Any:
    async def count(self: Any, *arguments: Any) -> Any:
        asked[method.__qualname__] += 1
        return await method(self, *arguments)

    return count
