"""What runs send into quiet lanes comes with the next fetch without a look at the file, as the file would give it."""

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict
from tests.support.sqlite_lanes import CHANNEL, LANES, PATIENCE, Ground, Scene, play

from sagabus.envelope import Envelope
from sagabus.outcome import Completed, Effects, RetryAt, Verdict
from sagabus.store import Batch, Cursor
from sagabus.store.loud import Sift
from sagabus.stores.sqlite import forwarding
from sagabus.stores.sqlite.driver import Driver
from sagabus.stores.sqlite.file import DatabaseFile


@dataclass
class Sending:
    """A run on lane 0 that sends, and what it was given."""

    ground: Ground
    first: Envelope = field(init=False)

    async def begin(self) -> "Sending":
        await self.ground.append(self.ground.ours, self.ground.envelope(0))
        (self.first,) = await self.ground.fetch()
        await self.ground.fetch()
        return self

    async def send(self, *lanes: int, **fields: Any) -> list[str]:
        sent = tuple(self.ground.envelope(lane, **fields) for lane in lanes)
        await self.ground.commit(Completed(self.first, Effects(sent=sent)))
        return [each.message_id for each in sent]


async def ids(ground: Ground, *lanes: int, limit: int = 10) -> list[str]:
    return [each.message_id for each in await ground.fetch(*lanes, limit=limit)]


async def _it_comes_without_asking_and_once(ground: Ground) -> None:
    sent = await (await Sending(ground).begin()).send(1, 1, 2)

    assert await ids(ground) == sent
    assert ground.asked == []
    assert await ids(ground) == []
    assert ground.asked == []


async def it_is_what_the_file_would_give(ground: Ground) -> None:
    headers: dict[str, str] = {"tenant": "x"}
    sending = await Sending(ground).begin()
    await sending.send(1, 1, 2, headers=headers, guarded=True, correlation_id="c", causation_id="m", hops=3)
    forwarded = await ground.fetch()
    assert ground.asked == []

    stored = await ground.others.fetch([Cursor(CHANNEL, lane, 0) for lane in range(LANES)], 10)

    assert list(map(asdict, forwarded)) == list(map(asdict, stored.envelopes))


async def _without_headers_it_is_so_too(ground: Ground) -> None:
    await (await Sending(ground).begin()).send(3, 1, headers={})
    forwarded = await ground.fetch()

    stored = await ground.others.fetch([Cursor(CHANNEL, lane, 0) for lane in range(LANES)], 10)

    assert list(map(asdict, forwarded)) == list(map(asdict, stored.envelopes))


async def _what_a_lane_has_no_room_for_comes_later_in_its_turn(ground: Ground) -> None:
    sent = await (await Sending(ground).begin()).send(1, 1, 1, 2)

    found = [await ids(ground, 2), await ids(ground, 1, limit=2), await ids(ground, 1, limit=2)]

    assert found == [sent[3:], sent[:2], sent[2:3]]
    assert ground.asked == []


async def behind_what_was_not_fetched_it_comes_from_the_file(ground: Ground) -> None:
    sending = await Sending(ground).begin()
    many = [ground.envelope(1) for _ in range(20)]
    await ground.append(ground.ours, *many)

    sent = await sending.send(1)

    assert await ids(ground, limit=100) == [*[each.message_id for each in many], *sent]
    assert ground.asked == [1]


async def a_lane_in_which_a_timer_was_set_is_asked(ground: Ground) -> None:
    sent = await (await Sending(ground).begin()).send(1, 1, delay=10)
    ground.clock.advance(timedelta(microseconds=11))

    assert sorted(await ids(ground)) == sorted(sent)
    assert ground.asked


async def what_another_process_stored_before_it_comes_before_it(ground: Ground) -> None:
    sending = await Sending(ground).begin()
    await ground.append(ground.others, theirs := ground.envelope(1))

    sent = await sending.send(1)

    assert await ids(ground) == [theirs.message_id, *sent]


async def _what_another_process_stored_behind_it_comes_behind_it(ground: Ground) -> None:
    sent = await (await Sending(ground).begin()).send(1)
    await ground.append(ground.others, theirs := ground.envelope(1))

    await ground.append(ground.ours, ground.envelope(2))  # tells this process that others have written

    assert [each for each in await ids(ground) + await ids(ground) if each != "m4"] == [*sent, theirs.message_id]


