"""Many at once: whichever comes first, the effect is one."""

from __future__ import annotations

import asyncio

from sagabus.outcome import Admission, Verdict
from sagabus.store import Batch, Capability, ReplayResult, Store
from sagabus.testing.conformance.trial import (
    COMMITTED,
    ORDERS,
    SECOND,
    StoreSuite,
    Trial,
    claim,
    completed,
    conformance,
    epochs,
    save,
)


class RaceConformance(StoreSuite):
    """Concurrent calls on one store, and on several handles of it where it can be shared."""

    async def handles(self, trial: Trial, number: int = 4) -> list[Store]:
        """So many handles as a store of this kind has: one, unless it can be shared."""
        handles = [trial.store]
        if trial.has(Capability.SHARED):
            for _ in range(number - 1):
                handles.append(await self.same_store(trial.clock))
                await handles[-1].open()
        return handles

    @staticmethod
    async def close(handles: list[Store]) -> None:
        """Close all but the first, which is on trial."""
        for handle in handles[1:]:
            await handle.close()

    @conformance
    async def test_of_64_concurrent_appends_of_one_id_one_is_accepted(self, trial: Trial) -> None:
        handles = await self.handles(trial)
        copies = (handles[i % len(handles)].append([trial.envelope()], trial.routing.version) for i in range(64))

        answers = [answer for each in await asyncio.gather(*copies) for answer in each or ()]

        await self.close(handles)
        assert sorted(answer.value for answer in answers) == ["accepted"] + ["duplicate"] * 63
        assert await trial.stored_ids() == ["m1"]

    @conformance
    async def test_of_concurrent_appends_with_other_content_one_is_accepted(self, trial: Trial) -> None:
        handles = await self.handles(trial)
        rivals = (
            handles[i % len(handles)].append([trial.envelope(body=b"%d" % (i % 2))], trial.routing.version)
            for i in range(16)
        )

        answers = [answer for each in await asyncio.gather(*rivals) for answer in each or ()]

        await self.close(handles)
        assert [answers.count(each) for each in (Admission.ACCEPTED, Admission.DUPLICATE, Admission.COLLISION)] == [
            1,
            7,
            8,
        ]
        assert len(await trial.letters()) == 1

    @conformance
    async def test_of_concurrent_commits_of_one_envelope_one_commits(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        handles = await self.handles(trial)
        runs = (
            handles[i % len(handles)].commit(
                Batch([completed(stored, save=save(), sent=(trial.envelope("s1"),))], trial.routing.version, {})
            )
            for i in range(16)
        )

        verdicts = [answer.verdict for each in await asyncio.gather(*runs) for answer in each]

        await self.close(handles)
        assert [verdicts.count(each) for each in (COMMITTED, Verdict.GONE)] == [1, 15]
        assert await trial.stored_ids() == ["s1"]

    @conformance
    async def test_of_concurrent_first_messages_one_starts_the_saga(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}") for i in range(16)))
        handles = await self.handles(trial)
        starts = (
            handles[i % len(handles)].commit(Batch([completed(each, save=save(0))], trial.routing.version, {}))
            for i, each in enumerate(stored)
        )

        verdicts = [answer.verdict for each in await asyncio.gather(*starts) for answer in each]

        await self.close(handles)
        assert [verdicts.count(each) for each in (COMMITTED, Verdict.CONFLICT)] == [1, 15]
        assert len(await trial.stored()) == 15

    @conformance
    async def test_of_concurrent_claims_of_one_key_one_wins(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}", f"k{i}") for i in range(16)))
        handles = await self.handles(trial)
        runs = (
            handles[i % len(handles)].commit(Batch([completed(each, claims=(claim(),))], trial.routing.version, {}))
            for i, each in enumerate(stored)
        )

        verdicts = [answer.verdict for each in await asyncio.gather(*runs) for answer in each]

        await self.close(handles)
        assert [verdicts.count(each) for each in (COMMITTED, Verdict.DUPLICATE)] == [1, 15]

    @conformance
    async def test_of_concurrent_replays_of_one_letter_one_is_done(self, trial: Trial) -> None:
        letter = await trial.bury()
        handles = await self.handles(trial)

        answers = await asyncio.gather(*(handles[i % len(handles)].replay(letter.id) for i in range(8)))

        await self.close(handles)
        assert [answers.count(each) for each in (ReplayResult.DONE, ReplayResult.ALREADY_DONE)] == [1, 7]
        assert await trial.stored_ids() == ["m1"]

    @conformance
    async def test_a_replay_and_a_discard_of_one_letter_cannot_both_be_done(self, trial: Trial) -> None:
        letter = await trial.bury()
        handles = await self.handles(trial, 2)

        answers = await asyncio.gather(handles[0].replay(letter.id), handles[-1].discard(letter.id))

        await self.close(handles)
        assert sorted(answer.name for answer in answers) == ["ALREADY_DONE", "DONE"]

    @conformance
    async def test_workers_that_lease_at_once_never_share_a_lane(self, trial: Trial) -> None:
        handles = await self.handles(trial)
        for _ in range(3):
            leases = (
                handles[i % len(handles)].lease(f"w{i}", [ORDERS], duration=30 * SECOND, window=10) for i in range(6)
            )
            await asyncio.gather(*leases)

        owned = [lane for i in range(6) for lane in await trial.lease(f"w{i}")]

        await self.close(handles)
        assert sorted(lane.lane for lane in owned) == list(range(trial.routing.lanes))

    @conformance
    async def test_of_a_worker_and_the_one_that_took_over_only_the_latter_commits(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        old = epochs(await trial.lease("w1"))
        trial.wait(31)
        new = epochs(await trial.lease("w2"))
        outcome = [completed(stored)]

        verdicts = [
            answer.verdict
            for each in await asyncio.gather(
                *(trial.store.commit(Batch(outcome, trial.routing.version, held)) for held in (old, new, old, new))
            )
            for answer in each
        ]

        assert verdicts.count(COMMITTED) == 1
        assert verdicts[0] is not COMMITTED
        assert verdicts[2] is not COMMITTED

    @conformance
    async def test_work_done_by_many_at_once_is_done_once_each(self, trial: Trial) -> None:
        await trial.append(*(trial.envelope(f"m{i}", f"k{i % 7}") for i in range(200)))
        handles = await self.handles(trial)

        async def work(store: Store) -> int:
            done = 0
            while found := (await trial.fetch(limit=5)).envelopes:
                outcomes = [
                    completed(each, sent=(trial.envelope(f"s-{each.message_id}", channel="out", guarded=False),))
                    for each in found
                ]
                answers = await store.commit(Batch(outcomes, trial.routing.version, {}))
                done += sum(answer.verdict is COMMITTED for answer in answers)
            return done

        done = await asyncio.gather(*(work(handles[i % len(handles)]) for i in range(4)))

        await self.close(handles)
        assert sum(done) == 200
        assert sorted(await trial.stored_ids("out")) == sorted(f"s-m{i}" for i in range(200))
