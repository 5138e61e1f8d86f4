"""Lanes of a SQLite store that were fetched to their end are not asked again, and nothing in them is ever missed."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sagabus.envelope import Envelope
from sagabus.errors import StoreError
from sagabus.outcome import Completed, Effects, RetryAt, Save, Stashed, Verdict
from sagabus.store import Batch, Cursor, Fetched, Subscription
from sagabus.stores.sql.steps import Answer, Query, UserQuery
from sagabus.stores.sqlite import SqliteStore
from sagabus.stores.sqlite.quiet_lanes import OtherWriters, QuietLanes
from sagabus.stores.sqlite.sets import Executor
from sagabus.testing import ManualClock

PATIENCE = timedelta(milliseconds=51)
CHANNEL = "orders"
LANES = 4


class Ground:
    """A store with a worker on it, and another process's store on the same file."""

    def __init__(self, path: Path) -> None:
        self.clock = ManualClock()
        self.ours, self.others = (SqliteStore(path, clock=self.clock, lanes=LANES) for _ in range(2))
        self.after = dict.fromkeys(range(LANES), 0)
        self.asked: list[int] = []
        self.is_lost = False
        self._sent = 0

    async def open(self) -> None:
        await self.ours.open()
        await self.others.open()
        subscription = Subscription(message_type="noted", channel=CHANNEL, kind="event", window=10**12)
        self.routing = (await self.ours.register([subscription])).version

    async def close(self) -> None:
        await self.ours.close()
        await self.others.close()

    def envelope(self, lane: int, **fields: Any) -> Envelope:
        self._sent += 1
        return Envelope(f"m{self._sent}", "noted", b"{}", CHANNEL, lane, f"k{lane}", sent_at=1, **fields)

    async def append(self, store: SqliteStore, *envelopes: Envelope) -> None:
        assert await store.append(envelopes, self.routing) is not None

    async def fetch(self, *lanes: int, limit: int = 10) -> list[Envelope]:
        """As the worker does, which goes on where it has come to."""
        self.asked.clear()
        cursors = [Cursor(CHANNEL, lane, self.after[lane]) for lane in lanes or range(LANES)]
        found = list((await self.ours.fetch(cursors, limit)).envelopes)
        for each in found:
            if not each.due_at:
                self.after[each.lane] = max(self.after[each.lane], each.position)
        return found

    async def commit(self, *outcomes: Completed | RetryAt | Stashed) -> None:
        epochs = {(CHANNEL, each.envelope.lane): self.epochs[each.envelope.lane] for each in outcomes}
        answers = await self.ours.commit(Batch(outcomes, self.routing, epochs))
        assert {answer.verdict for answer in answers} == {Verdict.COMMITTED}

    async def lease(self) -> None:
        lanes = await self.ours.lease("us", [CHANNEL], duration=10**12, window=100)
        self.epochs = {lane.lane: lane.epoch for lane in lanes}


Scene = Callable[[Ground], Awaitable[None]]


def play(path: Path, monkeypatch: pytest.MonkeyPatch, scene: Scene) -> None:
    async def run() -> None:
        ground = Ground(path / "it.db")
        answer = Executor.__call__

        def noting(self: Executor, ask: Query | UserQuery) -> Answer:
            if isinstance(ask, Query) and ask.name == "fetch":
                if ground.is_lost:
                    raise StoreError("lost")
                ground.asked += [row[1] for row in ask.rows or ()]  # type: ignore[misc]
            return answer(self, ask)

        monkeypatch.setattr(Executor, "__call__", noting)
        await ground.open()
        try:
            await ground.lease()
            assert await ground.fetch() == []
            assert await ground.fetch() == []
            await scene(ground)
        finally:
            await ground.close()

    asyncio.run(run())


async def _nothing_is_asked_while_this_process_writes_elsewhere(ground: Ground) -> None:
    await ground.append(ground.ours, ground.envelope(0))
    (first,) = await ground.fetch()
    while ground.asked:
        await ground.fetch()

    await ground.commit(Completed(first, Effects(sent=(ground.envelope(2),))))
    (second,) = await ground.fetch()

    assert second.lane == 2
    assert ground.asked == [2]
    assert await ground.fetch() == []
    assert ground.asked == []


async def _what_was_handed_over_is_not_asked_for(ground: Ground) -> None:
    await ground.append(ground.ours, ground.envelope(0))

    assert [each.lane for each in await ground.fetch()] == [0]
    assert ground.asked == []
    assert await ground.fetch() == []
    assert ground.asked == []


async def _a_fetch_that_finds_nothing_new_leaves_what_was_handed_over(ground: Ground) -> None:
    await ground.append(ground.ours, ground.envelope(0))

    ground.ours._handing.fetched({(CHANNEL, 0): 0, (CHANNEL, 1): 0})  # an answer from before the append

    assert [each.lane for each in await ground.fetch()] == [0]
    assert ground.asked == []


