"""Times at the edges: what lies in the past is due now, and the longest delay fits, whichever way it comes in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sagabus.clock import LONGEST, micros
from sagabus.envelope import Envelope
from sagabus.outcome import Admission, RetryAt
from sagabus.store import Capability
from sagabus.testing.conformance.trial import (
    COMMITTED,
    FAILURE,
    ORDERS,
    SECOND,
    StoreSuite,
    Trial,
    completed,
    conformance,
)

BEFORE_1970 = (-1, -SECOND, -31_536_000 * SECOND, -62_135_596_800 * SECOND)
"""A microsecond, a second and a year before 1970, and the beginning of the year 1."""


class TimesConformance(StoreSuite):
    """Due times: none is lost because a database reads it as something else."""

    @staticmethod
    def past(trial: Trial, make: Callable[..., Envelope] | None = None, **fields: Any) -> list[Envelope]:
        """One envelope for each instant before 1970."""
        make = make or trial.envelope
        return [make(f"m{at}", f"k{at}", due_at=at, sent_at=at, **fields) for at in BEFORE_1970]

    @conformance
    async def test_what_is_due_before_1970_is_due_now(self, trial: Trial) -> None:
        sent = self.past(trial, guarded=False)

        await trial.append(*sent)

        assert await trial.due_ids() == [each.message_id for each in sent]
        assert await trial.store.inspect.due([ORDERS])
        (counts,) = [each for each in await trial.store.inspect.counts() if each.channel == ORDERS]
        assert counts.ready == len(sent)

    @conformance
    async def test_a_message_sent_from_a_handler_for_the_past_is_due_now(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        sent = self.past(trial, guarded=False)

        assert await trial.commit(completed(stored, sent=tuple(sent))) == [COMMITTED]

        assert sorted(await trial.due_ids()) == sorted(each.message_id for each in sent)

    @conformance
    async def test_a_timer_set_for_the_past_is_due_now(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        timers = self.past(trial, guarded=False, timer="payment")

        assert await trial.commit(completed(stored, sent=tuple(timers))) == [COMMITTED]

        assert sorted(await trial.due_ids()) == sorted(each.message_id for each in timers)

    @conformance
    async def test_a_transaction_takes_the_past_for_now(self, trial: Trial) -> None:
        if not trial.has(Capability.CONNECTION):
            return
        sent = self.past(trial, guarded=False)

        async with trial.store.transaction() as unit:
            await unit.append(sent, trial.routing.version)
            await unit.commit()

        assert await trial.due_ids() == [each.message_id for each in sent]

    @conformance
    async def test_the_longest_delay_and_the_longest_wait_are_kept(self, trial: Trial) -> None:
        longest = micros(LONGEST)
        await trial.append(trial.envelope("m1", "k1", delay=longest))
        stored = await trial.accept_one("m2", "k2")

        await trial.commit(RetryAt(envelope=stored, delay=longest, failure=FAILURE))

        expected = trial.clock.now() + longest
        assert [each.due_at for each in await trial.stored()] == [expected, expected]
        assert await trial.due_ids() == []

    @conformance
    async def test_what_was_sent_below_the_horizon_is_too_old_though_it_is_due_later(self, trial: Trial) -> None:
        sent = [trial.envelope(f"m{at}", sent_at=at) for at in BEFORE_1970]
        scheduled = [trial.envelope(f"s{at}", sent_at=at, delay=SECOND) for at in BEFORE_1970]

        answers = await trial.append(*sent, *scheduled)

        assert set(answers) == {Admission.TOO_OLD}
        assert await trial.stored_ids() == []
