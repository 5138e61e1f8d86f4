"""Take-over: the store fences the former owner of a lane, and marks what it may have had in flight."""

from __future__ import annotations

from sagabus.envelope import Cause
from sagabus.outcome import DeadLettered, Verdict
from sagabus.testing.conformance.trial import (
    COMMITTED,
    MINUTE,
    ORDERS,
    SECOND,
    StoreSuite,
    Trial,
    completed,
    conformance,
    epochs,
)


class SuspicionConformance(StoreSuite):
    """Take-over: the store fences the former owner, and marks what it may have had in flight."""

    @conformance
    async def test_the_owner_may_commit(self, trial: Trial) -> None:
        stored = await trial.accept_one()

        assert await trial.commit(completed(stored), epochs=epochs(await trial.lease())) == [COMMITTED]

    @conformance
    async def test_a_commit_of_the_former_owner_is_fenced_off(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        old = await trial.lease("w1", seconds=30)
        trial.wait(31)
        await trial.lease("w2", seconds=30)

        assert await trial.commit(completed(stored, sent=(stored,)), epochs=epochs(old)) == [Verdict.FENCED]
        assert await trial.stored_ids() == ["m1"]

    @conformance
    async def test_an_ended_lease_that_was_not_taken_over_is_not_fenced(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        lanes = await trial.lease("w1", seconds=30)
        trial.wait(300)

        assert await trial.commit(completed(stored), epochs=epochs(lanes)) == [COMMITTED]

    @conformance
    async def test_a_fence_costs_only_the_lanes_behind_it(self, trial: Trial) -> None:
        ours, theirs = await trial.accept(trial.envelope("m1", None, lane=0), trial.envelope("m2", None, lane=1))
        held = epochs(await trial.lease("w1"))

        verdicts = await trial.commit(
            completed(ours), completed(theirs), epochs=held | {(ORDERS, 1): held[ORDERS, 1] - 1}
        )

        assert verdicts == [COMMITTED, Verdict.FENCED]

    @conformance
    async def test_a_window_of_the_lane_is_suspect_after_a_take_over(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}", None, lane=0) for i in range(5)))
        await trial.lease("w1", seconds=30, window=3)
        trial.wait(31)

        lanes = {lane.lane: lane for lane in await trial.lease("w2", seconds=30, window=100)}

        assert lanes[0].suspect_until == stored[2].position
        assert lanes[1].suspect_until == 0

    @conformance
    async def test_a_short_lane_is_suspect_to_its_end(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}", None, lane=0) for i in range(2)))
        await trial.lease("w1", seconds=30, window=3)
        trial.wait(31)

        assert (await trial.lease("w2"))[0].suspect_until == stored[1].position

    @conformance
    async def test_what_was_due_by_schedule_is_suspect_whatever_the_window(self, trial: Trial) -> None:
        await trial.accept(*(trial.envelope(f"m{i}", None, lane=0) for i in range(3)))
        due, _ = await trial.accept(
            trial.envelope("due", None, lane=0, delay=SECOND), trial.envelope("not due", None, lane=0, delay=MINUTE)
        )
        await trial.lease("w1", seconds=30, window=1)
        trial.wait(31)

        assert (await trial.lease("w2"))[0].suspect_until == due.position

    @conformance
    async def test_held_envelopes_do_not_hide_the_suspects_behind_them(self, trial: Trial) -> None:
        """A worker is never handed what is held back, so its window reached further."""
        parked = await trial.accept_one("parked", "A1", lane=0)
        await trial.accept(*(trial.envelope(f"held{i}", "A1", lane=0) for i in range(3)))
        stored = await trial.accept(*(trial.envelope(f"m{i}", None, lane=0) for i in range(3)))
        await trial.commit(DeadLettered(cause=Cause.FAILED, envelope=parked, reason="no", parks=True))
        await trial.lease("w1", seconds=30, window=2)
        trial.wait(31)

        assert (await trial.lease("w2"))[0].suspect_until >= stored[1].position

    @conformance
    async def test_nothing_is_suspect_after_a_release(self, trial: Trial) -> None:
        await trial.accept_one(key=None)
        await trial.lease("w1")
        await trial.store.release("w1")

        assert {lane.suspect_until for lane in await trial.lease("w2")} == {0}

    @conformance
    async def test_suspicion_outlives_a_second_take_over_and_a_release(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}", None, lane=0) for i in range(5)))
        await trial.lease("w1", seconds=30, window=4)
        trial.wait(31)
        await trial.lease("w2", seconds=30, window=1)
        trial.wait(31)
        await trial.lease("w3", seconds=30, window=1)
        await trial.store.release("w3")

        assert (await trial.lease("w4"))[0].suspect_until == stored[3].position
