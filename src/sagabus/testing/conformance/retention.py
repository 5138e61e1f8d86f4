"""Forgetting: bounded, and never so that a late copy could take effect a second time."""

from __future__ import annotations

from datetime import timedelta

from sagabus.envelope import Cause
from sagabus.outcome import Admission, DeadLettered
from sagabus.store import Retention
from sagabus.store.upkeep import Purged
from sagabus.testing.conformance.trial import (
    BILLING,
    COMMITTED,
    DAY,
    MINUTE,
    ORDERS,
    SECOND,
    StoreSuite,
    Trial,
    claim,
    completed,
    conformance,
    save,
)

ACCEPTED, DUPLICATE, TOO_OLD = Admission.ACCEPTED, Admission.DUPLICATE, Admission.TOO_OLD


class HorizonConformance(StoreSuite):
    """`purge` and the horizon: a record that is gone implies a stamp below it."""

    @conformance
    async def test_a_late_copy_of_a_forgotten_message_is_quarantined(self, trial: Trial) -> None:
        late = trial.envelope("m1")
        await trial.commit(completed((await trial.accept(late))[0]))
        trial.wait(2 * 86_400)
        await trial.purge()

        assert await trial.append(late) == [TOO_OLD]

        letter = (await trial.letters())[0]
        assert letter.reason == "too old: stamped before the de-duplication horizon"
        assert (letter.envelope.message_id, letter.envelope.sent_at) == ("m1", late.sent_at)
        assert await trial.stored() == []

    @conformance
    async def test_a_second_late_copy_opens_the_same_letter(self, trial: Trial) -> None:
        late = trial.envelope("m1")
        trial.wait(2 * 86_400)
        await trial.purge()

        assert await trial.append(late, late) == [TOO_OLD, TOO_OLD]
        assert await trial.append(late) == [TOO_OLD]

        assert len(await trial.letters()) == 1

    @conformance
    async def test_a_window_longer_than_there_are_numbers_keeps_everything(self, trial: Trial) -> None:
        stored = await trial.accept(trial.envelope("m1"))
        await trial.commit(completed(stored[0]))
        trial.wait(400 * 86_400)

        purged = await trial.store.purge([Retention(ORDERS, 2**66, 2**66)], 10)

        assert (purged.inbox, purged.more) == (0, False)
        assert await trial.append(trial.envelope("m1")) == [DUPLICATE]

    @conformance
    async def test_records_inside_the_window_are_kept(self, trial: Trial) -> None:
        copy = trial.envelope("m1")
        await trial.accept(copy)
        trial.wait(86_399)
        await trial.purge()

        assert await trial.append(copy) == [DUPLICATE]

    @conformance
    async def test_fresh_messages_are_accepted_after_a_purge(self, trial: Trial) -> None:
        trial.wait(2 * 86_400)
        await trial.purge()

        assert await trial.append(trial.envelope("m1")) == [ACCEPTED]
        assert await trial.append(trial.envelope("m2", sent_at=trial.clock.now() - DAY)) == [ACCEPTED]

    @conformance
    async def test_an_empty_purge_raises_the_horizon_all_the_same(self, trial: Trial) -> None:
        trial.wait(2 * 86_400)

        assert await trial.store.purge([Retention(ORDERS, DAY)], 100) == Purged()

        assert await trial.append(trial.envelope(sent_at=trial.clock.now() - DAY - 1)) == [TOO_OLD]

    @conformance
    async def test_a_copy_whose_record_is_kept_is_a_duplicate_however_old(self, trial: Trial) -> None:
        old = trial.envelope("m1", sent_at=trial.clock.now() + 3 * DAY)
        await trial.accept(old)
        trial.wait(2 * 86_400)
        await trial.purge()

        assert await trial.append(trial.envelope("m1", sent_at=trial.clock.now() - 2 * DAY)) == [DUPLICATE]

    @conformance
    async def test_what_is_stored_already_still_runs(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        trial.wait(2 * 86_400)
        await trial.purge()

        assert await trial.due_ids() == ["m1"]
        assert await trial.commit(completed(stored, save=save())) == [COMMITTED]

    @conformance
    async def test_a_purge_is_bounded_and_says_whether_there_is_more(self, trial: Trial) -> None:
        await trial.accept(*(trial.envelope(f"m{i}", sent_at=trial.clock.now() + i) for i in range(10)))
        trial.wait(2 * 86_400)

        first = await trial.store.purge([Retention(ORDERS, DAY)], 4)
        second = await trial.store.purge([Retention(ORDERS, DAY)], 4)
        third = await trial.store.purge([Retention(ORDERS, DAY)], 4)

        assert [first.inbox, second.inbox, third.inbox] == [4, 4, 2]
        assert [first.more, second.more, third.more] == [True, True, False]

    @conformance
    async def test_after_a_bounded_purge_no_copy_gets_through(self, trial: Trial) -> None:
        copies = [trial.envelope(f"m{i}", sent_at=trial.clock.now() + i) for i in range(10)]
        await trial.accept(*copies)
        trial.wait(2 * 86_400)

        await trial.store.purge([Retention(ORDERS, DAY)], 4)

        assert await trial.append(*copies) == [TOO_OLD] * 4 + [DUPLICATE] * 6

    @conformance
    async def test_records_of_one_stamp_go_together(self, trial: Trial) -> None:
        copies = [trial.envelope(f"m{i}") for i in range(10)]
        await trial.accept(*copies)
        trial.wait(2 * 86_400)

        assert (await trial.store.purge([Retention(ORDERS, DAY)], 4)).inbox == 10

        assert await trial.append(*copies) == [TOO_OLD] * 10
        assert await trial.append(trial.envelope("fresh")) == [ACCEPTED]

    @conformance
    async def test_the_horizon_never_falls(self, trial: Trial) -> None:
        trial.wait(10 * 86_400)
        await trial.purge(window=DAY)
        bound = trial.clock.now() - DAY

        await trial.purge(window=5 * DAY)
        trial.clock.jump(-timedelta(days=3))
        await trial.purge(window=DAY)

        answers = await trial.append(trial.envelope("m1", sent_at=bound - 1), trial.envelope("m2", sent_at=bound))
        assert answers == [TOO_OLD, ACCEPTED]

    @conformance
    async def test_a_clock_jump_forward_costs_delay_and_no_second_effect(self, trial: Trial) -> None:
        copy = trial.envelope("m1")
        await trial.commit(completed((await trial.accept(copy))[0]))
        trial.clock.jump(timedelta(days=8))
        await trial.purge()
        trial.clock.jump(-timedelta(days=8))

        assert await trial.append(copy, trial.envelope("m2")) == [TOO_OLD, TOO_OLD]
        assert await trial.stored() == []

    @conformance
    async def test_each_channel_has_its_own_horizon(self, trial: Trial) -> None:
        copies = [trial.envelope("m1"), trial.envelope("m1", channel=BILLING)]
        await trial.append(*copies)
        trial.wait(2 * 86_400)

        await trial.purge(channel=ORDERS)

        assert await trial.append(*copies) == [TOO_OLD, DUPLICATE]

    @conformance
    async def test_a_scheduled_message_is_remembered_from_its_due_time(self, trial: Trial) -> None:
        copy = trial.envelope("m1", delay=3 * DAY)
        await trial.accept(copy)
        trial.wait(2 * 86_400)
        await trial.purge()

        assert await trial.append(copy) == [DUPLICATE]

    @conformance
    async def test_claims_are_forgotten_as_ids_are(self, trial: Trial) -> None:
        stored = await trial.accept_one("m1")
        await trial.commit(completed(stored, claims=(claim(),)))
        trial.wait(2 * 86_400)

        purged = await trial.store.purge([Retention(ORDERS, DAY)], 100)

        assert purged.inbox == 2
        fresh = await trial.accept_one("m2")
        assert await trial.commit(completed(fresh, claims=(claim(),))) == [COMMITTED]

    @conformance
    async def test_unguarded_envelopes_know_no_horizon(self, trial: Trial) -> None:
        trial.wait(2 * 86_400)
        await trial.purge()

        assert await trial.append(trial.envelope(guarded=False, sent_at=1)) == [ACCEPTED]


class PurgeConformance(StoreSuite):
    """What else `purge` removes, and what it must not."""

    @conformance
    async def test_a_tombstone_goes_after_its_window_and_not_before(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        await trial.commit(completed(stored, save=save(completed=True)))

        trial.wait(86_400)
        await trial.purge()
        assert await trial.instance() is not None

        trial.wait(1)
        purged = await trial.store.purge([Retention(ORDERS, DAY)], 100)
        assert purged.instances == 1
        assert await trial.instance() is None

    @conformance
    async def test_a_key_may_start_again_once_its_tombstone_is_gone(self, trial: Trial) -> None:
        await trial.commit(completed(await trial.accept_one("m1"), save=save(completed=True)))
        trial.wait(2 * 86_400)
        await trial.purge()

        assert await trial.commit(completed(await trial.accept_one("m2"), save=save(0))) == [COMMITTED]

    @conformance
    async def test_live_instances_and_other_sagas_stay(self, trial: Trial) -> None:
        first, second = await trial.accept(trial.envelope("m1", "A1"), trial.envelope("m2", "B2"))
        await trial.commit(
            completed(first, save=save(0)),
            completed(second, save=save(0, saga="shipping", completed=True)),
        )
        trial.wait(9 * 86_400)

        assert (await trial.store.purge([Retention(ORDERS, DAY)], 100)).instances == 0
        assert await trial.instance() is not None
        assert await trial.instance(saga="shipping") is not None

    @conformance
    async def test_tombstones_go_in_bounded_steps_until_none_is_left(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}", f"k{i}", guarded=False) for i in range(5)))
        await trial.commit(*(completed(each, save=save(key=f"k{i}", completed=True)) for i, each in enumerate(stored)))
        trial.wait(2 * 86_400)

        purged = await trial.store.purge([Retention(ORDERS, DAY)], 3)
        assert (purged.instances, purged.more) == (3, True)

        await trial.purge(limit=3)
        assert (await trial.store.inspect.instances(ORDERS)).found == ()

    @conformance
    async def test_open_dead_letters_are_never_purged(self, trial: Trial) -> None:
        await trial.bury()
        trial.wait(99 * 86_400)

        await trial.purge()

        assert len(await trial.letters()) == 1

    @conformance
    async def test_closed_dead_letters_go_after_their_window(self, trial: Trial) -> None:
        discarded, replayed = await trial.bury("m1", "A1"), await trial.bury("m2", "B2")
        await trial.store.discard(discarded.id)
        await trial.store.replay(replayed.id)
        await trial.purge()
        assert len(await trial.letters(None)) == 2

        trial.wait(2 * 86_400)
        purged = await trial.store.purge([Retention(ORDERS, DAY)], 100)

        assert purged.dead_letters == 2
        assert await trial.letters(None) == []
        assert await trial.stored_ids() == ["m2"]

    @conformance
    async def test_letters_of_other_channels_stay(self, trial: Trial) -> None:
        stored = await trial.accept_one(channel=BILLING)
        await trial.commit(DeadLettered(cause=Cause.FAILED, envelope=stored, reason="no"))
        await trial.store.discard((await trial.letters())[0].id)
        trial.wait(2 * 86_400)

        assert (await trial.store.purge([Retention(ORDERS, DAY)], 100)).dead_letters == 0

    @conformance
    async def test_a_purge_removes_nothing_that_waits(self, trial: Trial) -> None:
        await trial.append(trial.envelope("m1"), trial.envelope("m2", delay=MINUTE), trial.timer(after=30 * DAY))
        trial.wait(9 * 86_400)

        await trial.purge()

        assert await trial.stored_ids() == ["m1", "m2", "timer-payment-A1"]

    @conformance
    async def test_several_channels_are_purged_in_one_call(self, trial: Trial) -> None:
        await trial.append(trial.envelope("m1"), trial.envelope("m1", channel=BILLING))
        trial.wait(2 * 86_400)

        purged = await trial.store.purge([Retention(ORDERS, DAY), Retention(BILLING, SECOND)], 100)

        assert (purged.inbox, purged.more) == (2, False)
