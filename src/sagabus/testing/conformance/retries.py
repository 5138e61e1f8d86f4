"""Runs that failed, and messages put aside."""

from __future__ import annotations

from collections.abc import Callable

from sagabus.envelope import Cause, Envelope
from sagabus.outcome import DeadLettered, Discarded, Marked, Outcome, RetryAt, Stashed, Verdict
from sagabus.testing.conformance.trial import (
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
    save,
)


class RetryConformance(StoreSuite):
    """RetryAt: the same envelope, later, and counted."""

    @conformance
    async def test_a_retry_keeps_the_message_and_its_place(self, trial: Trial) -> None:
        before = await trial.accept_one(headers={"a": "b"}, correlation_id="c1")

        assert await trial.commit(RetryAt(envelope=before, delay=MINUTE, failure=FAILURE)) == [COMMITTED]

        after = (await trial.stored())[0]
        now = trial.clock.now()
        assert (after.attempt, after.failed_at, after.due_at) == (1, now, now + MINUTE)
        assert (after.position, after.message_id, after.body) == (before.position, before.message_id, before.body)
        assert (after.headers, after.correlation_id, after.sent_at) == ({"a": "b"}, "c1", before.sent_at)

    @conformance
    async def test_the_first_failure_stays_the_first(self, trial: Trial) -> None:
        failed_at = trial.clock.now()
        stored = await trial.accept_one()
        for _ in range(3):
            await trial.commit(RetryAt(envelope=stored, delay=MINUTE, failure=FAILURE))
            trial.wait(60)
            stored = (await trial.fetch()).envelopes[0]

        assert (stored.attempt, stored.failed_at) == (3, failed_at)

    @conformance
    async def test_what_waited_uncounted_fails_first_with_the_first_run_that_counts(self, trial: Trial) -> None:
        began = trial.clock.now()
        stored = await trial.accept_one()
        noted: list[int | None] = []
        for counted in (0, 0, 1, 1):
            await trial.commit(RetryAt(envelope=stored, delay=MINUTE, counted=counted, failure=FAILURE))
            trial.wait(60)
            stored = (await trial.fetch()).envelopes[0]
            noted.append(stored.failed_at)

        assert noted == [began, began, began + 2 * MINUTE, began + 2 * MINUTE]

    @conformance
    async def test_a_retry_that_is_not_the_messages_fault_is_not_counted(self, trial: Trial) -> None:
        stored = await trial.accept_one()

        await trial.commit(RetryAt(envelope=stored, delay=MINUTE, counted=0))

        after = (await trial.stored())[0]
        assert (after.attempt, after.failed_at) == (0, None)
        assert after.due_at == trial.clock.now() + MINUTE

    @conformance
    async def test_a_retry_without_a_delay_is_due_by_schedule(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        await trial.commit(RetryAt(envelope=stored, delay=0, failure=FAILURE))

        trial.wait(0.000001)

        fetched = await trial.fetch(after=stored.position)
        assert [each.message_id for each in fetched.envelopes] == ["m1"]

    @conformance
    async def test_a_key_waits_until_its_retry_is_settled(self, trial: Trial) -> None:
        settlements: tuple[Callable[[Envelope], Outcome], ...] = (
            completed,
            lambda each: Discarded(each, "no"),
            lambda each: DeadLettered(cause=Cause.FAILED, envelope=each, reason="no"),
            lambda each: Stashed(each, 3600 * SECOND),
        )
        for i, settle in enumerate(settlements):
            key = f"k{i}"
            first, _ = await trial.accept(trial.envelope(f"{key}-1", key), trial.envelope(f"{key}-2", key))
            await trial.commit(RetryAt(envelope=first, delay=MINUTE, failure=FAILURE))
            assert await trial.due_ids() == []
            trial.wait(60)
            retried = (await trial.fetch()).envelopes[0]

            assert await trial.commit(settle(retried)) == [COMMITTED]

            second = (await trial.fetch()).envelopes
            assert [each.message_id for each in second] == [f"{key}-2"]
            await trial.commit(*map(completed, second))

    @conformance
    async def test_a_key_goes_on_when_a_run_from_before_the_retry_settles_the_message(self, trial: Trial) -> None:
        """The retry's commit seemed lost, so the message ran again as it was handed out at first."""
        first, _ = await trial.accept(trial.envelope("m1"), trial.envelope("m2"))
        await trial.commit(RetryAt(envelope=first, delay=MINUTE, failure=FAILURE))

        assert await trial.commit(completed(first)) == [COMMITTED]

        assert await trial.due_ids() == ["m2"]

    @conformance
    async def test_a_key_whose_order_does_not_matter_does_not_wait(self, trial: Trial) -> None:
        first, _ = await trial.accept(trial.envelope("m1"), trial.envelope("m2"))

        await trial.commit(RetryAt(envelope=first, delay=MINUTE, failure=FAILURE, holds=False))

        assert await trial.due_ids() == ["m2"]

    @conformance
    async def test_a_retry_without_a_key_holds_back_nothing(self, trial: Trial) -> None:
        first, _ = await trial.accept(trial.envelope("m1", None), trial.envelope("m2", None))

        await trial.commit(RetryAt(envelope=first, delay=MINUTE, failure=FAILURE))

        assert await trial.due_ids() == ["m2"]

    @conformance
    async def test_a_mark_on_an_envelope_that_was_retried_since_is_gone(self, trial: Trial) -> None:
        seen = await trial.accept_one(key=None)
        await trial.commit(RetryAt(envelope=seen, delay=MINUTE, failure=FAILURE))
        (after,) = await trial.stored()

        for outcome in (RetryAt(envelope=seen, delay=1, failure=FAILURE), Marked(seen), Stashed(seen, MINUTE)):
            assert await trial.commit(outcome) == [Verdict.GONE], outcome

        assert await trial.stored() == [after]

    @conformance
    async def test_a_mark_on_an_envelope_that_was_retried_since_under_another_owner_is_fenced(
        self, trial: Trial
    ) -> None:
        seen = await trial.accept_one(key=None)
        held = epochs(await trial.lease("w1", seconds=5))
        trial.wait(20)
        theirs = epochs(await trial.lease("w2"))
        retry = RetryAt(envelope=seen, delay=MINUTE, failure=FAILURE)
        assert await trial.commit(retry, epochs=theirs) == [COMMITTED]
        (after,) = await trial.stored()

        for outcome in (RetryAt(envelope=seen, delay=1, failure=FAILURE), Marked(seen), Stashed(seen, MINUTE)):
            assert await trial.commit(outcome, epochs=held) == [Verdict.FENCED], outcome

        assert await trial.stored() == [after]

    @conformance
    async def test_a_mark_on_an_envelope_that_was_settled_is_gone(self, trial: Trial) -> None:
        seen = await trial.accept_one(key=None)
        await trial.commit(completed(seen))

        for outcome in (RetryAt(envelope=seen, delay=1, failure=FAILURE), Marked(seen), Stashed(seen, MINUTE)):
            assert await trial.commit(outcome) == [Verdict.GONE], outcome

        assert await trial.stored() == []

    @conformance
    async def test_two_retries_of_one_run_count_once(self, trial: Trial) -> None:
        seen = await trial.accept_one(key=None)
        retry = RetryAt(envelope=seen, delay=MINUTE, failure=FAILURE)

        assert await trial.commit(retry, retry) == [COMMITTED, Verdict.GONE]
        assert [each.attempt for each in await trial.stored()] == [1]

    @conformance
    async def test_a_lost_mark_drops_what_was_built_on_it(self, trial: Trial) -> None:
        first, second = await trial.accept(trial.envelope("m1"), trial.envelope("m2"))
        await trial.commit(Marked(first))

        verdicts = await trial.commit(Marked(first), completed(second))

        assert verdicts == [Verdict.GONE, Verdict.DROPPED]


class StashConformance(StoreSuite):
    """Stashed: aside until its saga starts or its patience ends."""

    @conformance
    async def test_a_stashed_message_is_loaded_with_its_instance(self, trial: Trial) -> None:
        early, other = await trial.accept(trial.envelope("m1", "A1"), trial.envelope("m2", "B2"))
        assert await trial.commit(Stashed(early, MINUTE), Stashed(other, MINUTE)) == [COMMITTED, COMMITTED]

        loaded = (await trial.store.load(ORDERS, ["A1"]))[0]

        assert loaded.instance is None
        assert [each.message_id for each in loaded.stashed] == ["m1"]
        assert (loaded.stashed[0].stashed, loaded.stashed[0].due_at) == (True, trial.clock.now() + MINUTE)

    @conformance
    async def test_stashed_messages_are_loaded_in_the_order_of_acceptance(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}") for i in range(3)))
        for each in reversed(stored):
            await trial.commit(Stashed(each, MINUTE))

        loaded = (await trial.store.load(ORDERS, ["A1"]))[0]

        assert [each.message_id for each in loaded.stashed] == ["m0", "m1", "m2"]

    @conformance
    async def test_other_messages_of_its_key_go_on(self, trial: Trial) -> None:
        early, _ = await trial.accept(trial.envelope("m1"), trial.envelope("m2"))

        await trial.commit(Stashed(early, MINUTE))

        assert await trial.due_ids() == ["m2"]

    @conformance
    async def test_a_stashed_message_is_settled_as_any_other(self, trial: Trial) -> None:
        early, start = await trial.accept(trial.envelope("early"), trial.envelope("start"))
        await trial.commit(Stashed(early, MINUTE))
        waiting = (await trial.store.load(ORDERS, ["A1"]))[0].stashed[0]

        verdicts = await trial.commit(completed(start, save=save(0)), completed(waiting, save=save(1)))

        assert verdicts == [COMMITTED, COMMITTED]
        assert (await trial.store.load(ORDERS, ["A1"]))[0].stashed == ()
        trial.wait(60)
        assert await trial.due_ids() == []

    @conformance
    async def test_stashing_counts_no_attempt(self, trial: Trial) -> None:
        stored = await trial.accept_one()

        await trial.commit(Stashed(stored, MINUTE))

        after = (await trial.stored())[0]
        assert (after.attempt, after.failed_at) == (0, None)

    @conformance
    async def test_a_retry_of_a_stashed_message_takes_it_out_of_the_stash(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        await trial.commit(Stashed(stored, MINUTE))

        assert await trial.commit(RetryAt(envelope=stored, delay=MINUTE, failure=FAILURE)) == [COMMITTED]

        assert (await trial.store.load(ORDERS, ["A1"]))[0].stashed == ()
        trial.wait(60)
        assert await trial.due_ids() == ["m1"]

    @conformance
    async def test_a_save_that_wakes_makes_due_what_waits_for_its_instance_and_nothing_else(self, trial: Trial) -> None:
        ids = (("early", "A1"), ("start", "A1"), ("other", "B2"))
        early, start, other = await trial.accept(*(trial.envelope(*each) for each in ids))
        await trial.commit(Stashed(early, MINUTE), Stashed(other, MINUTE))

        assert await trial.commit(completed(start, save=save(0, wakes=True))) == [COMMITTED]

        assert await trial.due_ids() == ["early"]
        assert (await trial.store.load(ORDERS, ["A1"]))[0].stashed == ()
        assert len((await trial.store.load(ORDERS, ["B2"]))[0].stashed) == 1

    @conformance
    async def test_a_save_that_loses_wakes_nothing(self, trial: Trial) -> None:
        early, start = await trial.accept(trial.envelope("early"), trial.envelope("start"))
        await trial.commit(Stashed(early, MINUTE))

        assert await trial.commit(completed(start, save=save(7, wakes=True))) == [Verdict.CONFLICT]

        assert len((await trial.store.load(ORDERS, ["A1"]))[0].stashed) == 1

    @conformance
    async def test_a_stashed_message_may_be_stashed_again(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        await trial.commit(Stashed(stored, MINUTE))
        trial.wait(30)

        assert await trial.commit(Stashed(stored, MINUTE)) == [COMMITTED]

        trial.wait(59)
        assert await trial.due_ids() == []
        assert len((await trial.store.load(ORDERS, ["A1"]))[0].stashed) == 1