async def a_message_that_stays_has_the_file_asked(ground: Ground) -> None:
    await ground.append(ground.ours, ground.envelope(3))
    (other,) = await ground.fetch()
    sent = await (await Sending(ground).begin()).send(1)

    await ground.commit(RetryAt(envelope=other, delay=10**9))  # it may hold back what waits

    assert await ids(ground) == sent
    assert 1 in ground.asked


async def while_a_key_is_held_back_the_file_is_asked(ground: Ground) -> None:
    await ground.append(ground.ours, ground.envelope(1))
    (other,) = await ground.fetch()
    await ground.commit(RetryAt(envelope=other, delay=10**9))
    sending = await Sending(ground).begin()

    sent = await sending.send(1, 2)

    assert await ids(ground) == sent[1:]  # the first is behind the one that is tried again
    assert {1, 2} <= set(ground.asked)


async def what_is_looked_for_key_by_key_comes_by_no_other_way(ground: Ground) -> None:
    sent = await (await Sending(ground).begin()).send(1)
    sifted = await ground.ours.sift(Sift(CHANNEL, 1, 0, only="k1"), 10)
    assert [each.message_id for each in sifted.envelopes] == sent

    await ground.fetch()

    assert 1 in ground.asked


async def _a_lane_that_is_fetched_from_its_beginning_is_asked(ground: Ground) -> None:
    sent = await (await Sending(ground).begin()).send(1)
    ground.after[1] = -1

    assert await ids(ground) == sent
    assert ground.asked == [1]


async def _who_was_handed_a_publication_hears_of_it_at_once(ground: Ground) -> None:
    sending = await Sending(ground).begin()
    await ground.append(ground.ours, published := ground.envelope(3))
    sent = await sending.send(1)
    await ground.ours.changed(None)

    assert await ids(ground) == [published.message_id]
    await ground.ours.changed(None)
    assert await ids(ground) == sent


async def what_another_worker_fetches_is_not_kept(ground: Ground) -> None:
    sending = await Sending(ground).begin()
    sent = tuple(ground.envelope(1, channel="elsewhere") for _ in range(2))

    await ground.commit(Completed(sending.first, Effects(sent=sent)))

    assert not ground.ours._handing.forwards


@contextmanager
def slow_end_of_a_commit() -> Generator[tuple[threading.Event, threading.Event]]:
    """Of the next commit: set once it has stored all, and what it waits for before it returns."""
    stored, may_end, commit = threading.Event(), threading.Event(), DatabaseFile.commit

    def slow(self: DatabaseFile, connection: Driver) -> None:
        commit(self, connection)
        stored.set()
        may_end.wait(10)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseFile, "commit", slow)
        try:
            yield stored, may_end
        finally:
            may_end.set()


async def what_a_fetch_saw_before_its_commit_had_ended_comes_once(ground: Ground) -> None:
    sending = await Sending(ground).begin()
    with slow_end_of_a_commit() as (stored, may_end):
        sent = asyncio.create_task(sending.send(1))
        await asyncio.to_thread(stored.wait, 10)
        ground.clock.advance(PATIENCE)
        found = await ground.fetch()
        may_end.set()
        assert [each.message_id for each in found] == await sent
    await ground.commit(Completed(found[0], Effects()))

    assert await ids(ground) == []


async def what_a_sift_saw_before_its_commit_had_ended_comes_once(ground: Ground) -> None:
    sending = await Sending(ground).begin()
    with slow_end_of_a_commit() as (stored, may_end):
        sent = asyncio.create_task(sending.send(1))
        await asyncio.to_thread(stored.wait, 10)
        sifted = (await ground.ours.sift(Sift(CHANNEL, 1, 0, only="k1"), 10)).envelopes
        may_end.set()
        assert [each.message_id for each in sifted] == await sent
    await ground.commit(Completed(sifted[0], Effects()))

    assert await ids(ground) == []


