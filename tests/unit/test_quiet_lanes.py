"""Lanes of a SQLite store that were fetched to their end are not asked again, and nothing in them is ever missed."""

import asyncio
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from tests.support.sqlite_lanes import CHANNEL, LANES, PATIENCE, Ground, Scene, play

from sagabus.envelope import Envelope
from sagabus.errors import StoreError
from sagabus.outcome import Completed, Effects, RetryAt, Save, Stashed
from sagabus.store import Cursor, Fetched
from sagabus.stores.sql.handover import MOST
from sagabus.stores.sqlite import SqliteStore
from sagabus.stores.sqlite.quiet_lanes import OtherWriters, QuietLanes
from sagabus.testing import ManualClock


async def _nothing_is_asked_while_this_process_writes_elsewhere(ground: Ground) -> None:
    await ground.append(ground.ours, ground.envelope(0))
    (first,) = await ground.fetch()
    while ground.asked:
        await ground.fetch()

    await ground.append(ground.ours, *[ground.envelope(2) for _ in range(MOST + 1)])
    await ground.fetch(limit=100)

    assert ground.asked == [2]
    await ground.commit(Completed(first, Effects()))
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


def _lane(envelope: Envelope) -> int:
    return envelope.lane


@pytest.mark.parametrize("seed", range(24))
def test_whatever_happens_all_comes_once_in_order_and_within_the_patience(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = Random(seed)

    async def scene(ground: Ground) -> None:
        stored: dict[int, list[str]] = {lane: [] for lane in range(LANES)}
        in_flight: dict[str, Envelope] = {}

        async def take(*lanes: int) -> None:
            for each in await ground.fetch(*lanes, limit=chance.choice([1, 3, 10])):
                assert stored[each.lane].pop(0) == each.message_id, "out of turn, or for a second time"
                in_flight[each.message_id] = each

        def some() -> list[Envelope]:
            """In the order in which a commit stores them."""
            sent = sorted((ground.envelope(chance.randrange(LANES)) for _ in range(chance.randrange(4))), key=_lane)
            for each in sent:
                stored[each.lane].append(each.message_id)
            return sent

        async def send(store: SqliteStore) -> None:
            if sent := some():
                await ground.append(store, *sent)

        async def settle() -> None:
            if in_flight:
                settled = in_flight.pop(chance.choice(sorted(in_flight)))
                await ground.commit(Completed(settled, Effects(sent=tuple(some()))))

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
                assert not any(stored.values())

    play(tmp_path, monkeypatch, scene)
