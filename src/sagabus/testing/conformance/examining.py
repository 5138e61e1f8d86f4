"""`inspect.faults` and `mend`: what does not hold in a store is found, and what holds is not."""

from __future__ import annotations

import pytest

from sagabus.envelope import Cause
from sagabus.outcome import DeadLettered, RetryAt
from sagabus.store.examination import MENDABLE, Fault, FaultKind, Still
from sagabus.testing.conformance.trial import (
    BILLING,
    FAILURE,
    MINUTE,
    ORDERS,
    SECOND,
    StoreSuite,
    Trial,
    completed,
    conformance,
    save,
)


class ExaminationConformance(StoreSuite):
    """`faults`, `mend`, `recent_letters` and `conditions`."""

    @conformance
    async def test_a_store_at_work_has_no_faults(self, trial: Trial) -> None:
        first, second = await trial.accept(trial.envelope("m1", "A1"), trial.envelope("m2", "B2"))
        timer = trial.timer(key="A1")
        await trial.commit(
            completed(first, save=save(timers={"payment": timer.message_id}, recorded=True), sent=(timer,)),
            DeadLettered(cause=Cause.FAILED, envelope=second, reason="no", parks=True),
        )

        assert [fault for kind in FaultKind for fault in await trial.store.inspect.faults(kind)] == []

    @conformance
    async def test_a_timer_without_an_instance_is_found_and_left(self, trial: Trial) -> None:
        await trial.append(trial.timer("payment", "A1"))

        (fault,) = await trial.store.inspect.faults(FaultKind.ORPHAN_TIMER)

        assert (fault.channel, fault.key, fault.detail) == (ORDERS, "A1", "payment")
        with pytest.raises(ValueError, match="timer without an instance"):
            await trial.store.mend(fault)
        trial.wait(61)
        assert not await trial.store.inspect.faults(FaultKind.ORPHAN_TIMER)  # due, it ends by itself

    @conformance
    async def test_a_timer_of_a_finished_instance_is_found_and_removed(self, trial: Trial) -> None:
        finished, live = await trial.accept(trial.envelope("m1", "A1"), trial.envelope("m2", "B2"))
        timers = {"payment": "timer-payment-B2"}
        await trial.commit(
            completed(finished, save=save(completed=True)), completed(live, save=save(key="B2", timers=timers))
        )
        await trial.append(trial.timer("payment", "A1"), trial.timer("payment", "B2"))

        (fault,) = await trial.store.inspect.faults(FaultKind.IDLE_TIMER)

        assert (fault.channel, fault.key, fault.detail) == (ORDERS, "A1", "payment")
        assert [await trial.store.mend(fault) for _ in range(2)] == [1, 0]
        assert await trial.stored_ids() == ["timer-payment-B2"]

    @conformance
    async def test_an_instance_whose_timers_are_gone_is_found_unless_a_dead_letter_holds_one(
        self, trial: Trial
    ) -> None:
        first, second, timer = await trial.accept(
            trial.envelope("m1", "A1"), trial.envelope("m2", "B2"), trial.timer("payment", "B2")
        )
        await trial.commit(
            completed(first, save=save(timers={"payment": "gone"})),
            completed(second, save=save(key="B2", timers={"payment": timer.message_id})),
            DeadLettered(cause=Cause.FAILED, envelope=timer, reason="no"),
        )

        found = await trial.store.inspect.faults(FaultKind.LOST_TIMER)

        assert [(each.channel, each.key, each.detail) for each in found] == [(ORDERS, "A1", "payment")]

    @conformance
    async def test_of_several_timers_the_ones_that_are_gone_are_found(self, trial: Trial) -> None:
        first, stored, held = await trial.accept(
            trial.envelope("m1", "A1"), trial.timer("payment", "A1"), trial.timer("reminder", "A1")
        )
        timers = {"payment": stored.message_id, "reminder": held.message_id, "delivery": "gone", "refund": "lost"}
        await trial.commit(
            completed(first, save=save(timers=timers)), DeadLettered(cause=Cause.FAILED, envelope=held, reason="no")
        )

        found = await trial.store.inspect.faults(FaultKind.LOST_TIMER)

        assert [(each.channel, each.key, each.detail) for each in found] == [(ORDERS, "A1", "delivery, refund")]

    @conformance
    async def test_messages_in_a_lane_that_there_is_not_are_counted(self, trial: Trial) -> None:
        lanes = trial.routing.lanes
        await trial.append(trial.envelope("m1", lane=lanes + 2), trial.envelope("m2", lane=lanes + 1))
        await trial.append(trial.envelope("m3", channel=BILLING))

        found = await trial.store.inspect.faults(FaultKind.UNKNOWN_LANE)

        assert [(each.channel, each.detail, each.count) for each in found] == [(ORDERS, str(lanes + 1), 2)]

    @conformance
    async def test_what_holds_is_not_mended(self, trial: Trial) -> None:
        await trial.bury("m1", "A1", parks=True)
        retried = await trial.accept_one("m2", "B2")
        await trial.commit(RetryAt(envelope=retried, delay=MINUTE, failure=FAILURE))
        retained = Fault(FaultKind.EXPIRED_RECORD, ORDERS)
        parked = Fault(FaultKind.DANGLING_PARK, ORDERS, "A1")
        holds = [
            Fault(FaultKind.DANGLING_HOLD, ORDERS, "A1", position=0),
            Fault(FaultKind.DANGLING_HOLD, ORDERS, "B2", position=retried.position),
        ]

        assert [await trial.store.mend(each) for each in (retained, parked, *holds)] == [0] * 4

        assert (await trial.store.inspect.key(ORDERS, "A1")).first == 0
        assert (await trial.store.inspect.key(ORDERS, "B2")).first == retried.position
        for kind in set(FaultKind) - MENDABLE:
            with pytest.raises(ValueError, match=kind.value):
                await trial.store.mend(Fault(kind, ORDERS))

    @conformance
    async def test_recent_letters_are_counted_by_channel(self, trial: Trial) -> None:
        await trial.bury("m1", "A1")
        trial.wait(60)
        await trial.bury("m2", "B2")
        await trial.bury("m3", "C3")

        recent = trial.store.inspect.recent_letters
        assert dict(await recent(MINUTE - SECOND)) == {ORDERS: 2}
        assert dict(await recent(2 * MINUTE)) == {ORDERS: 3}
        assert dict(await recent(-1)) == {}

    @conformance
    async def test_live_instances_that_have_not_changed_come_by_key_in_pages(self, trial: Trial) -> None:
        keys = ["b", "a", "B", "done"]
        stored = await trial.accept(*(trial.envelope(f"m{key}", key) for key in keys))
        early = trial.clock.now()
        await trial.commit(
            *(
                completed(each, save=save(key=key, status=key, completed=key == "done"))
                for key, each in zip(keys, stored, strict=True)
            )
        )
        trial.wait(60)
        later = await trial.accept_one("later", "c")
        await trial.commit(completed(later, save=save(key="c")))

        unchanged = trial.store.inspect.unchanged
        page = await unchanged(ORDERS, MINUTE)
        assert page.now == trial.clock.now()
        assert [each.key for each in page.found] == ["B", "a", "b"]
        assert page.found[0] == Still("B", 1, "B", early)
        assert page.after is None
        first = await unchanged(ORDERS, MINUTE, limit=2)
        assert ([each.key for each in first.found], first.after) == (["B", "a"], "a")
        assert [each.key for each in (await unchanged(ORDERS, MINUTE, after="a")).found] == ["b"]
        assert [each.key for each in (await unchanged(ORDERS, MINUTE, status="b")).found] == ["b"]
        assert (await unchanged(ORDERS, MINUTE, status="done")).found == ()
        assert (await unchanged(ORDERS, MINUTE + 1)).found == ()
        assert (await unchanged("orders ", 0)).found == ()

    @conformance
    async def test_the_conditions_say_the_clock(self, trial: Trial) -> None:
        assert (await trial.store.inspect.conditions()).now == trial.clock.now()
