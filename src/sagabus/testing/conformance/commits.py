"""The transaction: all of an outcome or nothing of it, and one failure costs no other outcome."""

from __future__ import annotations

from sagabus.outcome import Admission, Discarded, Marked, Verdict
from sagabus.store import Batch
from sagabus.testing.conformance.trial import (
    BILLING,
    COMMITTED,
    MINUTE,
    ORDERS,
    StoreSuite,
    Trial,
    claim,
    completed,
    conformance,
    save,
)


class CommitConformance(StoreSuite):
    """`commit`: atomic for each outcome, answered in order."""

    @conformance
    async def test_committing_nothing_is_answered_with_nothing(self, trial: Trial) -> None:
        assert await trial.commit() == []

    @conformance
    async def test_a_completed_envelope_is_gone(self, trial: Trial) -> None:
        stored = await trial.accept_one()

        assert await trial.commit(completed(stored)) == [COMMITTED]
        assert await trial.stored() == []

    @conformance
    async def test_a_discarded_envelope_is_gone_and_leaves_no_letter(self, trial: Trial) -> None:
        stored = await trial.accept_one()

        assert await trial.commit(Discarded(stored, "no instance waits for it")) == [COMMITTED]
        assert (await trial.stored(), await trial.letters(None)) == ([], [])

    @conformance
    async def test_the_second_commit_of_an_envelope_finds_it_gone(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        await trial.commit(completed(stored))

        assert await trial.commit(completed(stored, save=save(), sent=(trial.envelope("m2", guarded=False),))) == [
            Verdict.GONE
        ]
        assert await trial.stored() == []
        assert await trial.instance() is None

    @conformance
    async def test_an_envelope_twice_in_one_batch_takes_effect_once(self, trial: Trial) -> None:
        stored = await trial.accept_one(key=None)

        verdicts = await trial.commit(completed(stored), completed(stored), Discarded(stored, "again"))

        assert verdicts == [COMMITTED, Verdict.GONE, Verdict.GONE]

    @conformance
    async def test_a_removal_does_not_mind_a_death_counted_meanwhile(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        await trial.commit(Marked(stored))

        assert await trial.commit(completed(stored)) == [COMMITTED]

    @conformance
    async def test_what_a_run_sent_is_stored_with_it(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        sent = (
            trial.envelope("s1", guarded=False),
            trial.envelope("s2", channel=BILLING, guarded=False),
            trial.envelope("s3", "B2", guarded=False, delay=MINUTE),
        )

        assert await trial.commit(completed(stored, sent=sent)) == [COMMITTED]

        assert await trial.stored_ids() == ["s1", "s3"]
        assert await trial.stored_ids(BILLING) == ["s2"]
        assert await trial.due_ids() == ["s1"]
        assert (await trial.fetch()).next_due_in == MINUTE

    @conformance
    async def test_what_was_sent_comes_after_what_was_accepted_before(self, trial: Trial) -> None:
        first, second = await trial.accept(trial.envelope("m1"), trial.envelope("m2"))

        await trial.commit(completed(first, sent=(trial.envelope("s1"), trial.envelope("s2"))))

        stored = await trial.stored()
        assert [each.message_id for each in stored] == ["m2", "s1", "s2"]
        assert second.position < stored[1].position < stored[2].position

    @conformance
    async def test_a_guarded_message_sent_twice_is_stored_once_and_both_runs_commit(self, trial: Trial) -> None:
        first, second = await trial.accept(trial.envelope("m1", "A1"), trial.envelope("m2", "B2"))
        sent = trial.envelope("s1", channel=BILLING)

        assert await trial.commit(completed(first, sent=(sent,)), completed(second, sent=(sent,))) == [COMMITTED] * 2
        assert await trial.stored_ids(BILLING) == ["s1"]
        assert await trial.letters() == []

    @conformance
    async def test_a_guarded_message_sent_under_a_taken_id_is_a_dead_letter(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        await trial.accept_one("s1", channel=BILLING, body=b"1")

        assert await trial.commit(completed(stored, sent=(trial.envelope("s1", channel=BILLING, body=b"2"),))) == [
            COMMITTED
        ]

        assert [each.envelope.body for each in await trial.letters()] == [b"2"]
        assert [each.body for each in await trial.stored(BILLING)] == [b"1"]

    @conformance
    async def test_a_copy_of_what_a_run_sent_guarded_is_dropped(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        await trial.commit(completed(stored, sent=(trial.envelope("s1"),)))

        assert await trial.append(trial.envelope("s1")) == [Admission.DUPLICATE]

    @conformance
    async def test_one_that_is_gone_anywhere_in_a_batch_costs_only_itself(self, trial: Trial) -> None:
        for place in (0, 50, 99):
            stored = await trial.accept(*(trial.envelope(f"{place}-{i}", f"k{i}") for i in range(100)))
            await trial.commit(completed(stored[place]))
            outcomes = [
                completed(each, save=save(key=f"{place}-{i}"), sent=(trial.envelope(f"{place}-s{i}", channel=BILLING),))
                for i, each in enumerate(stored)
            ]

            verdicts = await trial.commit(*outcomes)

            assert [i for i, verdict in enumerate(verdicts) if verdict is not COMMITTED] == [place]
            assert verdicts[place] is Verdict.GONE
            assert f"{place}-s{place}" not in await trial.stored_ids(BILLING)
            assert await trial.instance(f"{place}-{place}") is None

    @conformance
    async def test_one_conflict_anywhere_in_a_batch_costs_only_itself(self, trial: Trial) -> None:
        for place in (0, 50, 99):
            stored = await trial.accept(*(trial.envelope(f"{place}-{i}", f"k{i}") for i in range(100)))
            outcomes = [
                completed(each, save=save(7 if i == place else 0, key=f"{place}-{i}")) for i, each in enumerate(stored)
            ]

            verdicts = await trial.commit(*outcomes)

            assert [i for i, verdict in enumerate(verdicts) if verdict is not COMMITTED] == [place]
            assert verdicts[place] is Verdict.CONFLICT
            assert await trial.stored_ids() == [f"{place}-{place}"]
            await trial.commit(completed(stored[place]))

    @conformance
    async def test_outcomes_of_a_key_after_a_failed_one_are_dropped(self, trial: Trial) -> None:
        ids = [("a1", "A1"), ("b1", "B2"), ("a2", "A1"), ("n1", None), ("a3", "A1")]
        stored = await trial.accept(*(trial.envelope(*each) for each in ids))
        await trial.commit(completed(stored[0]))

        verdicts = await trial.commit(*map(completed, stored))

        assert verdicts == [Verdict.GONE, COMMITTED, Verdict.DROPPED, COMMITTED, Verdict.DROPPED]
        assert await trial.stored_ids() == ["a2", "a3"]

    @conformance
    async def test_outcomes_before_the_failed_one_of_their_key_commit(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}") for i in range(4)))

        verdicts = await trial.commit(
            completed(stored[0], save=save(0)),
            completed(stored[1], save=save(1)),
            completed(stored[2], save=save(7)),
            completed(stored[3], save=save(2)),
        )

        assert verdicts == [COMMITTED, COMMITTED, Verdict.CONFLICT, Verdict.DROPPED]
        assert await trial.stored_ids() == ["m2", "m3"]

    @conformance
    async def test_one_key_in_two_channels_is_two_keys(self, trial: Trial) -> None:
        stored = await trial.accept(trial.envelope("m1"), trial.envelope("m2", channel=BILLING))
        await trial.commit(completed(stored[0]))

        assert await trial.commit(*map(completed, stored)) == [Verdict.GONE, COMMITTED]

    @conformance
    async def test_outcomes_without_a_key_are_never_dropped(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}", None) for i in range(3)))
        await trial.commit(completed(stored[0]))

        assert await trial.commit(*map(completed, stored)) == [Verdict.GONE, COMMITTED, COMMITTED]

    @conformance
    async def test_a_routing_of_the_past_costs_those_that_sent_something(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}", f"k{i}") for i in range(2)))
        await trial.store.unregister(BILLING, "orders.submitted")

        sending = completed(stored[0], save=save(), sent=(trial.envelope("s1", channel=BILLING, guarded=False),))
        verdicts = await trial.commit(sending, completed(stored[1], save=save(key="B2")))

        assert verdicts == [Verdict.STALE_ROUTING, COMMITTED]
        assert (await trial.stored_ids(), await trial.stored_ids(BILLING)) == (["m0"], [])
        assert await trial.instance() is None

    @conformance
    async def test_gone_is_said_before_any_other_reason(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        await trial.commit(completed(stored))

        wrong = completed(stored, save=save(7), sent=(trial.envelope("s1"),), claims=(claim(),))
        batch = Batch([wrong], trial.routing.version - 1, {(ORDERS, stored.lane): 7})

        assert [answer.verdict for answer in await trial.store.commit(batch)] == [Verdict.GONE]


class ClaimConformance(StoreSuite):
    """Claims: keys that only the subscriber can evaluate, won by the first commit."""

    @conformance
    async def test_the_second_claim_of_a_key_is_a_duplicate(self, trial: Trial) -> None:
        first, second = await trial.accept(trial.envelope("m1", "A1"), trial.envelope("m2", "B2"))
        await trial.commit(completed(first, claims=(claim(),)))

        assert await trial.commit(completed(second, claims=(claim(),), save=save())) == [Verdict.DUPLICATE]
        assert await trial.stored_ids() == ["m2"]
        assert await trial.instance() is None

    @conformance
    async def test_of_two_claims_in_one_batch_the_first_wins(self, trial: Trial) -> None:
        first, second = await trial.accept(trial.envelope("m1", "A1"), trial.envelope("m2", "B2"))

        verdicts = await trial.commit(completed(first, claims=(claim(),)), completed(second, claims=(claim(),)))

        assert verdicts == [COMMITTED, Verdict.DUPLICATE]

    @conformance
    async def test_a_claim_with_other_content_is_a_collision(self, trial: Trial) -> None:
        first, second = await trial.accept(trial.envelope("m1", "A1"), trial.envelope("m2", "B2"))
        await trial.commit(completed(first, claims=(claim(fingerprint=b"1" * 16),)))

        assert await trial.commit(completed(second, claims=(claim(fingerprint=b"2" * 16),))) == [Verdict.COLLISION]

    @conformance
    async def test_one_key_claimed_in_two_channels_is_two_keys(self, trial: Trial) -> None:
        first, second = await trial.accept(trial.envelope("m1"), trial.envelope("m2", channel=BILLING))

        assert await trial.commit(completed(first, claims=(claim(),))) == [COMMITTED]
        assert await trial.commit(completed(second, claims=(claim(),))) == [COMMITTED]

    @conformance
    async def test_a_run_that_does_not_commit_claims_nothing(self, trial: Trial) -> None:
        first, second = await trial.accept(trial.envelope("m1", "A1"), trial.envelope("m2", "B2"))
        assert await trial.commit(completed(first, claims=(claim("one"), claim("two")), save=save(7))) == [
            Verdict.CONFLICT
        ]

        assert await trial.commit(completed(second, claims=(claim("one"), claim("two")))) == [COMMITTED]

    @conformance
    async def test_one_claim_made_before_is_enough_to_lose_all(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}", f"k{i}") for i in range(3)))
        await trial.commit(completed(stored[0], claims=(claim("two"),)))

        verdicts = await trial.commit(completed(stored[1], claims=(claim("one"), claim("two"))))

        assert verdicts == [Verdict.DUPLICATE]
        assert await trial.commit(completed(stored[2], claims=(claim("one"),))) == [COMMITTED]

    @conformance
    async def test_a_claim_below_the_horizon_is_too_old(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        trial.wait(2 * 86_400)
        await trial.purge()

        assert await trial.commit(completed(stored, claims=(claim(),))) == [Verdict.TOO_OLD]
        assert await trial.stored_ids() == ["m1"]
        assert await trial.commit(completed(stored)) == [COMMITTED]
