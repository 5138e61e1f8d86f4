"""Subscriptions, read-only questions, and the hint that something changed."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from sagabus.envelope import Cause
from sagabus.errors import ConfigurationError
from sagabus.outcome import DeadLettered, RetryAt, Stashed
from sagabus.store import Subscription
from sagabus.store.inspection import ChannelCounts
from sagabus.testing.conformance.trial import (
    BILLING,
    FAILURE,
    MINUTE,
    ORDERS,
    SECOND,
    SUBMITTED,
    SUBSCRIPTIONS,
    StoreSuite,
    Trial,
    completed,
    conformance,
    save,
)


def command(channel: str, message_type: str = "payments.capture") -> Subscription:
    """That a channel receives a command."""
    return Subscription(message_type=message_type, channel=channel, kind="command")


class SurroundingsConformance(StoreSuite):
    """`durability_risks`: what a store reports about its database."""

    @conformance
    async def test_risks_are_sentences_and_asking_changes_nothing(self, trial: Trial) -> None:
        before = await trial.store.routing()

        first, second = [await trial.store.durability_risks() for _ in range(2)]

        assert list(first) == list(second)
        assert all(": " in risk for risk in first)
        assert await trial.store.routing() == before


class RoutingConformance(StoreSuite):
    """`register`, `unregister` and `routing`: who receives what, at which version."""

    @conformance
    async def test_subscriptions_are_kept_with_all_their_fields(self, trial: Trial) -> None:
        odd = Subscription(
            message_type="ä", channel="it's", kind="event", key=None, keyed=True, window=7, deduplicated=False
        )

        routing = await trial.store.register([odd])

        assert set(routing.subscriptions) == {odd, *SUBSCRIPTIONS}
        assert await trial.store.routing() == routing

    @conformance
    async def test_equal_subscriptions_change_nothing(self, trial: Trial) -> None:
        assert (await trial.store.register(SUBSCRIPTIONS)).version == trial.routing.version
        assert (await trial.store.register([])).version == trial.routing.version

    @conformance
    async def test_a_new_or_changed_subscription_raises_the_version(self, trial: Trial) -> None:
        added = await trial.store.register([command("payments")])
        changed = await trial.store.register(
            [Subscription(message_type=SUBMITTED, channel=ORDERS, kind="event", key="other", window=1)]
        )

        assert trial.routing.version < added.version < changed.version
        assert {each.key for each in changed.subscriptions if each.channel == ORDERS} == {"other"}
        assert len(changed.subscriptions) == 3

    @conformance
    async def test_a_command_has_one_receiver(self, trial: Trial) -> None:
        before = await trial.store.register([command("payments")])

        with pytest.raises(ConfigurationError, match=r"payments\.capture"):
            await trial.store.register([command("till"), command("till", "payments.refund")])

        assert await trial.store.routing() == before
        assert await trial.store.register([command("payments")]) == before

    @conformance
    async def test_two_receivers_of_a_command_in_one_call_are_refused(self, trial: Trial) -> None:
        with pytest.raises(ConfigurationError):
            await trial.store.register([command("payments"), command("till")])

        assert (await trial.store.routing()).version == trial.routing.version

    @conformance
    async def test_a_command_may_move_once_its_receiver_is_removed(self, trial: Trial) -> None:
        await trial.store.register([command("payments")])
        await trial.store.unregister("payments", "payments.capture")

        routing = await trial.store.register([command("till")])

        assert {each.channel for each in routing.subscriptions if each.kind == "command"} == {"till"}

    @conformance
    async def test_unregistering_leaves_what_is_stored(self, trial: Trial) -> None:
        await trial.accept_one()

        routing = await trial.store.unregister(ORDERS, SUBMITTED)

        assert routing.version > trial.routing.version
        assert {each.channel for each in routing.subscriptions} == {BILLING}
        assert await trial.due_ids() == ["m1"]

    @conformance
    async def test_unregistering_what_is_not_there_changes_nothing(self, trial: Trial) -> None:
        assert (await trial.store.unregister("nowhere", SUBMITTED)).version == trial.routing.version


class InspectionConformance(StoreSuite):
    """`inspect`: questions that change nothing."""

    @conformance
    async def test_an_idle_channel_has_nothing_due(self, trial: Trial) -> None:
        assert not await trial.store.inspect.due([ORDERS, BILLING])
        assert not await trial.store.inspect.due([])

    @conformance
    async def test_due_is_what_could_run_now(self, trial: Trial) -> None:
        await trial.accept_one("m1", delay=MINUTE)
        assert not await trial.store.inspect.due([ORDERS])

        trial.wait(60)

        assert await trial.store.inspect.due([ORDERS])
        assert await trial.store.inspect.due([BILLING, ORDERS])
        assert not await trial.store.inspect.due([BILLING])

    @conformance
    async def test_held_and_stashed_envelopes_are_not_due(self, trial: Trial) -> None:
        first, _, early = await trial.accept(
            trial.envelope("m1"), trial.envelope("m2"), trial.envelope("m3", "B2", delay=0)
        )
        await trial.commit(RetryAt(envelope=first, delay=MINUTE, failure=FAILURE), Stashed(early, 2 * MINUTE))

        assert not await trial.store.inspect.due([ORDERS])

        trial.wait(60)
        assert await trial.store.inspect.due([ORDERS])

    @conformance
    async def test_counts_has_a_row_for_each_channel_with_a_subscription_or_an_envelope(self, trial: Trial) -> None:
        await trial.accept_one(key=None)
        await trial.append(trial.envelope("m1", channel="elsewhere"))

        counts = {each.channel: each.ready for each in await trial.store.inspect.counts()}

        assert counts == {ORDERS: 1, BILLING: 0, "elsewhere": 1}

    @conformance
    async def test_counts_says_why_each_envelope_waits(self, trial: Trial) -> None:
        names = ("ready", "scheduled", "retrying", "stashed", "dead")
        later = {"scheduled": 60 * MINUTE}
        sent = (trial.envelope(name, name, delay=later.get(name, 0)) for name in names)
        stored = {each.message_id: each for each in await trial.accept(*sent)}
        await trial.append(trial.timer())
        await trial.commit(
            RetryAt(envelope=stored["retrying"], delay=60 * MINUTE, failure=FAILURE),
            Stashed(stored["stashed"], 60 * MINUTE),
            DeadLettered(cause=Cause.FAILED, envelope=stored["dead"], reason="no"),
        )
        trial.wait(10)

        counts = next(each for each in await trial.store.inspect.counts() if each.channel == ORDERS)

        assert counts == ChannelCounts(
            channel=ORDERS,
            ready=1,
            scheduled=1,
            timers=1,
            retrying=1,
            stashed=1,
            held=1,
            dead=1,
            oldest_ready_age=10 * SECOND,
        )

    @conformance
    async def test_workers_are_those_whose_lease_lasts(self, trial: Trial) -> None:
        await trial.lease("early")
        trial.wait(20)
        owned = len(await trial.lease("late"))

        seen = {each.worker: each for each in await trial.store.inspect.workers()}
        trial.wait(15)
        left = await trial.store.inspect.workers()

        assert set(seen) == {"early", "late"}
        assert (seen["late"].channel, seen["late"].lanes) == (ORDERS, owned)
        assert seen["early"].lanes == trial.routing.lanes
        assert seen["late"].expires_at == trial.clock.now() + 15 * SECOND
        assert [each.worker for each in left] == ["late"]

    @conformance
    async def test_what_has_become_due_counts_as_ready_unless_its_key_is_held_back(self, trial: Trial) -> None:
        names = ("scheduled", "retrying", "behind")
        sent = (trial.envelope(name, name.replace("behind", "retrying")) for name in names)
        stored = {each.message_id: each for each in await trial.accept(*sent)}
        await trial.append(trial.timer(after=MINUTE), trial.envelope("later", "later", delay=MINUTE))
        await trial.commit(RetryAt(envelope=stored["retrying"], delay=2 * MINUTE, failure=FAILURE))

        trial.wait(90)
        (early,) = [each for each in await trial.store.inspect.counts() if each.channel == ORDERS]
        trial.wait(60)
        (late,) = [each for each in await trial.store.inspect.counts() if each.channel == ORDERS]

        assert (early.ready, early.retrying, early.behind, early.waiting) == (3, 1, 1, 5)
        assert (late.ready, late.retrying, late.behind, late.waiting) == (4, 0, 1, 5)

    @conformance
    async def test_a_stamp_of_the_future_makes_no_negative_age(self, trial: Trial) -> None:
        await trial.accept_one(sent_at=trial.clock.now() + 60 * MINUTE)

        (counts,) = [each for each in await trial.store.inspect.counts() if each.channel == ORDERS]

        assert counts.oldest_ready_age == 0

    @conformance
    async def test_instances_come_by_key_and_in_pages(self, trial: Trial) -> None:
        keys = ["b", "a", "B", "c"]
        stored = await trial.accept(*(trial.envelope(f"m{key}", key) for key in keys))
        await trial.commit(
            *(completed(each, save=save(key=key, status=key)) for key, each in zip(keys, stored, strict=True))
        )

        async def instances(saga: str, **asked: Any) -> list[str]:
            return [each.key for each in (await trial.store.inspect.instances(saga, **asked)).found]

        assert await instances(ORDERS) == ["B", "a", "b", "c"]
        assert await instances(ORDERS, after="B", limit=2) == ["a", "b"]
        assert await instances(ORDERS, status="c") == ["c"]
        assert await instances("orders ") == []
        first = await trial.store.inspect.instances(ORDERS, limit=2)
        assert (first.after, (await trial.store.inspect.instances(ORDERS, status="c")).after) == ("a", None)

    @conformance
    async def test_envelopes_come_by_position_and_key(self, trial: Trial) -> None:
        await trial.accept(trial.envelope("m1"), trial.envelope("m2", "B2"), trial.envelope("m3"))
        envelopes = trial.store.inspect.envelopes

        assert [each.message_id for each in await envelopes(ORDERS, limit=2)] == ["m1", "m2"]
        assert [each.message_id for each in await envelopes(ORDERS, key="A1")] == ["m1", "m3"]
        assert list(await envelopes(ORDERS, key="a1")) == []


class WakingConformance(StoreSuite):
    """`changed`: a hint when something may be due, and the end of the wait by the clock."""

    @staticmethod
    async def quiet(trial: Trial) -> None:
        """Use up the hints of what happened before."""
        for _ in range(5):
            await trial.store.changed(0)

    @conformance
    async def test_waiting_ends_when_its_time_is_over(self, trial: Trial) -> None:
        await self.quiet(trial)
        waiting = asyncio.create_task(trial.store.changed(5))
        await asyncio.sleep(0)

        trial.clock.advance(timedelta(seconds=5))

        async with asyncio.timeout(10):
            await waiting

    @conformance
    async def test_waiting_ends_when_something_is_appended(self, trial: Trial) -> None:
        await self.quiet(trial)
        waiting = asyncio.create_task(trial.store.changed(None))
        await asyncio.sleep(0)

        await trial.accept_one()

        async with asyncio.timeout(10):
            await waiting

    @conformance
    async def test_a_change_before_the_wait_is_not_missed(self, trial: Trial) -> None:
        await self.quiet(trial)
        stored = await trial.accept_one()
        await self.quiet(trial)
        await trial.commit(completed(stored, sent=(trial.envelope("s1"),)))

        async with asyncio.timeout(10):
            await trial.store.changed(None)

    @conformance
    async def test_a_wait_may_be_cancelled(self, trial: Trial) -> None:
        await self.quiet(trial)
        waiting = asyncio.create_task(trial.store.changed(None))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

        await trial.accept_one()

        async with asyncio.timeout(10):
            await trial.store.changed(None)
