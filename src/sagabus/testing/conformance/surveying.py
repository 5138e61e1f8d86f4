"""`inspect`: bounded looks, of what waits and why."""

from __future__ import annotations

from sagabus.envelope import Cause
from sagabus.outcome import DeadLettered, RetryAt, Stashed
from sagabus.store.survey import COUNTED, WHYS, Backlog, LaneCount, LetterCount
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
)


class SurveyConformance(StoreSuite):
    """`backlog`, `letter_counts`, `lane_counts`, `channels` and `sizes`."""

    @conformance
    async def test_channels_are_those_with_a_subscription_or_an_envelope(self, trial: Trial) -> None:
        await trial.append(trial.envelope("m1", channel="elsewhere"), trial.envelope("m2", channel="Elsewhere"))

        assert set(await trial.store.inspect.channels()) == {ORDERS, BILLING, "elsewhere", "Elsewhere"}

    @conformance
    async def test_a_backlog_says_why_each_envelope_waits(self, trial: Trial) -> None:
        names = ("ready", "scheduled", "retrying", "stashed", "dead")
        later = {"scheduled": 60 * MINUTE}
        sent = (trial.envelope(name, name, delay=later.get(name, 0)) for name in names)
        stored = {each.message_id: each for each in await trial.accept(*sent)}
        await trial.append(trial.timer(), trial.envelope("held", "retrying"))
        await trial.commit(
            RetryAt(envelope=stored["retrying"], delay=60 * MINUTE, failure=FAILURE),
            Stashed(stored["stashed"], 60 * MINUTE),
            DeadLettered(cause=Cause.FAILED, envelope=stored["dead"], reason="no"),
        )
        trial.wait(10)

        found = await trial.store.inspect.backlog(ORDERS)

        assert found == Backlog(ORDERS, dict.fromkeys(WHYS, 1), more=False, oldest_age=10 * SECOND)
        assert await trial.store.inspect.backlog("nowhere") == Backlog("nowhere")

    @conformance
    async def test_a_retry_that_is_due_is_ready_and_lets_others_wait(self, trial: Trial) -> None:
        first, _ = await trial.accept(trial.envelope("m1"), trial.envelope("m2"))
        await trial.commit(RetryAt(envelope=first, delay=MINUTE, failure=FAILURE))
        trial.wait(90)

        found = await trial.store.inspect.backlog(ORDERS)

        assert (dict(found.counts), found.oldest_age) == ({"ready": 1, "held": 1}, 90 * SECOND)

    @conformance
    async def test_a_stamp_of_the_future_has_no_negative_age(self, trial: Trial) -> None:
        await trial.accept_one(sent_at=trial.clock.now() + 60 * MINUTE)

        assert (await trial.store.inspect.backlog(ORDERS)).oldest_age == 0

    @conformance
    async def test_a_backlog_is_not_counted_to_its_end_and_has_the_right_age(self, trial: Trial) -> None:
        # The oldest is in the lane that is counted last, if lanes are counted one after another.
        last = next(f"k{n}" for n in range(1000) if trial.lane_of(f"k{n}") == trial.routing.lanes - 1)
        await trial.accept_one("oldest", last)
        trial.wait(60)
        first = next(f"k{n}" for n in range(1000) if trial.lane_of(f"k{n}") == 0)
        await trial.append(*(trial.envelope(f"m{n}", first, guarded=False) for n in range(COUNTED + 1)))

        found = await trial.store.inspect.backlog(ORDERS)

        assert (dict(found.counts), found.more, found.oldest_age) == ({"ready": COUNTED}, True, 60 * SECOND)

    @conformance
    async def test_open_dead_letters_are_counted_by_channel_and_cause(self, trial: Trial) -> None:
        died, failed, given_up = [await trial.accept_one(f"m{n}", f"k{n}") for n in range(3)]
        await trial.commit(DeadLettered(cause=Cause.WORKER_DIED, envelope=died, reason="died", parks=True))
        first = trial.clock.now()
        await trial.commit(DeadLettered(cause=Cause.FAILED, envelope=failed, reason="no"))
        trial.wait(10)
        await trial.commit(DeadLettered(cause=Cause.FAILED, envelope=given_up, reason="no"))
        await trial.bury("discarded", "other")
        await trial.store.discard((await trial.letters())[-1].id)

        found = await trial.store.inspect.letter_counts()

        assert list(found.counts) == [
            LetterCount(ORDERS, "failed", 2, 0, first),
            LetterCount(ORDERS, "worker died", 1, 1, first),
        ]
        assert not found.more

    @conformance
    async def test_lanes_are_counted_with_those_that_a_lease_covers(self, trial: Trial) -> None:
        await trial.lease("w1", seconds=30)
        owned = [each for each in await trial.store.inspect.lane_counts() if each.channel == ORDERS]
        trial.wait(31)
        ended = [each for each in await trial.store.inspect.lane_counts() if each.channel == ORDERS]

        lanes = trial.routing.lanes
        assert (owned, ended) == ([LaneCount(ORDERS, lanes, lanes)], [LaneCount(ORDERS, lanes, 0)])

    @conformance
    async def test_a_worker_has_an_age_and_a_lease(self, trial: Trial) -> None:
        await trial.lease("w1", seconds=30)
        trial.wait(20)

        (seen,) = await trial.store.inspect.workers()

        assert (seen.lease, seen.age) == (30 * SECOND, 20 * SECOND)

    @conformance
    async def test_sizes_are_bytes_by_name(self, trial: Trial) -> None:
        sizes = await trial.store.inspect.sizes()

        assert all(name and size >= 0 for name, size in sizes.items())
        assert sum(sizes.values()) > 0 or not await trial.store.versions()

    @conformance
    async def test_a_look_changes_nothing(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        inspect = trial.store.inspect
        for look in (inspect.channels, inspect.letter_counts, inspect.lane_counts, inspect.sizes):
            await look()
        await inspect.backlog(ORDERS)

        assert await trial.stored() == [stored]
        await trial.commit(completed(stored))
