"""The number of lanes, changed: order and fences hold across the change."""

from __future__ import annotations

import pytest

from sagabus.envelope import Envelope, lane_of
from sagabus.errors import ConfigurationError
from sagabus.outcome import RetryAt, Verdict
from sagabus.store import Batch, Capability, Cursor, Lane, ReplayResult
from sagabus.testing.conformance.trial import (
    BILLING,
    COMMITTED,
    MINUTE,
    ORDERS,
    SECOND,
    SUBSCRIPTIONS,
    StoreSuite,
    Trial,
    completed,
    conformance,
    epochs,
)

KEYS = [f"A{number}" for number in range(40)]


async def filled(trial: Trial) -> list[Envelope]:
    """Two messages for each key, one without, and a timer; in the lanes of the store's present number."""
    envelopes = [trial.envelope(f"{key}-{turn}", key) for turn in (1, 2) for key in KEYS]
    envelopes += [trial.envelope("alone", None, lane=lane_of("alone", trial.routing.lanes)), trial.timer(after=MINUTE)]
    await trial.append(*envelopes)
    return await trial.stored()


async def divided(trial: Trial, lanes: int) -> int:
    """Divide, and address by what is so now; how many envelopes went elsewhere."""
    moved = (await trial.store.divide(lanes)).moved
    trial.routing = await trial.store.routing()
    assert trial.routing.lanes == lanes
    return moved


