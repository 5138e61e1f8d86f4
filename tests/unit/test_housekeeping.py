"""Forgetting in small steps, and not at all when the wall clock cannot be trusted."""

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from typing import Any

import pytest

from sagabus.engine.housekeeping import FIRST_LOOK, Housekeeping
from sagabus.engine.store_watch import StoreWatch
from sagabus.envelope import Envelope
from sagabus.errors import StoreBusy
from sagabus.store import Retention
from sagabus.store.upkeep import Purged
from sagabus.stores.memory import MemoryStore
from sagabus.testing import ManualClock

MINUTE, MICROSECOND = timedelta(minutes=1), timedelta(microseconds=1)
RETENTION = [Retention("orders", 7 * 86_400_000_000)]


class CountingStore(MemoryStore):
    """Says how often it was asked to purge, and that there is more as often as told."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.asked: list[tuple[Sequence[Retention], int]] = []
        self.more = 0
        self.errors: list[Exception] = []

    async def purge(self, retention: Sequence[Retention], limit: int) -> Purged:
        self.asked.append((retention, limit))
        if self.errors:
            raise self.errors.pop()
        self.more -= 1
        return Purged(more=self.more >= 0)


class Trial:
    def __init__(self, every: float = 60.0) -> None:
        self.clock = ManualClock()
        self.store = CountingStore(self.clock)
        self.watch = StoreWatch(self.store, ["orders"])
        self.housekeeping = Housekeeping(self.store, self.clock, RETENTION, watch=self.watch, every=every, limit=5)

    async def passes(self, time: timedelta) -> int:
        """How many purges there have been after this time."""
        self.clock.advance(time)
        for _ in range(20):
            await asyncio.sleep(0)
        return len(self.store.asked)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def test_it_purges_at_its_pace_while_it_runs() -> None:
    async def scenario() -> None:
        trial = Trial()
        await trial.housekeeping.start()
        await trial.housekeeping.start()
        await trial.passes(timedelta(0))
        counts = [await trial.passes(time) for time in (0.9 * MINUTE, 0.1 * MINUTE, MINUTE)]
        await trial.housekeeping.stop(0)
        await trial.housekeeping.stop(0)

        assert [*counts, await trial.passes(5 * MINUTE)] == [0, 1, 2, 2]
        assert trial.store.asked[0] == (RETENTION, 5)

    run(scenario())


@pytest.mark.parametrize("every", [60.0, 0.25])
def test_it_looks_soon_after_its_start_without_a_purge_and_then_with_each(
    every: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        trial = Trial(every)
        looks = list[float]()
        of_store = trial.store.inspect.lane_counts

        async def counted() -> object:
            looks.append(trial.clock.monotonic())
            return await of_store()

        monkeypatch.setattr(trial.store.inspect, "lane_counts", counted)
        await trial.housekeeping.start()
        await trial.passes(timedelta(0))
        first = min(FIRST_LOOK, timedelta(seconds=every))
        before = await trial.passes(first - MICROSECOND), len(looks)
        soon = await trial.passes(MICROSECOND)
        assert before == (0, 0)
        assert looks[0] == first.total_seconds()
        assert soon == (every <= 1)  # then it purges at the same moment

        await trial.passes(timedelta(seconds=every) - first)
        assert await trial.passes(timedelta(seconds=every)) == 2
        assert looks[-2:] == [every, 2 * every]
        assert len(looks) == 3
        await trial.housekeeping.stop(0)

    run(scenario())


@pytest.mark.parametrize("time", [timedelta(0), FIRST_LOOK])
def test_stopped_before_or_during_its_first_look_it_never_looks(
    time: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        trial = Trial()
        asked = list[object]()

        async def waits(*_: object) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(trial.store.inspect, "faults", waits)
        monkeypatch.setattr(trial.store.inspect, "lane_counts", asked.append)
        await trial.housekeeping.start()
        await trial.passes(timedelta(0))
        await trial.passes(time)
        await trial.housekeeping.stop(0)
        await trial.passes(5 * MINUTE)

        assert (asked, trial.store.asked) == ([], [])
        assert trial.housekeeping.health().is_healthy

    run(scenario())


def test_while_there_is_more_it_goes_on_at_once() -> None:
    async def scenario() -> None:
        trial = Trial()
        trial.store.more = 3
        await trial.housekeeping.start()
        await trial.passes(timedelta(0))

        assert await trial.passes(MINUTE) == 4
        await trial.housekeeping.stop(0)

    run(scenario())


@pytest.mark.parametrize("error", [StoreBusy(), RuntimeError("of the driver's")])
def test_whatever_goes_wrong_it_is_tried_again_next_time(error: Exception) -> None:
    async def scenario() -> None:
        trial = Trial()
        trial.store.errors = [error]
        await trial.housekeeping.start()
        await trial.passes(timedelta(0))
        await trial.passes(MINUTE)

        assert await trial.passes(MINUTE) == 2
        await trial.housekeeping.stop(0)

    run(scenario())


SIGNALS = {
    "faults": "orphan_timers",
    "backlog": "oldest_messages",
    "lane_counts": "unowned_lanes",
    "recent_letters": "recent_dead_letters",
}
"""What each look asks of the store, and the signal of health that comes of it."""


@pytest.mark.parametrize("failing", ["purge", *SIGNALS])
@pytest.mark.parametrize("error", [StoreBusy(), RuntimeError("of the driver's")])
def test_where_one_of_its_steps_fails_the_others_are_done(
    failing: str, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise error

    async def scenario() -> None:
        trial = Trial()
        timer = Envelope("t1", "x", b"{}", "orders", partition_key="A", timer="t", due_at=2**60)
        await trial.store.append([timer], (await trial.store.routing()).version)
        await trial.store.lease("w", ["orders"], duration=1, window=1)
        monkeypatch.setattr(trial.store if failing == "purge" else trial.store.inspect, failing, fail)
        await trial.housekeeping.start()
        await trial.passes(timedelta(0))
        await trial.passes(FIRST_LOOK)
        assert caplog.text.count("cannot ") == (failing != "purge")
        await trial.passes(MINUTE - FIRST_LOOK)

        health = trial.housekeeping.health()
        assert {name for name, signal in SIGNALS.items() if "orders" not in getattr(health, signal)} == {failing} & {
            *SIGNALS
        }
        assert len(trial.store.asked) == (failing != "purge")
        assert health.is_healthy
        await trial.housekeeping.stop(0)

    run(scenario())
    assert caplog.text.count("cannot ") == (1 if failing == "purge" else 2)


@pytest.mark.parametrize(("jump", "purges"), [(2, 0), (-2, 0), (0.5, 1), (-0.5, 1)])
def test_after_a_jump_of_the_wall_clock_nothing_is_purged(jump: float, purges: int) -> None:
    async def scenario() -> None:
        trial = Trial()
        trial.clock.jump(timedelta(hours=jump))
        await trial.housekeeping.purge()
        await trial.housekeeping.purge()

        assert len(trial.store.asked) == 2 * purges

    run(scenario())


def test_a_clock_that_drifts_slowly_is_followed() -> None:
    async def scenario() -> None:
        trial = Trial()
        for _ in range(10):
            trial.clock.jump(timedelta(minutes=30))
            await trial.housekeeping.purge()

        assert len(trial.store.asked) == 10

    run(scenario())
