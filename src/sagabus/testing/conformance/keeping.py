"""Leases that a thread renews: kept as they are, and never a lane more."""

from __future__ import annotations

import asyncio

from sagabus.outcome import Verdict
from sagabus.testing.conformance.leasing import numbers
from sagabus.testing.conformance.trial import (
    BILLING,
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


async def keep(trial: Trial, worker: str = "w1", *, seconds: int = 30) -> None:
    """Renew from another thread, as a worker does whose event loop is blocked."""
    keeper = trial.store.keeper()
    try:
        await asyncio.to_thread(keeper.renew, worker, duration=seconds * SECOND, within=10.0)
    finally:
        await asyncio.to_thread(keeper.close)


class KeepingConformance(StoreSuite):
    """`keeper`: a blocked event loop costs no lanes, and a renewal by the thread gives none."""

    @conformance
    async def test_what_a_keeper_renews_is_not_taken_over(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        lanes = await trial.lease("w1", seconds=30)
        for _ in range(3):
            trial.wait(20)
            await keep(trial)
        trial.wait(20)

        assert await trial.lease("w2", seconds=30) == []
        assert await trial.commit(completed(stored), epochs=epochs(lanes)) == [COMMITTED]

    @conformance
    async def test_a_keeper_renews_every_channel_of_its_worker(self, trial: Trial) -> None:
        await trial.store.lease("w1", [ORDERS, BILLING], duration=MINUTE, window=10)
        trial.wait(50)
        await keep(trial, seconds=60)
        trial.wait(50)

        assert await trial.store.lease("w2", [ORDERS, BILLING], duration=MINUTE, window=10) == []

    @conformance
    async def test_a_lease_that_a_keeper_renewed_lasts_its_duration_and_no_longer(self, trial: Trial) -> None:
        before = await trial.lease("w1", seconds=30)
        trial.wait(20)
        await keep(trial)
        trial.wait(31)

        assert numbers(await trial.lease("w2", seconds=30)) == numbers(before)

    @conformance
    async def test_a_keeper_changes_no_epoch_and_no_crew(self, trial: Trial) -> None:
        await trial.lease("w1")
        await trial.lease("w2")
        before, crew = [await trial.lease("w1"), await trial.lease("w2")], await trial.crew()
        await keep(trial)
        await keep(trial)

        assert await trial.crew() == crew
        assert [epochs(await trial.lease(name)) for name in ("w1", "w2")] == list(map(epochs, before))

    @conformance
    async def test_a_keeper_takes_no_lane_that_is_free(self, trial: Trial) -> None:
        lanes = await trial.lease("w1")
        await trial.store.release("w1", lanes[:3])
        await trial.lease("w2")
        await keep(trial)

        assert numbers(await trial.lease("w2")) >= numbers(lanes[:3])

    @conformance
    async def test_a_keeper_brings_back_nothing_that_others_have_taken_over(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        old = await trial.lease("w1", seconds=30)
        trial.wait(31)
        new = await trial.lease("w2", seconds=30)
        await keep(trial)

        assert epochs(await trial.lease("w2", seconds=30)) == epochs(new)
        assert await trial.commit(completed(stored), epochs=epochs(old)) == [Verdict.FENCED]

    @conformance
    async def test_a_keeper_brings_no_worker_back_that_has_released_everything(self, trial: Trial) -> None:
        lanes = await trial.lease("w1")
        await trial.store.release("w1")
        await keep(trial)

        assert numbers(await trial.lease("w2")) == numbers(lanes)

    @conformance
    async def test_what_is_kept_by_who_leaves_is_renewed_by_its_keeper(self, trial: Trial) -> None:
        lanes = await trial.lease("w1", seconds=30)
        await trial.leave("w1", lanes[:2], seconds=30)
        trial.wait(20)
        await keep(trial)
        trial.wait(20)

        assert numbers(await trial.lease("w2", seconds=30)) == numbers(lanes[2:])

    @conformance
    async def test_a_keeper_leaves_the_window_as_it_is(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}", None, lane=0) for i in range(5)))
        await trial.lease("w1", seconds=30, window=3)
        await keep(trial)
        trial.wait(31)

        lanes = {lane.lane: lane for lane in await trial.lease("w2", seconds=30, window=100)}

        assert lanes[0].suspect_until == stored[2].position

    @conformance
    async def test_closing_a_keeper_twice_or_unused_is_harmless(self, trial: Trial) -> None:
        before = await trial.lease("w1")
        keeper = trial.store.keeper()
        keeper.close()
        keeper.close()

        assert epochs(await trial.lease("w1")) == epochs(before)
