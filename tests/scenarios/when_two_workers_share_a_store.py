"""Several workers on one store: lanes shared, handed over, taken over; routing that changes."""

import asyncio
from collections import Counter
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from tests.scenarios.conftest import MakeHarness, until
from tests.scenarios.shop import Do, Ended, Noted, OrderSaga, OrderSubmitted, Tally, capture

from sagabus import Context, Settings, failpoint, handler
from sagabus.testing import Harness, ManualClock

LEASE = timedelta(seconds=10)
GLANCE = timedelta(milliseconds=100)


async def glances(clock: ManualClock, *harnesses: Harness, number: int = 75) -> None:
    """Let all look around, each time until they have seen what there is: leases are renewed and shared."""
    for _ in range(number):
        clock.advance(GLANCE)
        quiet = 0
        while quiet < 10:
            busy = next((harness for harness in harnesses if harness._tap.under_way), None)
            await (asyncio.sleep(0) if busy is None else busy._tap.moved())
            quiet = quiet + 1 if busy is None else 0


def lanes(bus: Any) -> int:
    return len(bus.bus._worker.hand.lanes)


async def test_they_share_the_lanes_evenly(on_database: MakeHarness, clock: ManualClock) -> None:
    async with on_database(Tally, clock=clock) as first, on_database(Tally, clock=clock) as second:
        await glances(clock, first, second)
        shared = (lanes(first), lanes(second))
        await first.bus.close()
        await glances(clock, first, second)

        assert shared == (8, 8)
        assert lanes(second) == 16


async def test_what_is_published_to_one_is_done_by_both(on_database: MakeHarness, clock: ManualClock) -> None:
    async with (
        on_database(OrderSaga, capture, clock=clock) as first,
        on_database(OrderSaga, capture, clock=clock) as second,
    ):
        await glances(clock, first, second)
        await first.bus.publish_many([OrderSubmitted(order_id=f"A{n}", total=n) for n in range(100)])
        await first.idle()
        await second.idle()

        records = await first.bus.sagas.list(OrderSaga, limit=200)
        assert Counter((record.status, record.version) for record in records) == {("paid", 2): 100}
        done = [harness.bus.statistics["orders", "completed"] for harness in (first, second)]
        assert sum(done) == 200
        assert min(done) > 20


async def test_closed_gracefully_the_other_takes_over_at_once(on_database: MakeHarness, clock: ManualClock) -> None:
    async with on_database(Tally, clock=clock) as first, on_database(Tally, clock=clock) as second:
        await glances(clock, first, second)
        await first.bus.close()
        begun = clock.now()
        await second.bus.publish_many([Noted(key=f"K{n}", number=n) for n in range(50)])
        await second.idle()

        assert second.bus.statistics["tally", "completed"] == 50
        assert clock.now() - begun <= 500_000


@pytest.mark.parametrize("error", ["StoreUnavailable", "StoreBusy"])
@pytest.mark.parametrize("where", ["release.before", "release.after"])
@pytest.mark.share(3)
async def test_lanes_whose_release_fails_at_first_are_free_at_once_all_the_same(
    on_database: MakeHarness, clock: ManualClock, where: str, error: str
) -> None:
    """A lost connection, or a deadlock with others who lease: the next try is another one."""
    async with on_database(Tally, clock=clock) as first, on_database(Tally, clock=clock) as second:
        await glances(clock, first, second)
        failpoint.arm(f"{where}=raise:{error}")
        try:
            await first.bus.close()
        finally:
            failpoint.arm(None)
        begun = clock.now()
        await second.bus.publish_many([Noted(key=f"K{n}", number=n) for n in range(50)])
        await second.idle()

        assert second.bus.statistics["tally", "completed"] == 50
        assert clock.now() - begun <= 500_000