async def _what_a_fetch_has_brought_is_not_handed_over_as_well(ground: Ground) -> None:
    await ground.append(ground.ours, ground.envelope(0))

    ground.ours._handing.fetched({(CHANNEL, 0): 1})  # an answer from after it

    assert [each.lane for each in await ground.fetch()] == [0]
    assert 0 in ground.asked


async def _what_was_handed_over_and_dropped_is_asked_for(ground: Ground) -> None:
    await ground.append(ground.ours, ground.envelope(1))
    (first,) = await ground.fetch()
    await ground.append(ground.ours, ground.envelope(0))
    await ground.commit(RetryAt(envelope=first, delay=10**9))  # may hold back what was handed over

    assert [each.lane for each in await ground.fetch()] == [0]
    assert 0 in ground.asked


async def _what_another_process_stored_is_found_after_a_write_of_this_one(ground: Ground) -> None:
    await ground.append(ground.ours, ground.envelope(0))
    await ground.fetch()
    await ground.fetch()
    await ground.append(ground.others, ground.envelope(3))

    await ground.append(ground.ours, ground.envelope(0))
    found = [*await ground.fetch(), *await ground.fetch()]

    assert sorted(each.lane for each in found) == [0, 3]


async def _what_another_process_stored_is_found_in_time(ground: Ground) -> None:
    await ground.append(ground.others, ground.envelope(3))

    ground.clock.advance(PATIENCE)

    assert [each.lane for each in await ground.fetch()] == [3]


async def _who_waits_for_changes_sees_what_another_process_stored(ground: Ground) -> None:
    await ground.ours.changed(0)  # of the leases
    await ground.append(ground.others, ground.envelope(3))

    await ground.ours.changed(None)

    assert [each.lane for each in await ground.fetch()] == [3]


async def _a_hint_of_this_process_hides_nothing_that_another_stored(ground: Ground) -> None:
    await ground.ours.changed(0)  # of the leases
    await ground.append(ground.others, ground.envelope(3))
    ground.ours._waking.wake()

    await ground.ours.changed(None)
    await ground.ours.changed(None)

    assert [each.lane for each in await ground.fetch()] == [3]


async def _what_this_process_stored_is_no_change_of_another(ground: Ground) -> None:
    await ground.ours.changed(0)  # of the leases
    await ground.append(ground.ours, ground.envelope(0))
    async with ground.ours.transaction() as unit:
        await unit.commit()
    await ground.ours.changed(None)

    assert not await ground.ours._waking.wait(0)


async def _who_waits_for_changes_looks_at_lanes_in_time_that_were_not_asked(ground: Ground) -> None:
    await ground.ours.changed(0)  # of the leases
    await ground.fetch()
    assert ground.asked == []

    waiting = asyncio.create_task(ground.ours.changed(None))
    await asyncio.sleep(0)
    ground.clock.advance(PATIENCE)
    async with asyncio.timeout(10):
        await waiting

    await ground.fetch()
    assert sorted(ground.asked) == [0, 1, 2, 3]


async def _a_fetch_that_failed_is_made_up_for(ground: Ground) -> None:
    await ground.append(ground.ours, *[ground.envelope(1) for _ in range(20)])
    ground.is_lost = True
    with pytest.raises(StoreError, match="lost"):
        await ground.fetch()

    ground.is_lost = False

    assert {each.lane for each in await ground.fetch()} == {1}


async def _what_a_cancelled_append_has_stored_is_found(ground: Ground) -> None:
    await ground.fetch()
    cancelled = asyncio.create_task(ground.append(ground.ours, ground.envelope(1)))
    await asyncio.sleep(0)  # it is with the thread that writes, and is finished there
    cancelled.cancel()
    await asyncio.wait([cancelled])
    assert cancelled.cancelled()

    await ground.append(ground.ours, ground.envelope(2))  # our own write shows no change of others

    found = await ground.fetch() + await ground.fetch()  # first what was handed over, and then what the file has
    assert {each.lane for each in found} == {1, 2}


async def _what_a_retry_held_back_is_found_once_it_is_gone(ground: Ground) -> None:
    await ground.append(ground.ours, ground.envelope(1), ground.envelope(1))
    first, second = await ground.fetch()
    await ground.commit(RetryAt(envelope=first, delay=1_000_000))
    ground.after[1] = 0
    assert await ground.fetch() == []

    ground.clock.advance(timedelta(seconds=1))
    (again,) = await ground.fetch()
    await ground.commit(Completed(again, Effects()))
    found = await ground.fetch()

    assert [each.message_id for each in found] == [second.message_id]


async def _what_is_due_comes_when_it_is_and_again_while_it_is_stored(ground: Ground) -> None:
    await ground.append(ground.ours, ground.envelope(1, delay=20_000))
    assert await ground.fetch() == []

    ground.clock.advance(timedelta(milliseconds=21))

    assert [each.lane for each in await ground.fetch()] == [1]
    assert [each.lane for each in await ground.fetch()] == [1]