class DividingConformance(StoreSuite):
    """`divide`: every envelope is in the lane of its key, in order, and no lane keeps its former owner."""

    @conformance
    async def test_every_envelope_goes_to_the_lane_of_its_key_or_id(self, trial: Trial) -> None:
        before = await filled(trial)
        for lanes in (64, 3, 1, 16):
            moved = await divided(trial, lanes)
            after = await trial.stored()

            assert [each.position for each in after] == [each.position for each in before]
            assert [each.lane for each in after] == [lane_of(each.partition_key or "alone", lanes) for each in before]
            assert moved == sum(old.lane != new.lane for old, new in zip(before, after, strict=True))
            before = after

    @conformance
    async def test_the_number_of_envelopes_is_not_bounded(self, trial: Trial) -> None:
        await trial.append(*[trial.envelope(f"m{number}", f"K{number}") for number in range(4100)])

        await divided(trial, 7)

        assert [each.lane for each in await trial.stored()] == [lane_of(f"K{number}", 7) for number in range(4100)]

    @conformance
    async def test_everything_is_fetched_once_and_in_order_afterwards(self, trial: Trial) -> None:
        await filled(trial)
        everything = await trial.due_ids()
        for lanes in (40, 7):
            await divided(trial, lanes)
            assert await trial.due_ids() == everything
            trial.wait(1)

            cursors = [Cursor(ORDERS, lane, 0) for lane in range(lanes, 64)]
            assert (await trial.store.fetch(cursors, 1000)).envelopes == ()

    @conformance
    async def test_the_number_that_there_is_changes_nothing(self, trial: Trial) -> None:
        lanes = await trial.lease()

        divided = await trial.store.divide(trial.routing.lanes)

        assert (divided.before, divided.lanes, divided.moved) == (trial.routing.lanes, trial.routing.lanes, 0)
        assert await trial.store.routing() == trial.routing
        assert epochs(await trial.lease()) == epochs(lanes)

    @conformance
    async def test_a_number_below_one_is_refused(self, trial: Trial) -> None:
        with pytest.raises(ConfigurationError, match="at most 4096 lanes, not 99999999"):
            await trial.store.divide(99_999_999)
        with pytest.raises(ConfigurationError, match="at least one lane, not 0"):
            await trial.store.divide(0)

        assert await trial.store.routing() == trial.routing

    @conformance
    async def test_what_was_addressed_before_is_addressed_again(self, trial: Trial) -> None:
        stale = trial.routing.version
        await divided(trial, 5)

        assert await trial.store.append([trial.envelope()], stale) is None
        assert await trial.stored() == []

    @conformance
    async def test_what_is_in_the_hands_of_a_worker_is_fenced_off(self, trial: Trial) -> None:
        for lanes in (8, 40, 16):
            stored = await trial.accept_one(f"m{lanes}", "A1")
            held = await trial.lease()
            await divided(trial, lanes)

            assert await trial.commit(completed(stored), epochs=epochs(held)) == [Verdict.FENCED]
            assert f"m{lanes}" in await trial.stored_ids()

    @conformance
    async def test_an_epoch_never_comes_again(self, trial: Trial) -> None:
        seen: set[tuple[int, int]] = set()
        for lanes in (4, 20, 4, 20, 1, 20):
            await divided(trial, lanes)
            held = {(lane.lane, lane.epoch) for lane in await trial.lease()}

            assert len(held) == lanes
            assert seen.isdisjoint(held)
            seen |= held

    @conformance
    async def test_workers_share_the_new_lanes(self, trial: Trial) -> None:
        await trial.lease("w1")
        crew = await trial.crew()
        await divided(trial, 10)

        assert await trial.crew() != crew
        await trial.lease("w2")
        first, second = await trial.lease("w1"), await trial.lease("w2")
        assert sorted(lane.lane for lane in [*first, *second]) == list(range(10))
        assert len(first) == len(second) == 5

    @conformance
    async def test_a_lane_is_given_back_by_its_owner_of_now_only(self, trial: Trial) -> None:
        old = await trial.lease("w1")
        await divided(trial, 8)
        new = await trial.lease("w2")

        await trial.store.release("w1", old)

        assert epochs(await trial.lease("w2")) == epochs(new)

    @conformance
    async def test_what_a_crashed_worker_had_in_flight_stays_suspect_after_dividing(self, trial: Trial) -> None:
        stored = await trial.accept_one("poison", "A1")
        await trial.lease("dead", seconds=5)
        trial.wait(20)
        later = await trial.accept_one("later", "A1")
        await divided(trial, 7)

        (lane,) = [each for each in await trial.lease("w2") if each.lane == lane_of("A1", 7)]
        assert lane.suspect_until >= stored.position
        assert later.position > stored.position

    @conformance
    async def test_what_a_live_worker_had_in_flight_is_not_suspect_after_dividing(self, trial: Trial) -> None:
        await trial.accept_one("m1", "A1")
        await trial.lease("living")
        await divided(trial, 7)

        assert {lane.suspect_until for lane in await trial.lease("living")} == {0}

    @conformance
    async def test_a_key_that_waits_for_a_retry_still_waits(self, trial: Trial) -> None:
        first, second = await trial.accept(trial.envelope("m1"), trial.envelope("m2"))
        assert await trial.commit(RetryAt(envelope=first, delay=10 * SECOND, holds=True)) == [COMMITTED]
        await divided(trial, 5)
        assert await trial.due_ids() == []
        trial.wait(11)

        assert await trial.due_ids() == ["m1"]
        assert await trial.commit(completed((await trial.stored())[0])) == [COMMITTED]
        assert await trial.due_ids() == [second.message_id]

    @conformance
    async def test_a_dead_letter_of_before_comes_back_into_the_lane_of_its_key(self, trial: Trial) -> None:
        letter = await trial.bury("m1", "A3")
        await divided(trial, 5)

        assert await trial.store.replay(letter.id) is ReplayResult.DONE

        assert [each.lane for each in await trial.stored()] == [lane_of("A3", 5)]
        assert await trial.due_ids() == ["m1"]

    @conformance
    async def test_a_timer_is_replaced_and_cancelled_as_before(self, trial: Trial) -> None:
        await trial.accept(trial.timer(after=MINUTE))
        await divided(trial, 6)
        await trial.append(trial.timer(after=2 * MINUTE, message_id="again"))
        trial.wait(90)
        assert await trial.due_ids() == []

        trial.wait(60)
        assert await trial.due_ids() == ["again"]

    @conformance
    async def test_a_channel_that_comes_later_has_the_new_number(self, trial: Trial) -> None:
        await divided(trial, 6)

        lanes: list[Lane] = list(await trial.store.lease("w1", ["later", BILLING], duration=MINUTE, window=10))

        assert sorted({lane.lane for lane in lanes if lane.channel == "later"}) == list(range(6))
        assert len(lanes) == 12

    @conformance
    async def test_another_handle_that_was_made_with_another_number_follows(self, trial: Trial) -> None:
        if not trial.has(Capability.SHARED):
            return
        await divided(trial, 6)
        other = await self.same_store(trial.clock)
        await other.open()
        try:
            routing = await other.register(SUBSCRIPTIONS)
            lanes = await other.lease("w1", [ORDERS], duration=MINUTE, window=10)

            assert routing == trial.routing
            assert len(lanes) == 6
            assert await other.commit(Batch([], routing.version, epochs(lanes))) == []
        finally:
            await other.close()
