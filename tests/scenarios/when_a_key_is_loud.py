"""A key with a long backlog: the other keys of its lane do not wait for it, and every key keeps its order."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from tests.conftest import Take
from tests.scenarios.conftest import PATIENCE, until

from sagabus import Bus, Linear, RetryPolicy, event, handler
from sagabus.envelope import LANES, lane_of
from sagabus.settings import Settings
from sagabus.store import Store
from sagabus.store.loud import Loud
from sagabus.store_urls import store_from_url
from sagabus.stores.memory import MemoryStore
from sagabus.testing import ManualClock
from sagabus.testing.captured import Heard
from sagabus.testing.observed_store import StoreTap

LEASE = timedelta(hours=1)


@event("loud.noted")
class Noted:
    key: str
    number: int = 0


@pytest.fixture
def place(kind: str, take: Take) -> Any:
    """Each kind of store, empty."""
    return MemoryStore() if kind == "memory" else take(kind).url


def keys_of_one_lane(count: int, lane: int = 3) -> list[str]:
    """Keys that share a lane."""
    return [key for key in (f"k{i}" for i in range(100 * count)) if lane_of(key, LANES) == lane][:count]


async def publish(bus: Bus, key: str, numbers: Sequence[int]) -> None:
    """In portions that no database finds large."""
    for begin in range(0, len(numbers), 1_000):
        await bus.publish_many([Noted(key=key, number=number) for number in numbers[begin : begin + 1_000]])


def note_what_is_loud(store: Store) -> list[str]:
    """The keys that a store is told to be loud, as they are told."""
    told: list[str] = []
    original = store.note_loud

    async def note_loud(worker: str, loud: Sequence[Loud]) -> bool:
        told.extend(key for each in loud for key in each.keys)
        return await original(worker, loud)

    setattr(store, "note_loud", note_loud)  # noqa: B010  # an attribute of this one store
    return told


@pytest.mark.parametrize("backlog", [1_000, pytest.param(100_000, marks=pytest.mark.slow)])
async def test_a_quiet_key_runs_while_the_first_message_of_a_loud_one_does(place: Any, backlog: int) -> None:
    loud, quiet = keys_of_one_lane(2)
    has_run = asyncio.Event()

    @handler("notes", key="key")
    async def note(message: Noted) -> None:
        if message.key == quiet:
            has_run.set()
        await has_run.wait()

    async with Bus(place, note, settings=Settings(grace=timedelta(0))) as bus:
        await publish(bus, loud, range(backlog))
        await publish(bus, quiet, [0])

        async with asyncio.timeout(PATIENCE):
            await has_run.wait()


async def test_a_quiet_key_runs_while_several_loud_ones_fill_its_lane(place: Any) -> None:
    *loud, quiet = keys_of_one_lane(7)
    has_run = asyncio.Event()

    @handler("notes", key="key")
    async def note(message: Noted) -> None:
        if message.key == quiet:
            has_run.set()
        await has_run.wait()

    async with Bus(place, note, settings=Settings(grace=timedelta(0))) as bus:
        for key in loud:
            await publish(bus, key, range(300))
        await publish(bus, quiet, [0])

        async with asyncio.timeout(PATIENCE):
            await has_run.wait()


async def test_every_key_keeps_its_order_while_keys_are_loud_and_messages_fail(place: Any) -> None:
    luck = random.Random(11)
    keys = keys_of_one_lane(9)
    numbers = {key: range(300 if place < 3 else 20) for place, key in enumerate(keys)}
    messages = [Noted(key=key, number=number) for key in keys for number in numbers[key]]
    luck.shuffle(messages)
    done: defaultdict[str, list[int]] = defaultdict(list)
    failing = {(key, number) for key in keys for number in numbers[key] if luck.random() < 0.03}

    @handler("notes", key="key", retry=RetryPolicy(backoff=Linear(timedelta(milliseconds=20))))
    async def note(message: Noted) -> None:
        await asyncio.sleep(0.001)
        if (message.key, message.number) in failing:
            failing.discard((message.key, message.number))
            raise ValueError(message)
        done[message.key].append(message.number)

    async with Bus(place, note, settings=Settings(prefetch=128)) as bus:
        loud = note_what_is_loud(bus.store)
        for begin in range(0, len(messages), 100):
            await bus.publish_many(messages[begin : begin + 100])
        async with asyncio.timeout(PATIENCE):
            # Not `idle`: a key that waits for a retry has nothing that is due.
            await until(lambda: sum(map(len, done.values())) == len(messages))

    assert set(keys[:3]) & set(loud)
    accepted = {key: [message.number for message in messages if message.key == key] for key in keys}
    assert done == accepted


async def test_what_a_dead_worker_had_of_loud_and_quiet_keys_is_suspect_and_nothing_else(kind: str, take: Take) -> None:
    clock = ManualClock()
    loud, *quiet = keys_of_one_lane(5)
    running: set[str] = set()

    @handler("notes", key="key")
    async def note(message: Noted) -> None:
        running.add(message.key)
        await asyncio.Event().wait()

    settings = Settings(lease=LEASE, prefetch=20 * LANES, grace=timedelta(0))
    store = StoreTap(MemoryStore(clock) if kind == "memory" else store_from_url(take(kind).url, clock), Heard())
    async with Bus(store, note, settings=settings, clock=clock) as bus:
        for key in (loud, *quiet):
            await publish(bus, key, range(200 if key == loud else 1))
        while running != {loud, *quiet}:
            clock.advance(timedelta(milliseconds=20))
            for _ in range(10):
                await asyncio.sleep(0)
            await until(lambda: not store.under_way)  # or a lease would be over before a server has answered
        assert bus._worker is not None
        in_flight = set(bus._worker.hand.envelopes)
        await bus._worker.abandon()
        clock.advance(2 * LEASE)
        lanes = await bus.store.lease("next", ["notes"], duration=1, window=1)
        stored = await bus.store.inspect.envelopes("notes", limit=1_000)

    (lane,) = [lane for lane in lanes if lane.lane == lane_of(loud, LANES)]
    suspect = {each.position for each in stored if lane.is_suspect(each.partition_key, each.position)}
    assert in_flight <= suspect
    assert len(suspect) == 20 + len(quiet)  # a window of the loud key
