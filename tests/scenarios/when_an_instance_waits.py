"""`bus.inspect.why`: what an instance waits for, and what stands in its way."""

import asyncio
from datetime import timedelta
from typing import Literal

import pytest
from tests.conftest import Take
from tests.support.waiting import until

from sagabus import Bus, Context, RetryPolicy, Saga, UnknownName, event, handler, handles, starts, timer
from sagabus.bus.inspection.records import WaitReport
from sagabus.store import Running
from sagabus.stores.memory import MemoryStore
from sagabus.testing import Harness

every_store = pytest.mark.parametrize("kind", ["memory", "sqlite", "postgres", "mysql"])


@event("trips.booked")
class Booked:
    trip: str


@event("trips.paid")
class Paid:
    trip: str


@event("trips.ended")
class Ended:
    trip: str


class Trip(Saga, name="trips", key="trip", on_unexpected="stash", retry=RetryPolicy(attempts=3)):
    trip: str
    status: Literal["booked", "paid", "stuck"] = "booked"

    @starts(when="booked")
    def booked(self, message: Booked, ctx: Context) -> None:
        ctx.set_timer("payment", after=timedelta(minutes=30))

    @handles(when="booked")
    def paid(self, message: Paid, ctx: Context) -> None:
        if self.trip == "broken":
            raise ValueError("no card")
        ctx.cancel_timer("payment")
        self.status = "stuck" if self.trip == "stuck" else "paid"

    @handles(when="paid")
    def ended(self, message: Ended, ctx: Context) -> None:
        ctx.complete()

    @timer("payment")
    def unpaid(self, ctx: Context) -> None:
        ctx.complete()


@handler("refunds", key="trip", parks=True, retry=RetryPolicy(attempts=1))
def refund(message: Paid) -> None:
    raise ValueError("no bank")


@event("stays.begun")
class Begun:
    stay: str


class Stay(Saga, name="stays", key="stay"):
    stay: str

    @starts
    def begun(self, message: Begun, ctx: Context) -> None:
        ctx.publish(Paid(trip=self.stay))
        ctx.set_timer("late", after=timedelta(hours=1))

    @timer("late")
    def late(self) -> None: ...


async def test_what_stays_elsewhere_in_its_conversation_is_named() -> None:
    going = asyncio.Event()

    @handler("bills", key="trip")
    async def bill(message: Paid) -> None:
        await going.wait()

    async with Harness(Stay, refund, bill) as harness:
        await harness.bus.publish(Begun(stay="S1"), correlation_id="c1")
        bus = harness.bus

        async def has_failed() -> bool:
            return bool((await bus.inspect.status()).dead_letters)

        await until(has_failed)
        (worker,) = await bus.inspect.workers()
        early = await bus.inspect.why(Stay, "S1")
        (waiting,) = [each for each in early.elsewhere if each.subscription == "bills"]
        runs = [Running(waiting.message_id, waiting.message_type, "S1", 42_000_000, waiting.position)]
        await bus.store.note_running(worker.worker, {"bills": runs})
        found, of_bill = await bus.inspect.why(Stay, "S1"), await bus.inspect.why("bills", "S1")
        going.set()

    (letter,) = [each for each in found.elsewhere if each.subscription == "refunds"]
    other = "Another message of its conversation, trips.paid"
    assert f"{other} {letter.message_id} of refunds, is dead letter 1 (failed: {letter.reason})." in found.sentences
    assert f"{other} {waiting.message_id} of bills, is due and waits for its worker." in early.sentences
    running = f"has been running for 42 s in worker {worker.worker}, since "
    assert any(each.startswith(f"{other} {waiting.message_id} of bills, {running}") for each in found.sentences)
    assert any(each.startswith(f"trips.paid {waiting.message_id} {running}") for each in of_bill.sentences)


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mysql"])
async def test_a_message_that_no_live_worker_knows_has_not_failed(kind: str, take: Take) -> None:
    url = take(kind).url

    @handler("tills", key="trip")
    def newer(message: Paid | Ended) -> None: ...

    async with Bus(url, newer) as bus:
        pass
    admin = Bus(url, newer)
    await admin.open(worker=False)
    async with Bus(url, till) as bus:
        for _ in range(2):
            await admin.publish(Ended(trip="T1"))

        async def put_back() -> bool:
            return (await bus.inspect.why("tills", "T1")).holder is not None

        await until(put_back)
        found = await bus.inspect.why("tills", "T1")
    await admin.close()

    assert (
        " was put back without a failure, as the log of its worker says, and is tried again in " in found.sentences[0]
    )
    assert found.sentences[0].endswith(" 1 later message waits behind it.")


@handler("tills", key="trip")
def till(message: Paid) -> None: ...


@every_store
async def test_what_keeps_another_message_of_its_conversation_is_named_as_far_as_the_store_knows_it(
    kind: str, take: Take
) -> None:
    place = MemoryStore() if kind == "memory" else take(kind).url
    async with Bus(place, Stay, till) as bus:
        await bus.mend.pause("tills", reason="no cash", by="ann")
        await bus.publish(Begun(stay="S1"))

        async def begun() -> bool:
            return bool((await bus.inspect.why(Stay, "S1")).elsewhere)

        await until(begun)
        paused = await bus.inspect.why(Stay, "S1")
    admin = Bus(place)
    await admin.open(worker=False)
    await admin.mend.resume("tills", reason="cash", by="ann")
    found = await admin.inspect.why("stays", "S1")
    await admin.close()

    (sentence,) = [each for each in paused.sentences if "trips.paid" in each]
    assert " of tills, is due, but tills is paused by ann since " in sentence
    assert sentence.endswith(" (no cash): `sagabus resume` lets it go on.")
    assert paused.elsewhere_paused["tills"].reason == "no cash"
    (sentence,) = [each for each in found.sentences if "trips.paid" in each]
    assert sentence.endswith(" of tills, is due, but no live worker serves tills: start one with `sagabus run`.")
    assert found.elsewhere_paused == {}


