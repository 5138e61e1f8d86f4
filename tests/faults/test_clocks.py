"""Wall clocks that jump while all is running: nothing stops, nothing happens twice, timers and their end agree."""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from tests.faults.oracle import prepare, query
from tests.faults.tasks import DONE, TABLES, Step, emptied, make_bus, numbers

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
def store(tmp_path: Path) -> Path:
    prepare(tmp_path / "bus.db", TABLES)
    return tmp_path / "bus.db"


class JumpingClock(SystemClock):
    """A wall clock that an administrator sets while all is running."""

    offset = 0

    def now(self) -> int:
        return super().now() + self.offset


class Meter(Saga, name="meters", key="key"):
    key: str
    steps: tuple[int, ...] = ()

    @starts
    def step(self, message: Step, ctx: Context) -> None:
        self.steps = (*self.steps, message.number)
        ctx.execute(DONE, (message.number, self.key))
        ctx.set_timer("late", after=timedelta(hours=1))

    @timer("late")
    def late(self, ctx: Context) -> None:
        ctx.execute(DONE, (-1, self.key))


@pytest.mark.parametrize("jump", [timedelta(days=-400), timedelta(minutes=-5), timedelta(minutes=5)])
async def test_a_jump_of_the_wall_clock_stops_nobody_and_doubles_nothing(jump: timedelta, store: Path) -> None:
    clock = JumpingClock()
    async with make_bus(store, Meter, clock=clock, settings=Settings(lease=timedelta(milliseconds=200))) as bus:
        for number in range(40):
            if number == 20:
                clock.offset += int(jump.total_seconds() * SECOND)
            await bus.publish(Step(key=f"k{number % 3}", number=number), message_id=f"s{number}")
        await bus.idle(20)
        async with make_bus(store, Meter, clock=clock) as other:
            await other.publish(Step(key="k0", number=40), message_id="s40")
            await other.idle(20)

    assert numbers(store) == list(range(41))
    assert [row[0] for row in query(store, "SELECT state ->> 'steps' FROM sagabus_instance WHERE key = 'k1'")] == [
        "[" + ",".join(str(number) for number in range(40) if number % 3 == 1) + "]"
    ]


async def test_a_clock_set_forward_fires_timers_once(store: Path) -> None:
    clock = JumpingClock()
    async with make_bus(store, Meter, clock=clock) as bus:
        await bus.publish(Step(key="a", number=0), message_id="s0")
        await bus.idle(20)
        clock.offset += 7200 * SECOND
        await emptied(bus, store)
        clock.offset -= 7200 * SECOND
        await bus.idle(20)

    assert numbers(store) == [-1, 0]


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
        ctx.execute(DONE, (0, f"cancelled {self.key}"))

    @timer("race")
    def fire(self, ctx: Context) -> None:
        ctx.execute(DONE, (1, f"fired {self.key} {'too late' if self.cancelled else 'in time'}"))


async def test_a_timer_and_its_cancellation_race_and_one_of_them_wins(store: Path) -> None:
    async with make_bus(store, Race) as bus:
        for number in range(200):
            await bus.publish(Started(key=f"k{number}", number=number))
            if number % 2:
                await bus.idle(20)
            await bus.publish(Step(key=f"k{number}", number=number))
        await emptied(bus, store)

    notes = Counter(row[0] for row in query(store, "SELECT note FROM done"))
    assert set(notes.values()) == {1}
    assert sum(note.startswith("cancelled") for note in notes) == 200
    assert [note for note in notes if note.endswith("too late")] == []