async def _what_a_saga_wakes_is_found(ground: Ground) -> None:
    await ground.append(ground.ours, ground.envelope(1), ground.envelope(1))
    first, second = await ground.fetch()
    await ground.commit(Stashed(first, 10**9))
    assert await ground.fetch() == []

    await ground.commit(Completed(second, Effects(Save(CHANNEL, "k1", 0, b"{}", None, {}, False, wakes=True))))

    assert [each.message_id for each in await ground.fetch()] == [first.message_id]


async def _lanes_that_had_no_room_are_asked_once_they_have(ground: Ground) -> None:
    await ground.append(ground.others, ground.envelope(3))
    ground.clock.advance(PATIENCE)

    assert await ground.fetch(0, 1, 2) == []

    assert [each.lane for each in await ground.fetch()] == [3]


@pytest.mark.parametrize(
    "scene",
    [
        _nothing_is_asked_while_this_process_writes_elsewhere,
        _what_was_handed_over_is_not_asked_for,
        _a_fetch_that_finds_nothing_new_leaves_what_was_handed_over,
        _what_a_fetch_has_brought_is_not_handed_over_as_well,
        _what_was_handed_over_and_dropped_is_asked_for,
        _what_another_process_stored_is_found_after_a_write_of_this_one,
        _what_another_process_stored_is_found_in_time,
        _who_waits_for_changes_sees_what_another_process_stored,
        _a_hint_of_this_process_hides_nothing_that_another_stored,
        _what_this_process_stored_is_no_change_of_another,
        _who_waits_for_changes_looks_at_lanes_in_time_that_were_not_asked,
        _a_fetch_that_failed_is_made_up_for,
        _what_a_cancelled_append_has_stored_is_found,
        _what_a_retry_held_back_is_found_once_it_is_gone,
        _what_is_due_comes_when_it_is_and_again_while_it_is_stored,
        _what_a_saga_wakes_is_found,
        _lanes_that_had_no_room_are_asked_once_they_have,
    ],
    ids=lambda scene: scene.__name__.strip("_"),
)
def test_quiet_lanes(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play(tmp_path, monkeypatch, scene)


def test_an_answer_from_before_a_look_at_everything_makes_no_lane_quiet() -> None:
    quiet, cursor = QuietLanes(OtherWriters(ManualClock())), Cursor(CHANNEL, 1, 0)
    early = quiet.worth_asking([cursor], 0)
    quiet.news_anywhere()
    quiet.worth_asking([Cursor(CHANNEL, 2, 0)], 0)

    quiet.came(early, Fetched((), None), {(CHANNEL, 1): 0}, 0)

    assert quiet.worth_asking([cursor], 0).cursors == [cursor]


def test_what_is_handed_over_makes_no_lane_quiet_that_was_not() -> None:
    quiet, cursor = QuietLanes(OtherWriters(ManualClock())), Cursor(CHANNEL, 1, 5)
    quiet.worth_asking([Cursor(CHANNEL, 1, 0)], 0)  # the answer is still to come

    quiet.given([Cursor(CHANNEL, 1, 0)], {(CHANNEL, 1): 5})

    assert quiet.worth_asking([cursor], 0).cursors == [cursor]


def test_after_a_handover_other_lanes_are_asked_in_time() -> None:
    quiet = QuietLanes(OtherWriters(ManualClock()))
    quiet.worth_asking([Cursor(CHANNEL, 1, 0)], 0)
    assert quiet.patience(None) is None

    quiet.given([Cursor(CHANNEL, 1, 0)], {(CHANNEL, 1): 5})

    assert quiet.patience(None) == 0.05


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_nothing_waits_longer_than_the_patience(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = Random(seed)

    async def scene(ground: Ground) -> None:
        stored: set[str] = set()
        in_flight: dict[str, Envelope] = {}

        async def take(*lanes: int) -> None:
            for each in await ground.fetch(*lanes, limit=chance.choice([1, 3, 10])):
                stored.discard(each.message_id)
                in_flight[each.message_id] = each

        async def send(store: SqliteStore) -> None:
            sent = [ground.envelope(chance.randrange(LANES)) for _ in range(chance.randrange(1, 4))]
            stored.update(each.message_id for each in sent)
            await ground.append(store, *sent)

        async def settle() -> None:
            if in_flight:
                settled = in_flight.pop(chance.choice(sorted(in_flight)))
                sent = tuple(ground.envelope(chance.randrange(LANES)) for _ in range(chance.randrange(3)))
                stored.update(each.message_id for each in sent)
                await ground.commit(Completed(settled, Effects(sent=sent)))

        for _ in range(60):
            step = chance.randrange(6)
            if step == 0:
                await send(ground.others)
            elif step == 1:
                await send(ground.ours)
            elif step == 2:
                await settle()
            elif step == 3:
                ground.clock.advance(timedelta(milliseconds=chance.randrange(30)))
            elif step == 4:
                await take(*chance.sample(range(LANES), chance.randrange(1, LANES + 1)))
            else:
                ground.clock.advance(PATIENCE)
                for _ in range(40):
                    await take()
                assert stored == set()

    play(tmp_path, monkeypatch, scene)
