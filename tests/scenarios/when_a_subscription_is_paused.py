"""A paused subscription begins nothing, in any worker; afterwards timers run behind what came before they were due."""

import asyncio
from dataclasses import field
from datetime import timedelta

import pytest
from tests.conftest import Take
from tests.support.databases import SERVERS
from tests.support.waiting import until

from sagabus import Bus, Context, MendRefused, Saga, Settings, UnknownName, event, handler, handles, starts, timer
from sagabus.stores.memory import MemoryStore
from sagabus.testing import Harness, ManualClock

MINUTE = timedelta(minutes=1)
WHY = {"reason": "the bank is down", "by": "ann"}


@event("paused.opened")
class Opened:
    key: str


@event("paused.noted")
class Noted:
    key: str
    number: int = 0


@event("paused.other")
class Other:
    key: str


class Watch(Saga, name="watches", key="key"):
    key: str
    seen: list[str] = field(default_factory=list)

    @starts
    def opened(self, message: Opened, ctx: Context) -> None:
        ctx.set_timer("late", after=10 * MINUTE)

    @handles
    def noted(self, message: Noted) -> None:
        self.seen.append(str(message.number))

    @timer("late")
    def late(self, ctx: Context) -> None:
        self.seen.append("late")


done: list[str] = []


@handler("others")
def other(message: Other) -> None:
    done.append(message.key)


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()


async def test_it_holds_messages_and_timers_and_others_go_on() -> None:
    async with Harness(Watch, other) as bus:
        await bus.publish(Opened(key="A"))
        await bus.bus.mend.pause(Watch, **WHY)
        await bus.advance(5 * MINUTE)

        await bus.publish(Noted(key="A", number=1))
        await bus.publish(Other(key="B"))
        await bus.advance(20 * MINUTE)

        assert (await bus.saga(Watch, "A")).seen == []
        assert done == ["B"]
        await bus.bus.mend.resume(Watch, **WHY)
        await bus.advance(timedelta(seconds=2))
        assert (await bus.saga(Watch, "A")).seen == ["1", "late"]


@pytest.mark.parametrize("count", [3, 700])
async def test_afterwards_a_timer_runs_after_all_that_was_accepted_before_it_was_due(count: int) -> None:
    async with Harness(Watch, settings=Settings(prefetch=64)) as bus:
        await bus.publish(Opened(key="A"))
        await bus.bus.mend.pause(Watch, **WHY)
        await bus.advance(5 * MINUTE)
        await bus.bus.publish_many([Noted(key=key, number=n) for n in range(count) for key in ("A", "B", "C")])
        await bus.advance(20 * MINUTE)

        await bus.bus.mend.resume(Watch, **WHY)
        await bus.advance(timedelta(seconds=2))

        assert (await bus.saga(Watch, "A")).seen == [*map(str, range(count)), "late"]


@pytest.mark.parametrize("count", [3, 700])
async def test_after_an_outage_it_is_the_same(count: int) -> None:
    async with Harness(Watch, settings=Settings(prefetch=64)) as bus:
        await bus.publish(Opened(key="A"))
        await bus.bus.close()
        await bus.bus.open(worker=False)
        bus.clock.advance(5 * MINUTE)
        await bus.bus.publish_many([Noted(key=key, number=n) for n in range(count) for key in ("A", "B", "C")])
        await bus.bus.close()
        bus.clock.advance(20 * MINUTE)

        await bus.bus.open()
        await bus.idle()

        assert (await bus.saga(Watch, "A")).seen == [*map(str, range(count)), "late"]


async def test_a_worker_of_another_bus_hears_of_it_and_what_waits_in_it_does_not_begin() -> None:
    began: list[int] = []
    gates = [asyncio.Event() for _ in range(3)]

    @handler("slow", key="key")
    async def slow(message: Noted, ctx: Context) -> None:
        began.append(message.number)
        await gates[message.number].wait()

    store = MemoryStore()
    settings = Settings(lease=timedelta(seconds=1))
    async with Bus(store, slow, settings=settings) as working:
        for number in range(3):
            await working.publish(Noted(key="A", number=number))
        await until(lambda: began == [0])

        await Bus(store).mend.pause("slow", **WHY)
        await until(lambda: "slow" in working._worker.intake._pauses.paused)
        gates[0].set()
        await until(lambda: not working._worker.hand.envelopes)
        assert began == [0]

        await Bus(store).mend.resume("slow", **WHY)
        await until(lambda: began == [0, 1])
        for gate in gates:
            gate.set()
        await working.idle(10)
        assert began == [0, 1, 2]


async def test_a_worker_that_starts_begins_nothing_of_it() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    async with Harness(other, store=lambda _: store, clock=clock) as bus:
        await bus.bus.mend.pause("others", **WHY)

    async with Harness(other, store=lambda _: store, clock=clock) as bus:
        await bus.publish(Other(key="B"))
        await bus.advance(MINUTE)
        assert done == []


async def test_status_and_why_say_who_paused_it_and_how_it_goes_on() -> None:
    async with Harness(Watch, other) as bus:
        await bus.publish(Opened(key="A"))
        await bus.bus.mend.pause(Watch, **WHY)

        status = {each.name: each.paused for each in (await bus.bus.inspect.status()).subscriptions}
        assert status["others"] is None
        paused = status["watches"]
        assert paused is not None
        assert (paused.by, paused.reason) == ("ann", WHY["reason"])
        report = await bus.bus.inspect.why(Watch, "A")
        assert report.paused == paused
        assert "is paused" in report.sentences[0]
        assert "sagabus resume" in report.sentences[0]


async def test_pausing_twice_and_unknown_names_are_refused() -> None:
    async with Harness(Watch) as bus:
        mend = bus.bus.mend

        with pytest.raises(MendRefused, match="watches is not paused; paused are: none"):
            await mend.resume(Watch, **WHY)
        with pytest.raises(UnknownName, match=r"did you mean watches\?"):
            await mend.pause("watch", **WHY)
        await mend.pause(Watch, **WHY)
        with pytest.raises(MendRefused, match=r"watches is paused already since .* by ann \(the bank is down\)"):
            await mend.pause(Watch, **WHY)
        verbs = [each.verb for each in (await bus.bus.inspect.audit("watches")).entries]
        assert verbs == ["subscription.pause"]


@pytest.mark.parametrize("kind", ["memory", "sqlite", *SERVERS])
async def test_what_a_process_publishes_after_its_own_pause_waits(kind: str, take: Take) -> None:
    """Its worker hears of a pause within seconds, and a message that is published meanwhile is handed over at once."""
    url = "memory:" if kind == "memory" else take(kind).url
    async with Bus(url, other) as bus:
        for number in range(10):
            await bus.mend.pause("others", **WHY)
            await bus.publish(Other(key=str(number)))
            await bus.idle()
            assert len(done) == number

            await bus.mend.resume("others", **WHY)
            await bus.idle()
            assert len(done) == number + 1
