"""A saga that says how long it may go without a change: found, counted, and reacted to once for each version."""

import enum
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Literal

import pytest
from tests.conftest import Take

from sagabus import Bus, Cause, ConfigurationError, Context, Saga, Settings, event, handles, starts, stuck
from sagabus.testing.clock import ManualClock

KINDS = ("memory", "sqlite", "postgres", "mysql")
every_store = pytest.mark.parametrize("kind", KINDS)
HOUR = timedelta(hours=1)
SETTINGS = Settings(durability="accept", stuck_every=timedelta(seconds=30))


@event("trips.booked")
class Booked:
    trip: str


@event("trips.noted")
class Noted:
    trip: str


class Trip(Saga, name="trips", key="trip", stuck_after={"open": HOUR}):
    trip: str
    status: Literal["open", "closed"] = "open"

    @starts
    def booked(self, message: Booked) -> None:
        if message.trip.startswith("closed"):
            self.status = "closed"

    @handles
    def noted(self, message: Noted) -> None: ...


class Buried(Saga, name="trips", key="trip", stuck_after=HOUR, on_stuck="dead-letter"):
    trip: str

    @starts
    def booked(self, message: Booked) -> None: ...


class Nudged(Saga, name="trips", key="trip", stuck_after=HOUR):
    trip: str
    nudges: int = 0

    @starts
    def booked(self, message: Booked) -> None: ...

    @stuck
    def nudge(self, ctx: Context) -> None:
        self.nudges += 1
        if self.nudges == 2:
            ctx.complete()


class Place:
    """A bus, and a clock that only the test moves."""

    def __init__(self, bus: Bus, clock: ManualClock) -> None:
        self.bus, self._clock = bus, clock

    async def pass_by(self, duration: timedelta) -> None:
        """Let time pass, then have the watch look."""
        self._clock.advance(duration)
        (watch,) = [each for each in self.bus._parts._begun if each.name == "stuck-watch"]
        await watch.look()  # type: ignore[attr-defined]  # a part of its own kind
        await self.bus.idle(timeout=20)


@asynccontextmanager
async def place(kind: str, take: Take, saga: type[Saga]) -> AsyncIterator[Place]:
    clock = ManualClock()
    url = "memory:" if kind == "memory" else take(kind).url
    async with Bus(url, saga, settings=SETTINGS, clock=clock) as bus:
        yield Place(bus, clock)


@every_store
async def test_an_instance_that_has_not_changed_for_too_long_is_counted(kind: str, take: Take) -> None:
    async with place(kind, take, Trip) as it:
        for trip in ("T1", "T2", "closed"):
            await it.bus.publish(Booked(trip=trip))
        await it.bus.idle()
        await it.pass_by(timedelta(minutes=59))
        early = it.bus.health()
        await it.bus.publish(Noted(trip="T2"))
        await it.bus.idle()
        await it.pass_by(timedelta(minutes=2))
        late, found = it.bus.health(), [each for each in (await it.bus.doctor()).findings if each.kind == "stuck"]
        letters = await it.bus.dead_letters.list()

    assert early.stuck == {"trips": 0}
    assert late.stuck == {"trips": 1}
    assert late.is_healthy
    assert [each.text for each in found] == ["1 instance of trips stuck: T1 has not changed for 1 h 1 min"]
    assert letters == []


@every_store
async def test_a_stuck_instance_has_one_dead_letter_for_each_version(kind: str, take: Take) -> None:
    async with place(kind, take, Buried) as it:
        await it.bus.publish(Booked(trip="T1"))
        await it.bus.idle()
        for _ in range(3):
            await it.pass_by(HOUR)
        (letter,) = await it.bus.dead_letters.list()
        await it.bus.dead_letters.discard(letter.id, reason="a test")
        await it.pass_by(HOUR)
        again = await it.bus.dead_letters.list()

    assert (letter.cause, letter.envelope.partition_key) == (Cause.STUCK, "T1")
    assert letter.reason == "stuck: T1 has not changed since version 1"
    assert again == []


@every_store
async def test_a_reaction_runs_once_for_each_version_and_the_time_counts_anew_after_it(kind: str, take: Take) -> None:
    async with place(kind, take, Nudged) as it:
        await it.bus.publish(Booked(trip="T1"))
        await it.bus.idle()
        seen: list[tuple[int, bool]] = []
        for minutes in (61, 30, 31, 120):
            await it.pass_by(timedelta(minutes=minutes))
            record = await it.bus.sagas.get(Nudged, "T1")
            assert record is not None
            seen.append((record.state.nudges, record.completed))
        count = it.bus.health().stuck

    assert seen == [(1, False), (1, False), (2, True), (2, True)]
    assert count == {"trips": 0}


async def test_a_change_that_is_quicker_than_the_reaction_calls_it_off() -> None:
    clock = ManualClock()
    bus = Bus("memory:", Nudged, settings=SETTINGS, clock=clock)
    async with bus:
        await bus.publish(Booked(trip="T1"))
        await bus.idle()
    await bus.open(worker=False)
    clock.advance(HOUR)
    from sagabus.bus.upkeep import stuck_watches

    (watch,) = stuck_watches(bus.store, clock, bus._defined, SETTINGS)
    await bus.publish(Booked(trip="T1"))  # accepted before the instance is found to be stuck
    await watch.look()
    await bus.close()
    async with bus:
        await bus.idle()
        record = await bus.sagas.get(Nudged, "T1")

    assert record is not None
    assert (record.version, record.state.nudges) == (2, 0)


class State(enum.Enum):
    OPEN = "open"


def test_statuses_may_be_members_of_an_enum() -> None:
    class Listed(Saga, name="listed", key="trip", stuck_after={State.OPEN: HOUR}):
        trip: str
        status: State = State.OPEN

        @starts
        def booked(self, message: Booked) -> None: ...

    assert Bus("memory:", Listed)._defined.by_name["listed"].stuck_after == {"open": 3_600_000_000}  # type: ignore[union-attr]


def test_what_is_wrong_with_a_limit_is_said_when_the_bus_is_made() -> None:
    class Wrong(Saga, name="wrong", key="trip", stuck_after={"gone": HOUR, "open": timedelta(0)}):
        trip: str
        status: Literal["open"] = "open"

        @starts
        def booked(self, message: Booked) -> None: ...

    class Idle(Saga, name="idle", key="trip", on_stuck="dead-letter"):
        trip: str

        @starts
        def booked(self, message: Booked) -> None: ...

        @stuck
        def nudge(self, ctx: Context) -> None: ...

    class Plain(Saga, name="plain", key="trip", stuck_after={"open": HOUR}, on_stuck="shout"):  # type: ignore[call-arg]
        trip: str

        @starts
        def booked(self, message: Booked) -> None: ...

    with pytest.raises(ConfigurationError) as refused:
        Bus("memory:", Wrong, Idle, Plain)

    said = str(refused.value)
    for text in (
        "stuck_after['gone']: 'gone' is not among its statuses: open",
        "stuck_after['open'] must be a timedelta greater than zero",
        "nothing says when it is stuck: give it stuck_after=timedelta(...)",
        "so on_stuck='dead-letter' is of no use",
        "stuck_after by status needs a field `status`",
        "on_stuck must be one of alarm, dead-letter, not 'shout'",
    ):
        assert text in said
