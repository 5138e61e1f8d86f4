"""Fencing all lanes after a restore: in-flight work commits nothing, and nothing is lost."""

from __future__ import annotations

from sagabus.envelope import Cause
from sagabus.outcome import DeadLettered, Marked, RetryAt, Verdict
from sagabus.store import Capability
from sagabus.testing.conformance.trial import (
    BILLING,
    COMMITTED,
    FAILURE,
    MINUTE,
    ORDERS,
    SECOND,
    StoreSuite,
    Trial,
    completed,
    conformance,
    epochs,
)

PAST_THE_LOST = 1_000
"""The lost commits may have changed owners of lanes, or subscriptions, at least this often."""


class FencingConformance(StoreSuite):
    """`fence_all` fences in-flight work, and changes nothing else."""

    @conformance
    async def test_in_flight_work_commits_nothing(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{number}", f"A{number}") for number in range(4)))
        held = epochs(await trial.lease())
        await trial.store.fence_all()

        first, second, third, fourth = stored
        verdicts = await trial.commit(
            completed(first, sent=(trial.envelope("sent", channel=BILLING),)),
            RetryAt(envelope=second, delay=SECOND, holds=True),
            Marked(third),
            DeadLettered(cause=Cause.FAILED, envelope=fourth, reason="out of attempts", failure=FAILURE),
            epochs=held,
        )

        assert verdicts == [Verdict.FENCED] * 4
        assert await trial.stored() == stored
        assert await trial.stored(BILLING) == []
        assert await trial.letters() == []

    @conformance
    async def test_it_is_redelivered_and_then_commits(self, trial: Trial) -> None:
        await trial.accept(*(trial.envelope(f"m{number}", f"A{number}") for number in range(9)))
        await trial.lease()
        everything = await trial.due_ids()
        await trial.store.fence_all()

        again = (await trial.fetch()).envelopes
        assert sorted(each.message_id for each in again) == sorted(everything)
        held = epochs(await trial.lease())
        assert await trial.commit(*map(completed, again), epochs=held) == [COMMITTED] * 9
        assert await trial.stored_ids() == []

    @conformance
    async def test_no_epoch_of_the_lost_commits_comes_again(self, trial: Trial) -> None:
        before = epochs(await trial.lease())
        await trial.store.fence_all()
        after = epochs(await trial.lease())

        assert after.keys() == before.keys()
        assert min(after[place] - before[place] for place in before) >= PAST_THE_LOST

    @conformance
    async def test_no_routing_of_the_lost_commits_comes_again(self, trial: Trial) -> None:
        before = trial.routing
        await trial.store.fence_all()
        trial.routing = await trial.store.routing()

        assert trial.routing.version - before.version >= PAST_THE_LOST
        assert (trial.routing.lanes, trial.routing.subscriptions) == (before.lanes, before.subscriptions)
        assert await trial.store.append([trial.envelope()], before.version) is None
        await trial.accept_one()

    @conformance
    async def test_all_lanes_of_all_channels_are_fenced(self, trial: Trial) -> None:
        channels = [ORDERS, BILLING, "later"]
        before = await trial.store.lease("w1", channels, duration=MINUTE, window=10)

        assert await trial.store.fence_all() == len(before) == 3 * trial.routing.lanes

        after = await trial.store.lease("w1", channels, duration=MINUTE, window=10)
        assert not {(lane.channel, lane.lane, lane.epoch) for lane in before}.intersection(
            (lane.channel, lane.lane, lane.epoch) for lane in after
        )

    @conformance
    async def test_live_workers_keep_their_lanes(self, trial: Trial) -> None:
        """Another distribution would only exchange lanes between live workers."""
        before = await trial.lease("w1")
        await trial.store.fence_all()

        assert await trial.lease("w2") == []
        assert len(await trial.lease("w1")) == len(before) / 2

    @conformance
    async def test_other_workers_learn_of_it(self, trial: Trial) -> None:
        await trial.lease()
        crew = await trial.crew()
        await trial.store.fence_all()

        after = await trial.crew()
        assert crew is not None
        assert after is not None
        assert after - crew >= PAST_THE_LOST

    @conformance
    async def test_what_a_crashed_worker_had_in_flight_stays_suspect(self, trial: Trial) -> None:
        stored = await trial.accept_one("poison")
        await trial.lease("dead", seconds=5)
        trial.wait(20)
        await trial.store.fence_all()
        for _ in range(2):
            (lane,) = [each for each in await trial.lease("heir") if each.lane == stored.lane]
            assert lane.suspect_until == stored.position
            await trial.store.fence_all()

    @conformance
    async def test_what_a_live_worker_had_in_flight_is_not_suspect(self, trial: Trial) -> None:
        await trial.accept_one()
        await trial.lease("alive")
        await trial.store.fence_all()

        assert {lane.suspect_until for lane in await trial.lease("alive")} == {0}

    @conformance
    async def test_scheduled_messages_keep_their_due_times(self, trial: Trial) -> None:
        first, _ = await trial.accept(trial.envelope("m1"), trial.envelope("m2"))
        await trial.accept(trial.timer(after=MINUTE, key="A2"))
        assert await trial.commit(RetryAt(envelope=first, delay=10 * SECOND, holds=True)) == [COMMITTED]
        await trial.store.fence_all()
        assert await trial.due_ids() == []

        trial.wait(11)
        assert await trial.due_ids() == ["m1"]
        trial.wait(50)
        assert await trial.due_ids() == ["m1", "timer-payment-A2"]

    @conformance
    async def test_another_handle_is_fenced_as_well(self, trial: Trial) -> None:
        if not trial.has(Capability.SHARED):
            return
        stored = await trial.accept_one()
        held = epochs(await trial.lease())
        other = await self.same_store(trial.clock)
        await other.open()
        try:
            await other.fence_all()
        finally:
            await other.close()

        assert await trial.commit(completed(stored), epochs=held) == [Verdict.FENCED]
        assert await trial.stored_ids() == ["m1"]
