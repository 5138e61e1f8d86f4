"""Wall clocks that jump while all is running: nothing stops, nothing happens twice, timers and their end agree."""

import json
from collections import Counter
from datetime import timedelta

import pytest
from tests.faults.application import LaterClock, here
from tests.faults.tasks import DONE, TABLES, Step, emptied, make_bus, numbers
from tests.support.databases import SERVERS, Database
from tests.support.waiting import until

from sagabus import (
    Context,
    Saga,
    Settings,
    event,
    handles,
    starts,
    timer,
)
from sagabus.clock import SECOND, SystemClock

pytestmark = pytest.mark.faults


@pytest.fixture
def place(database: Database) -> Database:
    database.make(*TABLES)
    return database


class JumpingClock(LaterClock):
    """A wall clock that an administrator sets while all is running. The store goes by it, on servers too: they cannot
    be given another time.
    """

    def jump(self, by: timedelta) -> None:
        self.offset += int(by.total_seconds() * SECOND)


class WrongClock(SystemClock):
    """That of a machine which differs from the server's."""

    offset = timedelta()

    def now(self) -> int:
        return super().now() + int(self.offset.total_seconds() * SECOND)


DELAY = timedelta(hours=1)


class Meter(Saga, name="meters", key="key"):
    key: str
    steps: tuple[int, ...] = ()

    @starts
    def step(self, message: Step, ctx: Context) -> None:
        self.steps = (*self.steps, message.number)
        ctx.execute(here.words.sql(DONE), (message.number, self.key))
        ctx.set_timer("late", after=DELAY)

    @timer("late")
    def late(self, ctx: Context) -> None:
        ctx.execute(here.words.sql(DONE), (-1, self.key))


@pytest.mark.parametrize("jump", [timedelta(days=-400), timedelta(minutes=-5), timedelta(minutes=5)])
async def test_a_jump_of_the_wall_clock_stops_no_worker_and_doubles_nothing(jump: timedelta, place: Database) -> None:
    clock = JumpingClock(timedelta())
    async with make_bus(place, Meter, clock=clock, settings=Settings(lease=timedelta(milliseconds=200))) as bus:
        for number in range(40):
            if number == 20:
                clock.jump(jump)
            await bus.publish(Step(key=f"k{number % 3}", number=number), message_id=f"s{number}")
        await bus.idle(20)
        async with make_bus(place, Meter, clock=clock) as other:
            await other.publish(Step(key="k0", number=40), message_id="s40")
            await other.idle(20)

    found = numbers(place)
    assert [number for number in found if number >= 0] == list(range(41))
    # A look that began before a jump back over the whole delay may find a timer due that was set right after it.
    assert found.count(-1) <= (1 if -jump > DELAY else 0)
    ((state,),) = place.of_bus("instance", "i.state", "AS i WHERE i.key = 'k1'")
    assert json.loads(state)["steps"] == [number for number in range(40) if number % 3 == 1]


async def test_a_clock_set_forward_fires_timers_once(place: Database) -> None:
    clock = JumpingClock(timedelta())
    async with make_bus(place, Meter, clock=clock) as bus:
        await bus.publish(Step(key="a", number=0), message_id="s0")
        await bus.idle(20)
        clock.jump(timedelta(hours=2))
        await emptied(bus, place)
        clock.jump(timedelta(hours=-2))
        await bus.idle(20)

    assert numbers(place) == [-1, 0]


@pytest.mark.parametrize("kind", list(SERVERS), indirect=True)
@pytest.mark.parametrize("offset", [timedelta(days=-400), timedelta(hours=2)])
async def test_a_process_whose_clock_is_not_the_servers_goes_by_the_servers(offset: timedelta, place: Database) -> None:
    """No timer early, no lease lost or kept for ever, whatever the machine believes."""
    clock = WrongClock()
    clock.offset = offset
    settings = Settings(lease=timedelta(milliseconds=200))
    async with make_bus(place, Meter, clock=clock, settings=settings) as bus, make_bus(place, Meter) as right:
        await until(lambda: place.of_bus("lane", "count(DISTINCT owner)") == [(2,)])
        for number in range(10):
            await (bus, right)[number % 2].publish(Step(key=f"k{number}", number=number), message_id=f"s{number}")
        await bus.idle(20)
        await right.idle(20)
        owners = place.of_bus("lane", "count(DISTINCT owner)")
        waiting = place.of_bus("envelope", "timer")

    assert numbers(place) == list(range(10))
    assert owners == [(2,)]
    assert len(waiting) == 10


@event("endurance.started")
class Started:
    key: str
    number: int


class Race(Saga, name="races", key="key"):
    key: str
    cancelled: bool = False

    @starts
    def begin(self, message: Started, ctx: Context) -> None:
        ctx.set_timer("race", after=timedelta(milliseconds=message.number % 4))

    @handles
    def cancel(self, message: Step, ctx: Context) -> None:
        ctx.cancel_timer("race")
        self.cancelled = True
        ctx.execute(here.words.sql(DONE), (0, f"cancelled {self.key}"))

    @timer("race")
    def fire(self, ctx: Context) -> None:
        ctx.execute(here.words.sql(DONE), (1, f"fired {self.key} {'too late' if self.cancelled else 'in time'}"))


async def test_a_timer_and_its_cancellation_race_and_one_of_them_wins(place: Database) -> None:
    races = 80 if place.is_server else 200
    async with make_bus(place, Race) as bus:
        for number in range(races):
            await bus.publish(Started(key=f"k{number}", number=number))
            if number % 2:
                await bus.idle(20)
            await bus.publish(Step(key=f"k{number}", number=number))
        await emptied(bus, place)

    notes = Counter(row[0] for row in place.rows("note", "done"))
    assert set(notes.values()) == {1}
    assert sum(note.startswith("cancelled") for note in notes) == races
    assert [note for note in notes if note.endswith("too late")] == []
