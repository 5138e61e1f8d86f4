"""Who owns which lanes: shared evenly, taken over from the dead, fenced by epochs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sagabus.outcome import Verdict
from sagabus.store import Lane
from sagabus.testing.conformance.trial import (
    BILLING,
    COMMITTED,
    MINUTE,
    ORDERS,
    StoreSuite,
    Trial,
    completed,
    conformance,
    epochs,
)


def numbers(lanes: Sequence[Lane]) -> set[int]:
    """The lanes' numbers."""
    return {lane.lane for lane in lanes}


class LeasingConformance(StoreSuite):
    """`lease` and `release`: one owner per lane, even shares, no lane without an owner for long."""

    @conformance
    async def test_a_worker_alone_owns_every_lane(self, trial: Trial) -> None:
        lanes = await trial.lease()

        assert sorted(lane.lane for lane in lanes) == list(range(trial.routing.lanes))
        assert {lane.channel for lane in lanes} == {ORDERS}

    @conformance
    async def test_channels_are_shared_each_for_itself(self, trial: Trial) -> None:
        both = await trial.store.lease("w1", [ORDERS, BILLING], duration=MINUTE, window=10)
        await trial.store.lease("w2", [BILLING], duration=MINUTE, window=10)
        after = await trial.store.lease("w1", [ORDERS, BILLING], duration=MINUTE, window=10)

        assert len(both) == 2 * trial.routing.lanes
        assert len(numbers([lane for lane in after if lane.channel == ORDERS])) == trial.routing.lanes
        assert len([lane for lane in after if lane.channel == BILLING]) == -(-trial.routing.lanes // 2)

    @conformance
    async def test_a_channel_without_a_subscription_can_be_leased(self, trial: Trial) -> None:
        lanes = await trial.store.lease("w1", ["to-broker"], duration=MINUTE, window=10)

        assert numbers(lanes) == set(range(trial.routing.lanes))

    @conformance
    async def test_a_patient_worker_takes_no_ended_lease(self, trial: Trial) -> None:
        await trial.lease("w1")
        await trial.lease("w2")
        before = [await trial.lease("w1"), await trial.lease("w2")]
        trial.wait(31)

        after = [await trial.lease("w1", patient=True), await trial.lease("w2", patient=True)]

        assert list(map(epochs, after)) == list(map(epochs, before))
        assert {lane.suspect_until for lanes in after for lane in lanes} == {0}

    @conformance
    async def test_a_patient_worker_takes_lanes_without_an_owner(self, trial: Trial) -> None:
        for worker in ("w1", "w2", "w1", "w2"):
            await trial.lease(worker)
        await trial.store.release("w1")
        trial.wait(31)

        assert len(await trial.lease("w3", patient=True)) == trial.routing.lanes // 2
        assert len(await trial.lease("w3")) == trial.routing.lanes

    @conformance
    async def test_renewing_keeps_lanes_and_epochs(self, trial: Trial) -> None:
        before = await trial.lease()
        trial.wait(20)

        assert epochs(await trial.lease()) == epochs(before)

        trial.wait(20)
        assert await trial.lease("w2") == []

    @conformance
    async def test_a_newcomer_gets_its_share_as_soon_as_it_is_given_up(self, trial: Trial) -> None:
        await trial.lease("w1")
        assert await trial.lease("w2") == []

        first, second = await trial.lease("w1"), await trial.lease("w2")

        assert len(first) + len(second) == trial.routing.lanes
        assert len(first) == -(-trial.routing.lanes // 2)
        assert numbers(first).isdisjoint(numbers(second))

    @conformance
    async def test_any_number_of_workers_share_all_lanes_and_never_one_twice(self, trial: Trial) -> None:
        for workers in (3, 5, trial.routing.lanes, trial.routing.lanes + 4):
            names = [f"w{i}" for i in range(workers)]
            for _ in range(2):
                for name in names:
                    await trial.lease(name)

            owned = [lane.lane for name in names for lane in await trial.lease(name)]

            assert sorted(owned) == list(range(trial.routing.lanes)), workers

    @conformance
    async def test_no_worker_owns_more_than_its_share(self, trial: Trial) -> None:
        sizes: list[int] = []
        for _ in range(3):
            sizes = [len(await trial.lease(f"w{i}")) for i in range(3)]

        assert max(sizes) <= -(-trial.routing.lanes // 3)

    @conformance
    async def test_shares_differ_by_one_lane_at_most(self, trial: Trial) -> None:
        for workers in (3, 5, 7, trial.routing.lanes - 1):
            sizes: list[int] = []
            for _ in range(3):
                sizes = [len(await trial.lease(f"w{i}")) for i in range(workers)]

            assert sum(sizes) == trial.routing.lanes, workers
            assert max(sizes) - min(sizes) <= 1, workers

    @conformance
    async def test_no_worker_is_left_without_lanes_in_every_channel(self, trial: Trial) -> None:
        channels = [f"c{i}" for i in range(12)]
        workers = [f"w{i}" for i in range(trial.routing.lanes + 1)]
        sizes: list[int] = []
        for _ in range(2):
            sizes = [len(await trial.store.lease(name, channels, duration=MINUTE, window=10)) for name in workers]

        assert sum(sizes) == 12 * trial.routing.lanes
        assert min(sizes) > 0

    @conformance
    async def test_fetches_tell_when_workers_come_and_lanes_are_left_to_others(self, trial: Trial) -> None:
        await trial.lease("w1")
        alone = await trial.crew()
        await trial.lease("w2")
        newcomer = await trial.crew()
        await trial.lease("w1")
        shed = await trial.crew()
        await trial.lease("w2")

        assert len({alone, newcomer, shed}) == 3
        assert await trial.crew() == shed

    @conformance
    async def test_fetches_tell_when_workers_go_or_give_lanes_back(self, trial: Trial) -> None:
        seen: list[int | None] = []
        lanes = await trial.lease("w1")
        await trial.lease("w2")
        seen.append(await trial.crew())
        await trial.store.release("w1", lanes[:1])
        seen.append(await trial.crew())
        await trial.leave("w1", lanes[1:2])
        seen.append(await trial.crew())
        await trial.store.release("w1")
        seen.append(await trial.crew())

        assert len(set(seen)) == 4

    @conformance
    async def test_fetches_tell_when_a_lease_has_ended(self, trial: Trial) -> None:
        await trial.lease("w1", seconds=30)
        await trial.lease("w2", seconds=60)
        before = await trial.crew()
        trial.wait(31)
        dead = await trial.crew()
        await trial.lease("w2", seconds=60)
        await trial.lease("w2", seconds=60)

        assert len({before, dead, await trial.crew()}) == 3

    @conformance
    async def test_fetches_tell_nothing_new_while_all_renew(self, trial: Trial) -> None:
        for name in ("w1", "w2", "w1", "w2"):
            await trial.lease(name)
        before = await trial.crew()
        trial.wait(10)
        for name in ("w1", "w2"):
            await trial.lease(name)

        assert await trial.crew() == before

    @conformance
    async def test_a_lease_lasts_its_duration(self, trial: Trial) -> None:
        await trial.lease("w1", seconds=30)
        trial.wait(29)

        assert await trial.lease("w2", seconds=30) == []

    @conformance
    async def test_the_lanes_of_a_dead_worker_go_to_the_live_ones(self, trial: Trial) -> None:
        before = await trial.lease("w1", seconds=30)
        trial.wait(31)

        after = await trial.lease("w2", seconds=30)

        assert numbers(after) == numbers(before)
        assert {lane.epoch - epochs(before)[ORDERS, lane.lane] for lane in after} == {1}

    @conformance
    async def test_the_dead_do_not_count_when_lanes_are_shared(self, trial: Trial) -> None:
        await trial.lease("w1", seconds=30)
        await trial.lease("w2", seconds=30)
        trial.wait(31)

        assert len(await trial.lease("w2", seconds=30)) == trial.routing.lanes

    @conformance
    async def test_a_worker_that_was_thought_dead_does_not_get_its_lanes_back(self, trial: Trial) -> None:
        await trial.lease("w1", seconds=30)
        trial.wait(31)
        taken = await trial.lease("w2", seconds=30)

        late = await trial.lease("w1", seconds=30)

        assert numbers(taken) == set(range(trial.routing.lanes))
        assert late == []

    @conformance
    async def test_a_late_renewal_without_a_rival_keeps_the_epoch(self, trial: Trial) -> None:
        before = await trial.lease("w1", seconds=30)
        trial.wait(300)

        assert epochs(await trial.lease("w1", seconds=30)) == epochs(before)

    @conformance
    async def test_released_lanes_are_free_at_once(self, trial: Trial) -> None:
        lanes = await trial.lease("w1")
        await trial.lease("w2")

        await trial.store.release("w1", lanes[:3])

        assert numbers(await trial.lease("w2")) == numbers(lanes[:3])

    @conformance
    async def test_a_worker_that_releases_everything_is_no_longer_counted(self, trial: Trial) -> None:
        await trial.lease("w1")
        await trial.lease("w2")

        await trial.store.release("w1")

        assert len(await trial.lease("w2")) == trial.routing.lanes

    @conformance
    async def test_who_leaves_keeps_what_it_names_and_counts_no_more(self, trial: Trial) -> None:
        lanes = await trial.lease("w1")
        await trial.lease("w2")

        await trial.leave("w1", lanes[:2])

        assert numbers(await trial.lease("w2")) == numbers(lanes[2:])
        await trial.store.release("w1")
        assert numbers(await trial.lease("w2")) == numbers(lanes)

    @conformance
    async def test_what_is_kept_by_who_leaves_is_renewed_and_its_commits_count(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        lanes = await trial.lease("w1", seconds=30)
        kept = [lane for lane in lanes if lane.lane == stored.lane]
        for _ in range(3):
            trial.wait(20)
            await trial.leave("w1", kept, seconds=30)
            assert numbers(await trial.lease("w2", seconds=30)) == numbers(lanes) - {stored.lane}

        assert await trial.commit(completed(stored), epochs=epochs(kept)) == [COMMITTED]

    @conformance
    async def test_who_leaves_cannot_keep_what_others_have_taken_over(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        old = await trial.lease("w1", seconds=30)
        trial.wait(31)
        new = await trial.lease("w2", seconds=30)

        await trial.leave("w1", old)

        assert epochs(await trial.lease("w2", seconds=30)) == epochs(new)
        assert await trial.commit(completed(stored), epochs=epochs(old)) == [Verdict.FENCED]

    @conformance
    async def test_releasing_what_others_own_changes_nothing(self, trial: Trial) -> None:
        lanes = await trial.lease("w1")

        await trial.store.release("w2", lanes)
        await trial.store.release("w2")

        assert await trial.lease("w3") == []
        assert epochs(await trial.lease("w1")).items() <= epochs(lanes).items()

    @conformance
    async def test_releasing_twice_is_harmless(self, trial: Trial) -> None:
        lanes = await trial.lease("w1")
        await trial.store.release("w1", lanes)
        await trial.store.release("w1", lanes)
        await trial.store.release("w1")
        await trial.store.release("w1")

        assert len(await trial.lease("w2")) == trial.routing.lanes

    @conformance
    async def test_each_change_of_hands_raises_the_epoch(self, trial: Trial) -> None:
        seen: list[int] = []
        for worker in ("w1", "w2", "w1", "w1"):
            seen.append(epochs(await trial.lease(worker))[ORDERS, 0])
            await trial.store.release(worker)

        assert seen == sorted(set(seen))

    @conformance
    async def test_a_clock_set_back_makes_no_lease_immortal(self, trial: Trial) -> None:
        await trial.lease("w1", seconds=30)
        trial.clock.jump(-timedelta(days=365))

        assert len(await trial.lease("w2", seconds=30)) == trial.routing.lanes

    @conformance
    async def test_a_clock_set_back_a_little_ends_no_lease(self, trial: Trial) -> None:
        await trial.lease("w1", seconds=30)
        trial.clock.jump(-timedelta(seconds=5))

        assert await trial.lease("w2", seconds=30) == []

    @conformance
    async def test_a_clock_set_forward_only_changes_owners(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        old = await trial.lease("w1", seconds=30)
        trial.clock.jump(timedelta(days=8))
        new = await trial.lease("w2", seconds=30)

        assert await trial.commit(completed(stored), epochs=epochs(old)) == [Verdict.FENCED]
        assert await trial.commit(completed(stored), epochs=epochs(new)) == [COMMITTED]
