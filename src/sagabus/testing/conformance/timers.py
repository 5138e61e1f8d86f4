"""Timers: exactly once, never early, and never after they were cancelled or replaced."""

from __future__ import annotations

from datetime import timedelta

from sagabus.outcome import RetryAt, Verdict
from sagabus.testing.conformance.trial import (
    BILLING,
    COMMITTED,
    FAILURE,
    MINUTE,
    SECOND,
    StoreSuite,
    Trial,
    completed,
    conformance,
    save,
)


class TimerConformance(StoreSuite):
    """Timers are envelopes with a name, one for each channel, key and name."""

    @conformance
    async def test_a_timer_fires_at_its_time_and_not_before(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        await trial.commit(completed(stored, sent=(trial.timer(),)))

        trial.wait(59.999999)
        assert await trial.due_ids() == []

        trial.wait(0.000001)
        fetched = (await trial.fetch()).envelopes
        assert [(each.timer, each.due_at) for each in fetched] == [("payment", trial.clock.now())]

    @conformance
    async def test_a_timer_is_settled_once(self, trial: Trial) -> None:
        await trial.append(trial.timer())
        trial.wait(60)
        timer = (await trial.fetch()).envelopes[0]

        assert await trial.commit(completed(timer)) == [COMMITTED]
        assert await trial.commit(completed(timer)) == [Verdict.GONE]
        assert await trial.due_ids() == []

    @conformance
    async def test_a_timer_replaces_the_one_of_its_name(self, trial: Trial) -> None:
        await trial.append(trial.timer(message_id="t1", after=MINUTE))
        stored = await trial.accept_one()

        await trial.commit(completed(stored, sent=(trial.timer(message_id="t2", after=2 * MINUTE),)))

        assert await trial.stored_ids() == ["t2"]
        trial.wait(60)
        assert await trial.due_ids() == []

    @conformance
    async def test_appending_a_timer_replaces_too(self, trial: Trial) -> None:
        await trial.append(trial.timer(message_id="t1"))
        await trial.append(trial.timer(message_id="t2"), trial.timer(message_id="t3"))

        assert await trial.stored_ids() == ["t3"]

    @conformance
    async def test_timers_of_another_name_key_or_channel_are_left_alone(self, trial: Trial) -> None:
        others = (
            trial.timer("Payment", message_id="t1"),
            trial.timer("payment", "B2", message_id="t2"),
            trial.timer("payment", "a1", message_id="t3"),
            trial.timer("payment", channel=BILLING, message_id="t4"),
        )
        await trial.append(*others, trial.timer("payment", message_id="t5"))
        stored = await trial.accept_one()

        await trial.commit(completed(stored, cancelled=("payment",)))

        assert await trial.stored_ids() == ["t1", "t2", "t3"]
        assert await trial.stored_ids(BILLING) == ["t4"]

    @conformance
    async def test_a_cancelled_timer_never_fires(self, trial: Trial) -> None:
        await trial.append(trial.timer())
        stored = await trial.accept_one()

        assert await trial.commit(completed(stored, cancelled=("payment",))) == [COMMITTED]

        trial.wait(600)
        assert await trial.due_ids() == []

    @conformance
    async def test_cancelling_what_is_not_there_is_no_error(self, trial: Trial) -> None:
        stored = await trial.accept_one()

        assert await trial.commit(completed(stored, cancelled=("payment", "payment", "other"))) == [COMMITTED]

    @conformance
    async def test_a_timer_in_flight_is_gone_once_it_was_cancelled(self, trial: Trial) -> None:
        await trial.append(trial.timer())
        stored = await trial.accept_one(key="A1")
        trial.wait(60)
        timer = next(each for each in (await trial.fetch()).envelopes if each.timer)

        await trial.commit(completed(stored, cancelled=("payment",)))

        assert await trial.commit(completed(timer, save=save())) == [Verdict.GONE]
        assert await trial.instance() is None

    @conformance
    async def test_a_timer_in_flight_is_gone_if_the_same_batch_cancels_it_first(self, trial: Trial) -> None:
        await trial.append(trial.timer())
        stored = await trial.accept_one()
        timer = next(each for each in await trial.stored() if each.timer)

        verdicts = await trial.commit(completed(stored, save=save(0), cancelled=("payment",)), completed(timer))

        assert verdicts == [COMMITTED, Verdict.GONE]

    @conformance
    async def test_a_timer_settled_first_is_merely_absent_for_the_one_that_cancels_it(self, trial: Trial) -> None:
        await trial.append(trial.timer())
        stored = await trial.accept_one()
        timer = next(each for each in await trial.stored() if each.timer)

        verdicts = await trial.commit(completed(timer), completed(stored, cancelled=("payment",)))

        assert verdicts == [COMMITTED, COMMITTED]

    @conformance
    async def test_a_timer_in_flight_is_gone_once_it_was_replaced(self, trial: Trial) -> None:
        await trial.append(trial.timer(message_id="t1"))
        timer = (await trial.stored())[0]
        await trial.append(trial.timer(message_id="t2"))

        assert await trial.commit(completed(timer)) == [Verdict.GONE]
        assert await trial.stored_ids() == ["t2"]

    @conformance
    async def test_a_timer_may_set_itself_again(self, trial: Trial) -> None:
        await trial.append(trial.timer(message_id="t1"))
        timer = (await trial.stored())[0]

        assert await trial.commit(completed(timer, sent=(trial.timer(message_id="t2"),))) == [COMMITTED]
        assert await trial.stored_ids() == ["t2"]

    @conformance
    async def test_a_run_may_cancel_and_set_one_name(self, trial: Trial) -> None:
        await trial.append(trial.timer(message_id="t1"))
        stored = await trial.accept_one()

        await trial.commit(completed(stored, cancelled=("payment",), sent=(trial.timer(message_id="t2"),)))

        assert await trial.stored_ids() == ["t2"]

    @conformance
    async def test_a_timer_set_in_a_batch_is_cancelled_by_the_next_run_of_the_batch(self, trial: Trial) -> None:
        first, second = await trial.accept(trial.envelope("m1"), trial.envelope("m2"))

        verdicts = await trial.commit(
            completed(first, save=save(0), sent=(trial.timer(),)),
            completed(second, save=save(1), cancelled=("payment",)),
        )

        assert verdicts == [COMMITTED, COMMITTED]
        assert await trial.stored_ids() == []

    @conformance
    async def test_a_timer_cancelled_by_a_run_is_set_again_by_the_next_of_the_batch(self, trial: Trial) -> None:
        await trial.append(trial.timer(message_id="t1"))
        first, second = await trial.accept(trial.envelope("m1"), trial.envelope("m2"))

        verdicts = await trial.commit(
            completed(first, save=save(0), cancelled=("payment",)),
            completed(second, save=save(1), sent=(trial.timer(message_id="t2"),)),
        )

        assert verdicts == [COMMITTED, COMMITTED]
        assert await trial.stored_ids() == ["t2"]

    @conformance
    async def test_completing_an_instance_removes_its_timers_and_no_others(self, trial: Trial) -> None:
        await trial.append(
            trial.timer("payment", message_id="t1"),
            trial.timer("delivery", message_id="t2"),
            trial.timer("payment", "B2", message_id="t3"),
            trial.timer("payment", channel=BILLING, message_id="t4"),
        )
        stored = await trial.accept_one("m1")
        await trial.accept_one("m2")

        await trial.commit(completed(stored, save=save(completed=True)))

        assert await trial.stored_ids() == ["t3", "m2"]
        assert await trial.stored_ids(BILLING) == ["t4"]

    @conformance
    async def test_a_run_that_does_not_commit_neither_sets_nor_cancels(self, trial: Trial) -> None:
        await trial.append(trial.timer("payment", message_id="t1"))
        stored = await trial.accept_one()
        lost = completed(stored, save=save(7), cancelled=("payment",), sent=(trial.timer("delivery"),))

        assert await trial.commit(lost) == [Verdict.CONFLICT]
        assert await trial.stored_ids() == ["t1", "m1"]

    @conformance
    async def test_a_timer_that_is_retried_can_still_be_cancelled(self, trial: Trial) -> None:
        await trial.append(trial.timer())
        await trial.accept(trial.envelope("m1"), trial.envelope("m2"))
        timer, stored, _ = await trial.stored()
        await trial.commit(RetryAt(envelope=timer, delay=MINUTE, failure=FAILURE))

        assert await trial.commit(completed(stored, cancelled=("payment",))) == [COMMITTED]
        assert await trial.stored_ids() == ["m2"]

    @conformance
    async def test_a_key_goes_on_when_the_timer_that_held_it_is_cancelled(self, trial: Trial) -> None:
        await trial.append(trial.timer())
        await trial.accept(trial.envelope("m1"), trial.envelope("m2"))
        timer, stored, _ = await trial.stored()
        await trial.commit(RetryAt(envelope=timer, delay=MINUTE, failure=FAILURE))

        await trial.commit(completed(stored, cancelled=("payment",)))

        assert await trial.due_ids() == ["m2"]

    @conformance
    async def test_a_key_goes_on_when_its_instance_completes_over_a_timer_that_held_it(self, trial: Trial) -> None:
        await trial.append(trial.timer())
        await trial.accept(trial.envelope("m1"), trial.envelope("m2"))
        timer, stored, _ = await trial.stored()
        await trial.commit(RetryAt(envelope=timer, delay=MINUTE, failure=FAILURE))

        await trial.commit(completed(stored, save=save(completed=True)))

        assert await trial.due_ids() == ["m2"]

    @conformance
    async def test_a_clock_set_back_delays_a_timer_and_never_loses_it(self, trial: Trial) -> None:
        await trial.append(trial.timer())
        trial.clock.jump(-timedelta(hours=1))

        trial.wait(60)
        assert await trial.due_ids() == []

        trial.wait(3600)
        assert await trial.due_ids() == ["timer-payment-A1"]

    @conformance
    async def test_a_clock_set_forward_makes_a_timer_due(self, trial: Trial) -> None:
        await trial.append(trial.timer(after=3600 * SECOND))

        trial.clock.jump(timedelta(hours=1))

        assert await trial.due_ids() == ["timer-payment-A1"]
