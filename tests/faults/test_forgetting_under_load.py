"""Several processes forget at once beside publishers and workers: one at a time, in steps, and in nobody's way."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from tests.conftest import Take
from tests.support.databases import Database

from sagabus.clock import Clock
from sagabus.envelope import Cause, Envelope
from sagabus.outcome import Admission, Claim, Completed, DeadLettered, Effects, Failure, Outcome, Save
from sagabus.store import Batch, Retention, Store, Subscription
from sagabus.store.upkeep import Purged
from sagabus.store_urls import store_from_url
from sagabus.stores.sql import server
from sagabus.testing import ManualClock

DAY = 86_400_000_000
OLD = 400
LIMIT = 30
RETENTION = [Retention("orders", DAY)]
SUBSCRIPTION = Subscription(message_type="orders.came", channel="orders", kind="event", window=DAY)

pytestmark = pytest.mark.faults


@pytest.fixture(params=["postgres", "mysql"])
def database(request: pytest.FixtureRequest, take: Take) -> Database:
    return take(request.param)


@pytest.fixture
def at_the_first_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever meets a deadlock is told, instead of beginning anew."""
    monkeypatch.setattr(server, "_ROUNDS", 1)


def message(number: int, sent_at: int, prefix: str = "old") -> Envelope:
    return Envelope(
        message_id=f"{prefix}-{number}",
        message_type="orders.came",
        body=b"{}",
        channel="orders",
        lane=number % 4,
        partition_key=f"{prefix}-{number}",
        sent_at=sent_at + number,
        guarded=True,
    )


def settled(envelope: Envelope) -> Outcome:
    """Every third one dies, the others finish a saga and are recorded; each claims a key."""
    number = int(envelope.message_id.rpartition("-")[2])
    if number % 3 == 0:
        return DeadLettered(
            cause=Cause.FAILED, envelope=envelope, reason="no", failure=Failure("E", "no", ""), parks=False
        )
    state = Save(
        saga="orders",
        key=envelope.partition_key or "",
        base=0,
        state=b"{}",
        status=None,
        timers={},
        completed=True,
        recorded=True,
    )
    return Completed(envelope, Effects(save=state, claims=(Claim(f"key {envelope.message_id}", b"f" * 16),)))


async def live(store: Store, prefix: str, sent_at: int, count: int, routing: int) -> list[Admission]:
    """Publish messages and handle them; what became of publishing."""
    answers: list[Admission] = []
    for start in range(0, count, 10):
        envelopes = [message(number, sent_at, prefix) for number in range(start, start + 10)]
        answers += await store.append(envelopes, routing) or []
        await settle_all(store, prefix, routing)
    return answers


async def settle_all(store: Store, prefix: str, routing: int) -> None:
    stored = await store.inspect.envelopes("orders", limit=10_000)
    mine = [settled(each) for each in stored if each.message_id.startswith(f"{prefix}-")]
    if mine:
        await store.commit(Batch(mine, routing, {}))


async def close_letters(store: Store, prefix: str) -> None:
    for letter in await store.inspect.dead_letters(limit=10_000):
        if letter.envelope.message_id.startswith(f"{prefix}-"):
            await store.discard(letter.id)


async def forget(store: Store) -> list[Purged]:
    steps: list[Purged] = []
    for _ in range(3):  # one that others are at leaves at once
        while not steps or steps[-1].more:
            steps.append(await store.purge(RETENTION, LIMIT))
        await asyncio.sleep(0)
        steps.append(await store.purge(RETENTION, LIMIT))
    return steps


async def late_copies(store: Store, sent_at: int, routing: int) -> list[Admission]:
    answers: list[Admission] = []
    for number in range(0, OLD, 5):
        answers += await store.append([message(number, sent_at)], routing) or []
    return answers


async def opened(stack: AsyncExitStack, url: str, clock: Clock) -> Store:
    store = store_from_url(url, clock)
    await store.open()
    stack.push_async_callback(store.close)
    return store


@pytest.mark.usefixtures("at_the_first_try")
async def test_several_forget_at_once_next_to_live_work_without_a_deadlock(database: Database) -> None:
    clock = ManualClock()
    async with AsyncExitStack() as stack:
        stores = [await opened(stack, database.url, clock) for _ in range(6)]
        routing = (await stores[0].register([SUBSCRIPTION])).version
        long_ago = clock.now()
        assert set(await live(stores[0], "old", long_ago, OLD, routing)) == {Admission.ACCEPTED}
        await close_letters(stores[0], "old")
        clock.advance(timedelta(days=2))

        *forgotten, first, second, late = await asyncio.gather(
            *(forget(store) for store in stores[:3]),
            live(stores[3], "new", clock.now(), 200, routing),
            live(stores[4], "newer", clock.now(), 200, routing),
            late_copies(stores[5], long_ago, routing),
        )

        steps = [step for each in forgotten for step in each]
        assert max(step.inbox for step in steps) <= LIMIT
        assert max(step.instances for step in steps) <= LIMIT
        assert max(step.dead_letters for step in steps) <= LIMIT
        assert 0 < max(step.history for step in steps) <= LIMIT
        assert set(first) | set(second) == {Admission.ACCEPTED}
        assert set(late) <= {Admission.DUPLICATE, Admission.TOO_OLD}
        await stores[0].purge(RETENTION, 10_000)
        assert left(database) == await expected(stores[0])


def left(database: Database) -> tuple[int, int, int]:
    """Records, tombstones and transitions that are still there."""
    inbox, instances, history = (database.of_bus(table, "count(*)") for table in ("inbox", "instance", "history"))
    return inbox[0][0], instances[0][0], history[0][0]


async def expected(store: Store) -> tuple[int, int, int]:
    """Those of the live messages alone: a record for each id and for each key claimed."""
    finished = [number for number in range(200) if number % 3]
    assert await store.inspect.envelopes("orders") == []
    return 2 * (200 + len(finished)), 2 * len(finished), 2 * len(finished)


async def test_who_finds_another_at_it_leaves_at_once(database: Database) -> None:
    clock = ManualClock()
    async with AsyncExitStack() as stack:
        store, other = [await opened(stack, database.url, clock) for _ in range(2)]
        routing = (await store.register([SUBSCRIPTION])).version
        await live(store, "old", clock.now(), 20, routing)
        clock.advance(timedelta(days=2))
        async with other.transaction() as holder:
            link: Any = holder
            await link._link.query(f"SELECT 1 FROM {database.own('meta')} WHERE name = 'purge' FOR UPDATE", ())

            assert await store.purge(RETENTION, LIMIT) == Purged()
            assert left(database)[1] > 0

        assert (await store.purge(RETENTION, LIMIT)).instances > 0
