"""What replay does with each kind of letter: one table for all stores."""

from __future__ import annotations

from sagabus.envelope import Cause, DeadLetter, Envelope
from sagabus.outcome import DeadLettered
from sagabus.store import ReplayResult
from sagabus.testing.conformance.trial import COMMITTED, DAY, StoreSuite, Trial, completed, conformance

DONE, ALREADY_DONE = ReplayResult.DONE, ReplayResult.ALREADY_DONE
COLLISION, TOO_OLD = ReplayResult.COLLISION, ReplayResult.TOO_OLD


async def forget(trial: Trial) -> None:
    """Raise the horizon above everything so far."""
    trial.wait(2 * 86_400)
    await trial.purge()


async def died(trial: Trial, envelope: Envelope, cause: Cause, *, parks: bool = False) -> DeadLetter:
    """A letter of a stored message, with a reason that says something else."""
    outcome = DeadLettered(envelope=envelope, cause=cause, reason="too old: id collision: no", parks=parks)
    assert await trial.commit(outcome) == [COMMITTED]
    return (await trial.letters())[-1]


class ReplayRuleConformance(StoreSuite):
    """By the cause, never by the reason; the same answer everywhere."""

    @conformance
    async def test_what_died_here_is_put_back_unless_it_collided(self, trial: Trial) -> None:
        for cause in sorted(set(Cause) - {Cause.TOO_OLD, Cause.DAMAGED}, key=lambda each: each.value):
            letter = await died(trial, await trial.accept_one(cause.value, cause.value), cause)

            expected = COLLISION if cause is Cause.COLLISION else DONE
            assert (cause, await trial.store.replay(letter.id)) == (cause, expected)

    @conformance
    async def test_a_letter_that_holds_another_message_of_a_taken_id_is_refused_for_ever(self, trial: Trial) -> None:
        await trial.accept_one("m1")
        await trial.append(trial.envelope("m1", body=b"{}"))
        (letter,) = await trial.letters()
        assert await trial.store.replay(letter.id) is COLLISION

        await forget(trial)

        assert await trial.store.replay(letter.id) is COLLISION
        assert await trial.store.replay(letter.id, force=True) is DONE

    @conformance
    async def test_a_key_claimed_with_other_content_is_a_collision_too(self, trial: Trial) -> None:
        letter = await died(trial, await trial.accept_one(), Cause.COLLISION)

        assert await trial.store.replay(letter.id) is COLLISION
        assert await trial.store.replay(letter.id, force=True) is DONE
        assert await trial.stored_ids() == ["m1"]

    @conformance
    async def test_a_quarantined_message_is_replayed_by_force_unless_a_copy_was_accepted(self, trial: Trial) -> None:
        await forget(trial)
        late = [trial.envelope(name, name, sent_at=trial.clock.now() - 2 * DAY) for name in ("alone", "copied")]
        await trial.append(*late)
        copy = await trial.accept_one("copied", "copied")
        await trial.commit(completed(copy))
        alone, copied = sorted(await trial.letters(), key=lambda letter: letter.envelope.message_id)

        assert [await trial.store.replay(each.id) for each in (alone, copied)] == [TOO_OLD, ALREADY_DONE]
        assert await trial.store.replay(alone.id, force=True) is DONE
        assert await trial.stored_ids() == ["alone"]

    @conformance
    async def test_no_force_overrules_what_is_known_to_be_done(self, trial: Trial) -> None:
        await trial.append(trial.timer(message_id="t1"))
        letter = await died(trial, (await trial.stored())[0], Cause.COLLISION)
        await trial.append(trial.timer(message_id="t2"))

        assert await trial.store.replay(letter.id, force=True) is ALREADY_DONE

    @conformance
    async def test_what_is_closed_without_effect_says_replayed_and_its_key_goes_on(self, trial: Trial) -> None:
        await trial.append(trial.timer(message_id="t1"))
        letter = await died(trial, (await trial.stored())[0], Cause.FAILED, parks=True)
        await trial.append(trial.timer(message_id="t2"))
        await trial.accept_one("m2")
        assert await trial.due_ids() == []

        assert await trial.store.replay(letter.id) is ALREADY_DONE

        assert await trial.due_ids() == ["m2"]
        assert [(each.status, each.parked) for each in await trial.letters(None)] == [("replayed", False)]

    @conformance
    async def test_a_key_goes_on_when_the_last_of_its_parked_letters_is_closed(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{n}") for n in range(3)))
        letters = [await died(trial, each, Cause.FAILED, parks=True) for each in stored[:2]]

        await trial.store.discard(letters[0].id)
        assert await trial.due_ids() == []

        await trial.store.discard(letters[1].id)
        assert await trial.due_ids() == ["m2"]

    @conformance
    async def test_a_parked_letter_that_is_opened_again_by_a_copy_stays_parked(self, trial: Trial) -> None:
        letter = await died(trial, await trial.accept_one("m1"), Cause.FAILED, parks=True)
        copy = await trial.accept_one("m1", guarded=False)

        await died(trial, copy, Cause.UNKNOWN)

        assert [(each.id, each.cause, each.parked) for each in await trial.letters()] == [
            (letter.id, Cause.UNKNOWN, True)
        ]

    @conformance
    async def test_what_is_damaged_can_only_be_discarded_and_lets_its_key_go_on(self, trial: Trial) -> None:
        letter = await died(trial, await trial.accept_one("m1"), Cause.DAMAGED, parks=True)
        await trial.accept_one("m2")

        for force in (False, True):
            assert await trial.store.replay(letter.id, force=force) is ReplayResult.DAMAGED
        assert await trial.store.discard(letter.id) is DONE

        assert await trial.due_ids() == ["m2"]

    @conformance
    async def test_a_letter_that_is_not_there_is_not_found(self, trial: Trial) -> None:
        assert await trial.store.replay(7) is ReplayResult.NOT_FOUND
        assert await trial.store.discard(7) is ReplayResult.NOT_FOUND
