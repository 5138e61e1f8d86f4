"""Dead letters: nothing is lost, and replaying is one more delivery of the same id."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from sagabus.envelope import Cause
from sagabus.outcome import DeadLettered, Failure, RetryAt
from sagabus.store import ReplayResult
from sagabus.store.survey import SCANNED
from sagabus.testing.conformance.trial import (
    BILLING,
    COMMITTED,
    DAY,
    FAILURE,
    MINUTE,
    ORDERS,
    StoreSuite,
    Trial,
    completed,
    conformance,
)

DONE, ALREADY_DONE = ReplayResult.DONE, ReplayResult.ALREADY_DONE


class DeadLetterConformance(StoreSuite):
    """What a subscription could not take is held, whole, with the reason."""

    @conformance
    async def test_a_dead_letter_holds_the_message_and_the_reason(self, trial: Trial) -> None:
        stored = await trial.accept_one(headers={"a": "ä"}, correlation_id="c1", body=bytes(range(1, 128)))

        outcome = DeadLettered(cause=Cause.FAILED, envelope=stored, reason="out of attempts", failure=FAILURE)
        assert await trial.commit(outcome) == [COMMITTED]

        letter = (await trial.letters())[0]
        assert (letter.reason, letter.error_type, letter.error_text) == ("out of attempts", "ValueError", FAILURE.text)
        assert (letter.traceback, letter.status, letter.parked) == (FAILURE.traceback, "open", False)
        assert replace(letter.envelope, position=0) == replace(stored, position=0)
        assert await trial.stored() == []

    @conformance
    async def test_a_dead_letter_knows_attempts_and_times(self, trial: Trial) -> None:
        born = trial.clock.now()
        stored = await trial.accept_one()
        await trial.commit(RetryAt(envelope=stored, delay=MINUTE, failure=FAILURE))
        trial.wait(60)
        retried = (await trial.fetch()).envelopes[0]

        await trial.commit(
            DeadLettered(cause=Cause.FAILED, envelope=retried, reason="out of attempts", failure=FAILURE)
        )

        letter = (await trial.letters())[0]
        assert (letter.attempts, letter.first_failed_at, letter.last_failed_at) == (2, born, born + MINUTE)

    @conformance
    async def test_a_dead_letter_without_a_run_counts_none(self, trial: Trial) -> None:
        stored = await trial.accept_one()

        await trial.commit(DeadLettered(cause=Cause.FAILED, envelope=stored, reason="unknown type"))

        letter = (await trial.letters())[0]
        assert (letter.attempts, letter.error_type, letter.traceback) == (0, None, None)
        assert letter.last_failed_at == trial.clock.now()

    @conformance
    async def test_a_dead_lettered_id_stays_taken(self, trial: Trial) -> None:
        await trial.bury("m1")

        await trial.append(trial.envelope("m1"))

        assert await trial.stored() == []
        assert len(await trial.letters()) == 1

    @conformance
    async def test_an_unguarded_copy_that_dies_too_opens_the_same_letter(self, trial: Trial) -> None:
        letter = await trial.bury("m1")
        await trial.store.discard(letter.id)
        copy = await trial.accept_one("m1", guarded=False)

        await trial.commit(DeadLettered(cause=Cause.FAILED, envelope=copy, reason="again"))

        assert [(each.id, each.reason, each.status) for each in await trial.letters(None)] == [
            (letter.id, "again", "open")
        ]

    @conformance
    async def test_letters_are_found_by_channel_status_and_page(self, trial: Trial) -> None:
        ids = [(await trial.bury(f"m{i}", f"k{i}")).id for i in range(4)]
        other = await trial.accept_one("m1", channel=BILLING)
        await trial.commit(DeadLettered(cause=Cause.FAILED, envelope=other, reason="no"))
        await trial.store.discard(ids[0])
        letters = trial.store.inspect.dead_letters

        assert [each.id for each in await letters(channel=ORDERS)] == ids[1:]
        assert [each.id for each in await letters(channel=ORDERS, status=None)] == ids
        assert [each.id for each in await letters(status="discarded")] == ids[:1]
        assert [each.id for each in await letters(channel=ORDERS, after=ids[1], limit=1)] == [ids[2]]
        assert [each.envelope.channel for each in await letters(channel=BILLING)] == [BILLING]

    @conformance
    async def test_letters_are_found_by_when_they_failed_last(self, trial: Trial) -> None:
        ids: list[int] = []
        for number in range(3):
            ids.append((await trial.bury(f"m{number}", f"k{number}")).id)
            trial.wait(60)
        letters = trial.store.inspect.dead_letters
        times = [each.last_failed_at for each in await letters()]

        assert [each.id for each in await letters(since=times[1])] == ids[1:]
        assert [each.id for each in await letters(until=times[1])] == ids[:1]
        assert [each.id for each in await letters(since=times[1], until=times[2], status=None)] == ids[1:2]
        assert [each.id for each in await letters(since=times[2] + 1)] == []
        assert [each.id for each in await letters(before=ids[2], after=ids[0])] == ids[1:2]
        assert [each.id for each in await letters(before=ids[1], status=None, bodies=False)] == ids[:1]
        await trial.store.discard(ids[2])
        assert await trial.store.inspect.last_letter() == ids[2]

    @conformance
    async def test_a_filter_stops_behind_so_many_letters_of_the_status(self, trial: Trial) -> None:
        assert await trial.store.inspect.last_letter() == 0
        sent = await trial.accept(*(trial.envelope(f"m{n}", f"k{n}") for n in range(SCANNED + 2)))
        await trial.commit(*(DeadLettered(cause=Cause.FAILED, envelope=each, reason="no") for each in sent))
        ids = [each.id for each in await trial.store.inspect.dead_letters(limit=SCANNED + 2, bodies=False)]
        stop = trial.store.inspect.letter_stop
        assert await trial.store.inspect.last_letter() == ids[-1]

        assert await stop() == ids[SCANNED]
        assert await stop(after=ids[0]) == ids[SCANNED + 1]
        assert await stop(after=ids[1]) is None
        await trial.store.discard(ids[0])
        assert [await stop(), await stop(status=None)] == [ids[SCANNED + 1], ids[SCANNED]]
        assert await stop(status="discarded") is None

    @conformance
    async def test_without_bodies_all_else_is_the_same(self, trial: Trial) -> None:
        failure = Failure("ValueError", "no", "Traceback")
        envelope = await trial.accept_one("m1", "k1")
        letter = DeadLettered(cause=Cause.FAILED, envelope=envelope, reason="no", failure=failure, parks=True)
        await trial.commit(letter)
        (whole,) = await trial.store.inspect.dead_letters()

        (found,) = await trial.store.inspect.dead_letters(bodies=False)

        assert whole.traceback
        assert whole.envelope.body
        assert found == replace(whole, envelope=replace(whole.envelope, body=b""), traceback=None)
        assert await trial.store.inspect.dead_letter(whole.id, bodies=False) == found

    @conformance
    async def test_a_letter_is_found_by_its_id_whatever_its_status(self, trial: Trial) -> None:
        letter = await trial.bury()
        assert await trial.store.inspect.dead_letter(letter.id) == letter

        await trial.store.discard(letter.id)

        found = await trial.store.inspect.dead_letter(letter.id)
        assert found is not None
        assert found.status == "discarded"
        assert await trial.store.inspect.dead_letter(letter.id + 1) is None
        assert await trial.store.inspect.dead_letter(letter.id - 1) is None


class ReplayConformance(StoreSuite):
    """`replay` and `discard`: once each, and never a second effect."""

    @conformance
    async def test_a_replay_puts_the_same_message_back_with_no_attempts(self, trial: Trial) -> None:
        letter = await trial.bury()

        assert await trial.store.replay(letter.id) is DONE

        back = (await trial.fetch()).envelopes[0]
        assert (back.message_id, back.body, back.sent_at) == ("m1", letter.envelope.body, letter.envelope.sent_at)
        assert (back.attempt, back.failed_at, back.stashed) == (0, None, False)
        assert back.position > letter.envelope.position
        assert await trial.letters() == []

    @conformance
    async def test_a_replay_is_due_at_once_though_the_message_was_waiting(self, trial: Trial) -> None:
        stored = await trial.accept_one(delay=3600_000_000)
        await trial.commit(DeadLettered(cause=Cause.FAILED, envelope=stored, reason="no"))
        letter = (await trial.letters())[0]

        await trial.store.replay(letter.id)

        assert await trial.due_ids() == ["m1"]

    @conformance
    async def test_a_clock_set_back_does_not_delay_a_replay(self, trial: Trial) -> None:
        letter = await trial.bury()
        await trial.store.replay(letter.id)

        trial.clock.jump(-timedelta(hours=1))

        assert await trial.due_ids() == ["m1"]

    @conformance
    async def test_a_second_replay_does_nothing(self, trial: Trial) -> None:
        letter = await trial.bury()

        answers = [await trial.store.replay(letter.id) for _ in range(3)]

        assert answers == [DONE, ALREADY_DONE, ALREADY_DONE]
        assert await trial.stored_ids() == ["m1"]

    @conformance
    async def test_replaying_what_took_effect_since_does_nothing(self, trial: Trial) -> None:
        letter = await trial.bury()
        await trial.store.replay(letter.id)
        await trial.commit(completed((await trial.fetch()).envelopes[0]))

        assert await trial.store.replay(letter.id) is ALREADY_DONE
        assert await trial.stored() == []

    @conformance
    async def test_a_replayed_message_that_dies_again_opens_the_same_letter(self, trial: Trial) -> None:
        letter = await trial.bury()
        await trial.store.replay(letter.id)
        back = (await trial.fetch()).envelopes[0]

        await trial.commit(DeadLettered(cause=Cause.FAILED, envelope=back, reason="again", failure=FAILURE))

        assert [(each.id, each.reason, each.attempts) for each in await trial.letters()] == [(letter.id, "again", 1)]
        assert await trial.store.replay(letter.id) is DONE

    @conformance
    async def test_unknown_letters_are_not_found(self, trial: Trial) -> None:
        assert await trial.store.replay(12345) is ReplayResult.NOT_FOUND
        assert await trial.store.discard(12345) is ReplayResult.NOT_FOUND

    @conformance
    async def test_a_discarded_letter_is_closed_for_good(self, trial: Trial) -> None:
        letter = await trial.bury()

        assert await trial.store.discard(letter.id) is DONE
        assert await trial.store.discard(letter.id) is ALREADY_DONE
        assert await trial.store.replay(letter.id) is ALREADY_DONE
        assert await trial.stored() == []

    @conformance
    async def test_a_replayed_letter_cannot_be_discarded(self, trial: Trial) -> None:
        letter = await trial.bury()
        await trial.store.replay(letter.id)

        assert await trial.store.discard(letter.id) is ALREADY_DONE
        assert await trial.due_ids() == ["m1"]

    @conformance
    async def test_a_collision_is_replayed_only_by_force(self, trial: Trial) -> None:
        await trial.accept_one("m1", body=b"1")
        await trial.append(trial.envelope("m1", body=b"2"))
        letter = (await trial.letters())[0]

        assert await trial.store.replay(letter.id) is ReplayResult.COLLISION
        assert [each.id for each in await trial.letters()] == [letter.id]

        assert await trial.store.replay(letter.id, force=True) is DONE
        assert [each.body for each in await trial.stored()] == [b"1", b"2"]

    @conformance
    async def test_a_letter_below_the_horizon_is_replayed_only_by_force(self, trial: Trial) -> None:
        letter = await trial.bury()
        trial.wait(2 * 86_400)
        await trial.purge()

        assert await trial.store.replay(letter.id) is ReplayResult.TOO_OLD
        assert (await trial.stored(), len(await trial.letters())) == ([], 1)

        assert await trial.store.replay(letter.id, force=True) is DONE
        assert await trial.stored_ids() == ["m1"]

    @conformance
    async def test_a_quarantined_copy_of_what_took_effect_is_closed_without_effect(self, trial: Trial) -> None:
        """The copy was stamped below the horizon; the original came later, with a stamp above it."""
        trial.wait(2 * 86_400)
        await trial.purge()
        await trial.append(trial.envelope("m1", sent_at=trial.clock.now() - 2 * DAY))
        stored = await trial.accept_one("m1")
        await trial.commit(completed(stored))
        letter = (await trial.letters())[0]

        assert await trial.store.replay(letter.id, force=True) is ALREADY_DONE

        assert await trial.stored() == []
        assert await trial.letters() == []

    @conformance
    async def test_a_parked_letter_says_so(self, trial: Trial) -> None:
        assert (await trial.bury(parks=True)).parked

    @conformance
    async def test_a_replayed_parked_letter_goes_before_all_of_its_key(self, trial: Trial) -> None:
        letter = await trial.bury("m1", parks=True)
        await trial.accept(trial.envelope("m2"), trial.envelope("m3"))
        assert await trial.due_ids() == []

        assert await trial.store.replay(letter.id) is DONE

        back = (await trial.fetch()).envelopes
        assert [each.message_id for each in back] == ["m1"]
        assert await trial.commit(completed(back[0])) == [COMMITTED]
        assert await trial.due_ids() == ["m2", "m3"]

    @conformance
    async def test_discarding_a_parked_letter_lets_its_key_go_on(self, trial: Trial) -> None:
        letter = await trial.bury("m1", parks=True)
        await trial.accept_one("m2")

        await trial.store.discard(letter.id)

        assert await trial.due_ids() == ["m2"]

    @conformance
    async def test_a_parked_message_that_dies_again_parks_its_key_again(self, trial: Trial) -> None:
        letter = await trial.bury("m1", parks=True)
        await trial.accept_one("m2")
        await trial.store.replay(letter.id)
        back = (await trial.fetch()).envelopes[0]

        await trial.commit(DeadLettered(cause=Cause.FAILED, envelope=back, reason="again", parks=True))

        assert await trial.due_ids() == []
        assert [each.id for each in await trial.letters()] == [letter.id]

    @conformance
    async def test_a_replayed_timer_does_not_take_the_place_of_a_newer_one(self, trial: Trial) -> None:
        await trial.append(trial.timer(message_id="t1"))
        await trial.commit(DeadLettered(cause=Cause.FAILED, envelope=(await trial.stored())[0], reason="no"))
        await trial.append(trial.timer(message_id="t2"))

        assert await trial.store.replay((await trial.letters())[0].id) is ALREADY_DONE

        assert await trial.stored_ids() == ["t2"]
        assert await trial.letters() == []