async def test_lanes_that_cannot_be_released_expire_with_the_lease(
    on_database: MakeHarness, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with on_database(Tally, clock=clock) as first, on_database(Tally, clock=clock) as second:
        await glances(clock, first, second)
        failpoint.arm("release.before=raise:StoreUnavailable@1+")
        try:
            await first.bus.close()
        finally:
            failpoint.arm(None)
        await glances(clock, first, second, number=2 * LEASE // GLANCE)

        assert lanes(second) == 16
        assert [record.message for record in caplog.records if "could not release lanes" in record.message]


async def test_a_long_handler_of_one_that_stops_holds_up_its_own_lane_only(
    on_database: MakeHarness, clock: ManualClock
) -> None:
    gate, ran = asyncio.Event(), Counter[tuple[str, str]]()

    def slow(name: str) -> Any:
        @handler("slow", key="key")
        async def wait(message: Noted) -> None:
            ran[name, message.key] += 1
            if name == "first":
                await gate.wait()

        return wait

    async with on_database(slow("first"), clock=clock) as first, on_database(slow("second"), clock=clock) as second:
        await glances(clock, first, second)
        for number in count():
            await first.publish(Noted(key=f"A{number}"), wait=False)
            await until(lambda n=number: sum(ran.values()) > n)
            if ("first", f"A{number}") in ran:
                break
        closing = asyncio.create_task(first.bus.close())
        await glances(clock, first, second, number=5)
        owned = lanes(second)
        await second.bus.publish_many([Noted(key=f"B{n}") for n in range(50)])
        await glances(clock, first, second, number=2 * LEASE // GLANCE)
        during = second.bus.statistics["slow", "completed"] - number
        gate.set()
        await closing
        await second.idle()

        assert owned == 15
        assert 30 < during <= 50
        assert sum(ran.values()) == len(ran) == number + 51
        assert await second.dead_letters() == []


async def test_after_a_crash_the_lease_has_to_end_first(on_database: MakeHarness, clock: ManualClock) -> None:
    async with on_database(Tally, clock=clock) as first, on_database(Tally, clock=clock) as second:
        await glances(clock, first, second)
        await first._running.abandon()
        await second.bus.publish_many([Noted(key=f"K{n}", number=n) for n in range(50)])
        await glances(clock, first, second, number=50)
        before = second.bus.statistics["tally", "completed"]
        await glances(clock, first, second, number=125)

        assert 0 < before < 50, before
        assert second.bus.statistics["tally", "completed"] == 50


async def test_a_worker_that_lost_its_lease_has_no_effect(on_database: MakeHarness, clock: ManualClock) -> None:
    gate, ran = asyncio.Event(), Counter[str]()

    def slow(name: str) -> Any:
        @handler("slow", key="key")
        async def wait(message: Noted, ctx: Context) -> None:
            ran[name] += 1
            if name == "first":
                await gate.wait()
            ctx.publish(Ended(key=message.key))

        return wait

    async with on_database(slow("first"), clock=clock) as first:
        await first.publish(Noted(key="A"), wait=False)
        await until(lambda: ran["first"] == 1)
        first.bus._worker.intake.abandon().pop().cancel()  # a frozen process renews nothing
        clock.advance(3 * LEASE)
        async with on_database(slow("second"), clock=clock) as second:
            await glances(clock, first, second)
            gate.set()
            await second.idle()
            await until(lambda: first.bus._worker.settled)

            assert ran == {"first": 1, "second": 1}
            assert [len(first.published), len(second.published)] in ([0, 1], [1, 0])


async def test_a_suspect_that_takes_longer_than_a_lease_stays_with_its_worker(
    on_database: MakeHarness, clock: ManualClock
) -> None:
    """Or the next one takes it for a killer, and so on, until it ends as a dead letter of workers that all live."""
    gate, ran = asyncio.Event(), Counter[str]()

    def slow(name: str) -> Any:
        @handler("slow", key="key")
        async def wait(message: Noted) -> None:
            ran[name] += 1
            await gate.wait()

        return wait

    async with on_database(slow("dead"), clock=clock) as dead:
        await dead.publish(Noted(key="A"), wait=False)
        await until(lambda: ran["dead"] == 1)
        await dead._running.abandon()
        async with on_database(slow("first"), clock=clock) as first, on_database(slow("second"), clock=clock) as second:
            await glances(clock, first, second, number=4 * LEASE // GLANCE)
            gate.set()
            await first.idle()
            await second.idle()

            assert ran["dead"] == ran["first"] + ran["second"] == 1
            assert await first.dead_letters() == []


async def test_a_subscription_added_meanwhile_gets_its_copy(on_database: MakeHarness, clock: ManualClock) -> None:
    seen: list[int] = []

    @handler("late")
    def late(message: Noted) -> None:
        seen.append(message.number)

    async with on_database(Tally, clock=clock) as first:
        await first.publish(Noted(key="A", number=1))
        async with on_database(late, clock=clock) as second:
            receipt = await first.publish(Noted(key="A", number=2), wait=False)
            await second.idle()

            assert receipt.subscriptions == {"tally": "accepted", "late": "accepted"}
            assert seen == [2]


async def test_a_worker_that_sends_nothing_hears_of_a_new_routing_too(
    on_database: MakeHarness, clock: ManualClock
) -> None:
    """Or each of its flushes would rest on an old one, and take the long way on PostgreSQL for ever."""

    @handler("newcomer")
    def newcomer(message: Ended) -> None:
        pass

    async with on_database(Tally, clock=clock) as first:
        before = first.bus._routing.table.version
        async with on_database(newcomer, clock=clock) as second:
            await glances(clock, first, second)

            assert first.bus._routing.table.version == second.bus._routing.table.version > before


async def test_a_handler_that_sends_under_an_old_routing_runs_again(
    on_database: MakeHarness, clock: ManualClock
) -> None:
    gate, runs = asyncio.Event(), Counter[str]()

    @handler("sender")
    async def send(message: Noted, ctx: Context) -> None:
        runs["sender"] += 1
        ctx.publish(Ended(key=message.key))
        await gate.wait()

    @handler("late")
    def late(message: Ended) -> None:
        runs["late"] += 1

    async with on_database(send, clock=clock) as first:
        await first.publish(Noted(key="A"), wait=False)
        await until(lambda: runs["sender"] == 1)
        async with on_database(late, clock=clock) as second:
            gate.set()
            await first.idle()
            await second.idle()

            assert runs == {"sender": 2, "late": 1}
            assert first.bus.statistics["sender", "completed"] == 1


async def test_a_type_that_an_old_worker_does_not_know_waits_for_a_new_one(on_database: MakeHarness) -> None:
    seen: list[object] = []

    @handler("doer")
    def old(message: Do) -> None:
        seen.append(message)

    @handler("doer")
    def new(message: Do | Noted) -> None:
        seen.append(message)

    async with on_database(new) as bus:
        await bus.bus.close()
        await bus.bus.open(worker=False)
        await bus.bus.publish(Noted(key="A"))
        await bus.bus.close()
        async with on_database(old, clock=bus.clock) as older:
            await older.advance(timedelta(minutes=5))
            letters = await older.dead_letters()
        await bus.bus.open()
        await bus.advance(timedelta(minutes=1))

        assert letters == []
        assert seen == [Noted(key="A")]


async def test_a_type_that_no_worker_ever_knows_is_dead_after_an_hour(on_database: MakeHarness) -> None:
    @handler("doer")
    def old(message: Do) -> None: ...

    @handler("doer")
    def new(message: Do | Noted) -> None: ...

    async with on_database(new) as bus:
        await bus.bus.close()
        await bus.bus.open(worker=False)
        await bus.bus.publish(Noted(key="A"))
    async with on_database(old, clock=bus.clock) as older:
        await older.idle()
        older.clock.advance(timedelta(hours=2))
        await older.idle()

        (letter,) = await older.dead_letters()
        assert "shop.noted" in letter.reason


async def test_a_short_lease_is_renewed_while_handlers_take_long(on_database: MakeHarness, clock: ManualClock) -> None:
    gate, runs = asyncio.Event(), Counter[str]()

    @handler("long")
    async def long(message: Noted) -> None:
        runs["all"] += 1
        await gate.wait()

    settings = Settings(lease=timedelta(seconds=1))
    async with (
        on_database(long, clock=clock, settings=settings) as first,
        on_database(long, clock=clock, settings=settings) as second,
    ):
        await glances(clock, first, second, number=20)
        await first.bus.publish_many([Noted(key=f"K{n}") for n in range(20)])
        await glances(clock, first, second, number=50)
        gate.set()
        await first.idle()
        await second.idle()

        assert runs["all"] == 20