async def test_a_message_that_waits_behind_another_one_elsewhere_says_where_to_look() -> None:
    async with Harness(Stay, refund) as harness:
        for _ in range(2):
            await harness.bus.publish(Begun(stay="S1"), correlation_id="c1")
            await harness.idle()
        found = await harness.bus.inspect.why(Stay, "S1")

    (sentence,) = [each for each in found.sentences if "an earlier one" in each]
    assert sentence.endswith(
        " of refunds, waits behind an earlier one of its key: `sagabus sagas why` for refunds S1 says more."
    )


async def asked(harness: Harness, key: str) -> WaitReport:
    return await harness.bus.inspect.why(Trip, key)


async def test_it_waits_for_a_message_or_its_timer() -> None:
    async with Harness(Trip) as harness:
        await harness.publish(Booked(trip="T1"))
        await harness.advance(timedelta(minutes=10))

        found = await asked(harness, "T1")

    assert (found.exists, found.status, found.expects) == (True, "booked", ("trips.booked", "trips.paid"))
    assert found.sentences[0] == "trips T1 has been waiting in status 'booked' for 10 min (version 1)."
    assert found.sentences[1].startswith("Its timer 'payment' is due in 20 min, at ")
    assert found.sentences[2] == "It reacts now to trips.booked or trips.paid."


async def test_a_retry_holds_back_what_came_later() -> None:
    async with Harness(Trip) as harness:
        await harness.publish(Booked(trip="broken"))
        await harness.publish(Paid(trip="broken"), message_id="psp-9")
        await harness.publish(Ended(trip="broken"))

        found = await asked(harness, "broken")

    assert found.holder is not None
    assert (found.holder.message_id, found.holder.kind) == ("psp-9", "retrying")
    assert "trips.paid psp-9 has failed once and runs again in 1 s. 1 later message waits behind it." in found.sentences


async def test_a_parked_dead_letter_holds_back_its_key_and_says_how_to_go_on() -> None:
    async with Harness(refund) as harness:
        for number in range(3):
            await harness.publish(Paid(trip="T1"), message_id=f"psp-{number}")

        found = await harness.bus.inspect.why("refunds", "T1")

    (letter,) = found.dead_letters
    assert (found.is_parked, found.exists, letter.message_id) == (True, False, "psp-0")
    (line,) = found.sentences
    assert line == (
        "Dead letter 1 (trips.paid psp-0, failed) parks the key: replay or discard it with `sagabus dead-letters`. "
        "2 later messages wait behind it."
    )


async def test_a_stashed_message_says_that_the_status_has_no_reaction_for_it() -> None:
    async with Harness(Trip) as harness:
        await harness.publish(Booked(trip="T1"))
        await harness.publish(Ended(trip="T1"), message_id="early")

        found = await asked(harness, "T1")

    (line,) = [each for each in found.sentences if "early" in each]
    assert line.startswith("trips.ended early is stashed until ")
    assert line.endswith(" UTC: the saga has no reaction for it now.")


async def test_an_instance_that_nothing_can_move_is_said_to_be_stuck() -> None:
    async with Harness(Trip) as harness:
        await harness.publish(Booked(trip="stuck"))
        await harness.publish(Paid(trip="stuck"))

        found = await asked(harness, "stuck")

    assert found.expects == ()
    assert found.sentences[-1] == (
        "It reacts to no message in this status and has no timer: nothing that is declared can move it."
    )


async def test_a_lane_without_a_worker_is_said_to_have_none() -> None:
    bus = Bus("memory:", Trip)
    await bus.open(worker=False)
    await bus.publish(Booked(trip="T1"), message_id="m1")

    found = await bus.inspect.why("trips", "T1")

    await bus.close()
    assert (found.worker, found.exists) == (None, False)
    assert found.sentences[0] == "trips T1 has no instance. It starts with trips.booked."
    assert found.sentences[1] == (
        f"trips.booked m1 is due, but lane {found.lane} has no live worker: start one with `sagabus run`."
    )


async def test_a_finished_instance_waits_for_nothing() -> None:
    async with Harness(Trip) as harness:
        for message in (Booked(trip="T1"), Paid(trip="T1"), Ended(trip="T1")):
            await harness.publish(message)

        found = await asked(harness, "T1")

    assert found.sentences == ("trips T1 has finished in status 'paid', for 0 s (version 3): it waits for nothing.",)


async def test_a_dead_letter_that_parks_nothing_is_named_too() -> None:
    async with Harness(Trip) as harness:
        await harness.publish(Booked(trip="broken"))
        await harness.publish(Paid(trip="broken"), message_id="psp-9")
        await harness.advance(timedelta(minutes=1))

        found = await asked(harness, "broken")

    assert "Dead letter 1 of the key is open: trips.paid psp-9 had no effect (failed: " in " ".join(found.sentences)


async def test_a_bus_that_does_not_declare_the_saga_says_so() -> None:
    async with Harness(Trip) as harness:
        await harness.publish(Booked(trip="T1"))
        stranger = Bus(harness.bus.store, clock=harness.clock)

        found = await stranger.inspect.why("trips", "T1")
        known = await stranger.inspect.knowing(harness.bus.definitions).why("trips", "T1")

        assert found.expects is None
        assert found.sentences[-1].startswith("Its class or its state is not known here")
        assert known.expects == ("trips.booked", "trips.paid")
        with pytest.raises(UnknownName, match="trips"):
            await stranger.inspect.why("tripps", "T1")
