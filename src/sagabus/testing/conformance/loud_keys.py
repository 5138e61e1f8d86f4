"""Loud keys: a lane is fetched past them, each of them by itself, and after a death that is what is suspect."""

from __future__ import annotations

import msgspec

from sagabus.outcome import RetryAt
from sagabus.store import Fetched, Lane
from sagabus.store.loud import MOST_LOUD, Loud, Sift
from sagabus.testing.conformance.trial import (
    FAILURE,
    MINUTE,
    ORDERS,
    SECOND,
    StoreSuite,
    Trial,
    conformance,
)


class LoudKeyConformance(StoreSuite):
    """`sift` and `note_loud`."""

    @conformance
    async def test_a_lane_is_fetched_past_loud_keys_and_says_how_far(self, trial: Trial) -> None:
        await trial.accept(
            *(trial.envelope(f"loud{i}", "A1", lane=0) for i in range(5)),
            trial.envelope("m1", "B2", lane=0),
            trial.envelope("other", "D4", lane=0),
            trial.envelope("m2", None, lane=0),
            trial.envelope("elsewhere", "B2", lane=1),
            trial.envelope("m3", "C3", lane=0),
        )
        *_, last = [each for each in await trial.stored() if each.lane == 0]
        sift = Sift(ORDERS, 0, 0, without=("A1", "D4"))

        first = await trial.store.sift(sift, 2)
        rest = await trial.store.sift(msgspec.structs.replace(sift, after=first.envelopes[-1].position), 2)

        assert ids(first) == ["m1", "m2"]
        assert ids(rest) == ["m3"]
        assert rest.reached >= last.position

    @conformance
    async def test_where_nothing_but_loud_keys_stands_a_sift_reaches_the_end(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}", "A1", lane=0) for i in range(5)))

        fetched = await trial.store.sift(Sift(ORDERS, 0, 0, without=("A1",)), 2)

        assert ids(fetched) == []
        assert fetched.reached >= stored[-1].position
        await trial.accept(trial.envelope("new", "B2", lane=0))
        assert ids(await trial.store.sift(Sift(ORDERS, 0, fetched.reached, without=("A1",)), 2)) == ["new"]

    @conformance
    async def test_as_many_keys_as_may_be_are_passed_over(self, trial: Trial) -> None:
        keys = tuple(f"k{i}'\"\\%_ 🐘" for i in range(MOST_LOUD))
        await trial.accept(
            *(trial.envelope(f"m{i}", key, lane=0) for i, key in enumerate(keys)), trial.envelope("quiet", "q", lane=0)
        )

        assert ids(await trial.store.sift(Sift(ORDERS, 0, 0, without=keys), 100)) == ["quiet"]
        assert ids(await trial.store.sift(Sift(ORDERS, 0, 0, only=keys[3]), 100)) == ["m3"]

    @conformance
    async def test_keys_that_look_alike_are_passed_over_one_by_one(self, trial: Trial) -> None:
        keys = ("k", "K", "k ", "ķ", "1", "01")
        await trial.accept(*(trial.envelope(f"m{i}", key, lane=0) for i, key in enumerate(keys)))

        assert ids(await trial.store.sift(Sift(ORDERS, 0, 0, without=("k", "1")), 100)) == ["m1", "m2", "m3", "m5"]
        assert ids(await trial.store.sift(Sift(ORDERS, 0, 0, only="k"), 100)) == ["m0"]

    @conformance
    async def test_one_key_comes_alone_in_order_and_bounded(self, trial: Trial) -> None:
        for i in range(7):
            await trial.accept(trial.envelope(f"m{i}", "A1", lane=0), trial.envelope(f"other{i}", "B2", lane=0))
        seen: list[str] = []
        after = 0

        for _ in range(4):
            found = (await trial.store.sift(Sift(ORDERS, 0, after, only="A1"), 3)).envelopes
            assert len(found) <= 3
            seen += [each.message_id for each in found]
            after = max([after, *(each.position for each in found)])

        assert seen == [f"m{i}" for i in range(7)]

    @conformance
    async def test_what_is_scheduled_comes_past_loud_keys_whatever_its_own(self, trial: Trial) -> None:
        await trial.accept(
            trial.envelope("due", "A1", lane=0, delay=SECOND),
            trial.envelope("later", "A1", lane=0, delay=2 * MINUTE),
            trial.envelope("m1", "A1", lane=0),
        )
        trial.wait(60)

        past = await trial.store.sift(Sift(ORDERS, 0, 0, without=("A1",)), 10)
        alone = await trial.store.sift(Sift(ORDERS, 0, 0, only="A1"), 10)

        assert (ids(past), past.next_due_in) == (["due"], MINUTE)
        assert (ids(alone), alone.next_due_in) == (["m1"], None)

    @conformance
    async def test_a_key_that_is_held_back_does_not_come_either_way(self, trial: Trial) -> None:
        first, *_ = await trial.accept(*(trial.envelope(f"m{i}", "A1", lane=0) for i in range(3)))
        await trial.commit(RetryAt(envelope=first, delay=MINUTE, failure=FAILURE))

        assert ids(await trial.store.sift(Sift(ORDERS, 0, 0, only="A1"), 10)) == []
        assert ids(await trial.store.sift(Sift(ORDERS, 0, 0, without=("B2",)), 10)) == []

    @conformance
    async def test_a_window_of_each_loud_key_and_one_of_all_others_is_suspect(self, trial: Trial) -> None:
        loud = await trial.accept(*(trial.envelope(f"loud{i}", "A1", lane=0) for i in range(5)))
        quiet = await trial.accept(*(trial.envelope(f"m{i}", f"q{i}", lane=0) for i in range(5)))
        assert await note(trial, await lane_of(trial), "A1", "none")
        trial.wait(31)

        taken = await lane_of(trial, "w2")

        suspects = [each.message_id for each in [*loud, *quiet] if taken.is_suspect(each.partition_key, each.position)]
        assert suspects == ["loud0", "loud1", "loud2", "m0", "m1", "m2"]

    @conformance
    async def test_only_the_owner_as_it_is_now_may_note_loud_keys(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}", "A1", lane=0) for i in range(5)))
        lane = await lane_of(trial)

        assert not await note(trial, lane, "A1", worker="w2")
        assert not await note(trial, msgspec.structs.replace(lane, epoch=lane.epoch + 1), "A1")

        trial.wait(31)
        taken = await lane_of(trial, "w2")
        assert (taken.suspect_until, dict(taken.suspect_keys)) == (stored[2].position, {})

    @conformance
    async def test_loud_keys_are_forgotten_when_a_lane_changes_hands(self, trial: Trial) -> None:
        await trial.accept(*(trial.envelope(f"m{i}", "A1", lane=0) for i in range(5)))
        assert await note(trial, await lane_of(trial), "A1")
        await trial.store.release("w1")
        await lane_of(trial, "w2")
        trial.wait(31)

        assert dict((await lane_of(trial, "w3")).suspect_keys) == {}

    @conformance
    async def test_what_was_suspect_stays_so_whatever_is_loud_at_the_next_death(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}", "A1" if i < 4 else f"q{i}", lane=0) for i in range(8)))
        await trial.lease("w1", window=5)
        trial.wait(31)
        assert await note(trial, await lane_of(trial, "w2", window=1), "A1", worker="w2")
        trial.wait(31)

        taken = await lane_of(trial, "w3")

        suspects = [each.message_id for each in stored if taken.is_suspect(each.partition_key, each.position)]
        assert suspects == ["m0", "m1", "m2", "m3", "m4"]

    @conformance
    async def test_suspects_of_loud_keys_stay_suspect_when_the_number_of_lanes_changes(self, trial: Trial) -> None:
        await trial.accept(*(trial.envelope(f"loud{i}", "A1", lane=0) for i in range(5)))
        await trial.accept(trial.envelope("quiet", "B2", lane=0))
        assert await note(trial, await lane_of(trial), "A1")
        trial.wait(31)

        await trial.store.divide(3)

        lanes = {lane.lane: lane for lane in await trial.lease("w2")}
        suspects = [e.message_id for e in await trial.stored() if lanes[e.lane].is_suspect(e.partition_key, e.position)]
        assert suspects == ["loud0", "loud1", "loud2", "quiet"]


def ids(fetched: Fetched) -> list[str]:
    """What came, in order."""
    return [each.message_id for each in fetched.envelopes]


async def lane_of(trial: Trial, worker: str = "w1", *, window: int = 3) -> Lane:
    """Lane 0, in the hands of a worker."""
    return next(lane for lane in await trial.lease(worker, window=window) if lane.lane == 0)


async def note(trial: Trial, lane: Lane, *keys: str, worker: str = "w1") -> bool:
    """Note loud keys of a lane."""
    return await trial.store.note_loud(worker, [Loud(lane.channel, lane.lane, lane.epoch, keys)])
