"""Another number of lanes, while workers run: order and effects are those of a store that always had it."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.conftest import Take
from tests.scenarios.conftest import PATIENCE, MakeHarness, until
from tests.scenarios.shop import Noted, OrderSaga, OrderSubmitted, Tally, capture
from tests.scenarios.when_two_workers_share_a_store import glances, lanes
from tests.support.databases import SERVERS

from sagabus import Bus, Saga, Settings, handler, starts
from sagabus.envelope import lane_of
from sagabus.store import Store
from sagabus.testing import Harness, ManualClock

KEYS = [f"K{number}" for number in range(12)]


async def numbers_of(harness: Harness) -> dict[str, list[int]]:
    return {record.key: record.state.numbers for record in await harness.bus.sagas.list(Tally, limit=100)}


async def changed_while_a_handler_runs(harness: MakeHarness, change: Callable[[Store], Awaitable[object]]) -> None:
    """What the handler does at that moment is done once."""
    gate, runs = asyncio.Event(), list[str]()

    @handler("slow", key="key")
    async def slow(message: Noted) -> None:
        runs.append(message.text)
        if len(runs) == 1:
            await gate.wait()

    async with harness(slow) as only:
        await only.bus.publish_many([Noted(key="K", number=n, text=f"{n}") for n in (1, 2)])
        await until(lambda: bool(runs))
        await change(only.bus.store)
        gate.set()
        await only.idle()

        assert (runs[0], runs[-2:]) == ("1", ["1", "2"])  # what came of those between is thrown away
        assert only.bus.statistics["slow", "completed"] == 2
        assert await only.dead_letters() == []


async def test_workers_share_the_new_lanes(on_database: MakeHarness, clock: ManualClock) -> None:
    async with on_database(Tally, clock=clock) as first, on_database(Tally, clock=clock) as second:
        await glances(clock, first, second)
        for number in (40, 6):
            await second.bus.store.divide(number)
            await glances(clock, first, second)

            assert (lanes(first), lanes(second)) == (number / 2, number / 2)


async def test_the_order_of_each_key_is_kept_while_two_work_and_two_publish(
    on_database: MakeHarness, clock: ManualClock
) -> None:
    sent = 0
    async with on_database(Tally, clock=clock) as first, on_database(Tally, clock=clock) as second:
        await glances(clock, first, second)
        for number in (5, 40, 1, 16):
            for publisher in (first, second, first):
                sent += 1
                await publisher.bus.publish_many([Noted(key=key, number=sent) for key in KEYS])
            dividing = asyncio.create_task(first.bus.store.divide(number))
            await glances(clock, first, second, number=4)
            await dividing
            sent += 1
            await second.bus.publish_many([Noted(key=key, number=sent) for key in KEYS])
        await glances(clock, first, second)
        await first.idle()
        await second.idle()

        assert await numbers_of(first) == {key: list(range(1, sent + 1)) for key in KEYS}


async def test_what_a_handler_does_at_that_moment_is_done_once(harness: MakeHarness) -> None:
    await changed_while_a_handler_runs(harness, lambda store: store.divide(7))


async def test_sagas_go_on_with_their_timers_and_answers(harness: MakeHarness) -> None:
    async with harness(OrderSaga, capture) as only:
        await only.bus.publish_many([OrderSubmitted(order_id=f"A{n}", total=n) for n in range(10)])
        await only.bus.store.divide(3)
        await only.idle()
        await only.publish(OrderSubmitted(order_id="B1"))

        records = await only.bus.sagas.list(OrderSaga, limit=100)
        assert {(record.status, record.version) for record in records} == {("paid", 2)}
        assert len(records) == 11


async def test_what_is_published_in_a_transaction_afterwards_goes_to_the_new_lane(
    on_database: MakeHarness, database: Any
) -> None:
    async with on_database(Tally) as only:
        await only.bus.close()
        await only.bus.open(worker=False)
        async with Bus(database.url) as other:
            await other.store.divide(64)
        async with only.bus.transaction() as tx:
            tx.publish(Noted(key="K1", number=1))

        (stored,) = await only.bus.store.inspect.envelopes("tally")
        assert stored.lane == lane_of("K1", 64)


async def test_a_bus_that_asks_for_another_number_warns_and_works(
    kind: str, take: Take, caplog: pytest.LogCaptureFixture
) -> None:
    url = "memory:" if kind == "memory" else take(kind).url
    store = None if kind == "memory" else url
    async with Harness(Tally, store=store, patience=PATIENCE, settings=Settings(lanes=4)) as first:
        assert (await first.bus.store.routing()).lanes == 4
        assert not any("lanes" in message for message in caplog.messages)
        for asked, said in ((None, False), (4, False), (64, True)):
            caplog.clear()
            bus = Bus(first.bus.store if store is None else url, Tally, settings=Settings(lanes=asked))
            await bus.open(worker=False)
            assert (await bus.store.routing()).lanes == 4
            await (bus.close() if store else asyncio.sleep(0))

            assert any("has 4 lanes, not the 64" in message for message in caplog.messages) is said


async def test_to_look_at_a_new_store_does_not_settle_the_number(on_database: MakeHarness, database: Any) -> None:
    async with Bus(database.url):
        pass

    async with on_database(Tally, settings=Settings(lanes=5)) as first:
        assert lanes(first) == 5


@pytest.mark.parametrize("server", SERVERS)
async def test_what_still_runs_after_two_changes_does_not_overtake(server: str, take: Take) -> None:
    """Two, before the worker looks at who works: the first one's run is in nobody's books then."""
    url, clock = take(server).url, ManualClock()
    gates = {1: asyncio.Event(), 2: asyncio.Event(), 3: asyncio.Event()}
    runs = Counter[int]()

    class Walk(Saga, name="walks", key="key"):
        key: str
        numbers: tuple[int, ...] = ()

        @starts
        async def step(self, message: Noted) -> None:
            runs[message.number] += 1
            await gates[message.number].wait()
            self.numbers = (*self.numbers, message.number)

    assert len({lane_of("K", number) for number in (16, 7, 5)}) == 3
    async with Harness(Walk, store=url, clock=clock, patience=PATIENCE) as only, Bus(url, clock=clock) as other:
        for number, lanes_then in ((1, 7), (2, 5), (3, 5)):
            await only.publish(Noted(key="K", number=number), wait=False)
            await until(lambda n=number: runs[n] > 0)
            await other.store.divide(lanes_then)
        await glances(only.clock, only, number=40)
        for number in (2, 3, 1):
            gates[number].set()
            await glances(only.clock, only, number=10)
        await only.idle()

        assert (await only.saga(Walk, "K")) == Walk(key="K", numbers=(1, 2, 3))