async def what_was_published_while_its_lane_was_sifted_is_not_handed_over_as_well(ground: Ground) -> None:
    with slow_end_of_a_commit() as (stored, may_end):
        published = asyncio.create_task(ground.append(ground.ours, ground.envelope(1)))
        await asyncio.to_thread(stored.wait, 10)
        sifted = (await ground.ours.sift(Sift(CHANNEL, 1, 0, only="k1"), 10)).envelopes
        may_end.set()
        await published
    await ground.commit(Completed(sifted[0], Effects()))

    assert await ids(ground) == []


async def where_some_outcomes_are_refused_all_that_was_sent_comes(ground: Ground) -> None:
    await ground.append(ground.ours, *[ground.envelope(lane) for lane in (0, 1, 2, 3)])
    moved, second, gone, last = await ground.fetch()
    await ground.fetch()
    await ground.commit(Completed(gone, Effects()))
    first, other = ground.envelope(3), ground.envelope(1)
    outcomes = [
        Completed(moved, Effects()),
        Completed(second, Effects(sent=(first,))),
        Completed(gone, Effects()),
        Completed(last, Effects(sent=(other,))),
    ]
    epochs = {(CHANNEL, lane): ground.epochs[lane] + (lane == 0) for lane in range(LANES)}

    answers = await ground.ours.commit(Batch(outcomes, ground.routing, epochs))

    verdicts = [Verdict.FENCED, Verdict.COMMITTED, Verdict.GONE, Verdict.COMMITTED]
    assert [answer.verdict for answer in answers] == verdicts
    assert sorted(await ids(ground)) == sorted([first.message_id, other.message_id])


async def _everything_is_looked_at_in_time_however_much_this_process_writes(ground: Ground) -> None:
    await ground.fetch()
    looked = 0
    for _ in range(30):
        ground.clock.advance(timedelta(milliseconds=20))
        await ground.append(ground.ours, ground.envelope(1))
        (published,) = await ground.fetch()
        await ground.commit(Completed(published, Effects()))
        await ground.fetch()
        looked += sorted(ground.asked) == list(range(LANES))

    assert looked >= 1


async def _so_many_wait_at_most(ground: Ground) -> None:
    sending = await Sending(ground).begin()
    for _ in range(3):
        await ground.append(ground.ours, ground.envelope(0))
    more = await ground.fetch() + await ground.fetch()
    forwarding._MOST, before = 2, forwarding._MOST
    try:
        sent = await sending.send(1, 1)
        for each in more[:2]:
            sending.first = each
            sent += await sending.send(1, 2)
    finally:
        forwarding._MOST = before

    found = await ids(ground)

    assert sorted(found) == sorted(sent)
    assert [each for each in found if each in sent[:2]] == sent[:2]
    assert sorted(ground.asked) == [1, 2]


@pytest.mark.parametrize(
    "scene",
    [
        _it_comes_without_asking_and_once,
        it_is_what_the_file_would_give,
        _without_headers_it_is_so_too,
        _what_a_lane_has_no_room_for_comes_later_in_its_turn,
        behind_what_was_not_fetched_it_comes_from_the_file,
        a_lane_in_which_a_timer_was_set_is_asked,
        what_another_process_stored_before_it_comes_before_it,
        _what_another_process_stored_behind_it_comes_behind_it,
        a_message_that_stays_has_the_file_asked,
        while_a_key_is_held_back_the_file_is_asked,
        what_is_looked_for_key_by_key_comes_by_no_other_way,
        _a_lane_that_is_fetched_from_its_beginning_is_asked,
        _who_was_handed_a_publication_hears_of_it_at_once,
        what_another_worker_fetches_is_not_kept,
        what_a_fetch_saw_before_its_commit_had_ended_comes_once,
        what_a_sift_saw_before_its_commit_had_ended_comes_once,
        what_was_published_while_its_lane_was_sifted_is_not_handed_over_as_well,
        where_some_outcomes_are_refused_all_that_was_sent_comes,
        _everything_is_looked_at_in_time_however_much_this_process_writes,
        _so_many_wait_at_most,
    ],
    ids=lambda scene: scene.__name__.strip("_"),
)
def test_what_runs_send(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play(tmp_path, monkeypatch, scene)
