"""`inspect`: bounded looks, of what waits and why."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from msgspec.structs import replace

from sagabus.envelope import Cause, lane_of
from sagabus.outcome import DeadLettered, RetryAt, Stashed
from sagabus.store.survey import (
    BEGIN,
    COUNTED,
    SCANNED,
    WHYS,
    Backlog,
    KeySeen,
    LaneCount,
    LetterCount,
    Mark,
    Waiting,
    Wanted,
)
from sagabus.testing.conformance.runs import running
from sagabus.testing.conformance.trial import (
    BILLING,
    FAILURE,
    MINUTE,
    ORDERS,
    SECOND,
    SUBMITTED,
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
        names = ("ready", "running", "scheduled", "retrying", "stashed", "dead")
        later = {"scheduled": 60 * MINUTE}
        sent = (trial.envelope(name, name, delay=later.get(name, 0)) for name in names)
        stored = {each.message_id: each for each in await trial.accept(*sent)}
        await trial.append(trial.timer(), trial.envelope("held", "retrying"))
        await trial.commit(
            RetryAt(envelope=stored["retrying"], delay=60 * MINUTE, failure=FAILURE),
            Stashed(stored["stashed"], 60 * MINUTE),
            DeadLettered(cause=Cause.FAILED, envelope=stored["dead"], reason="no"),
        )
        await trial.lease("w1", seconds=30)
        await trial.store.note_running("w1", {ORDERS: [running(stored["running"], SECOND)]})
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
    async def test_a_worker_has_an_age_a_lease_and_a_version(self, trial: Trial) -> None:
        await trial.lease("w1", seconds=30)
        trial.wait(20)

        (seen,) = await trial.store.inspect.workers()

        assert (seen.lease, seen.age) == (30 * SECOND, 20 * SECOND)
        assert seen.version == version("sagabus")

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


class WalkConformance(StoreSuite):
    """`waiting`: pages of stored envelopes in the order in which they become due."""

    @staticmethod
    async def ids(trial: Trial, *, limit: int = 100, after: Mark = BEGIN, **wanted: Any) -> list[str]:
        page = await trial.store.inspect.waiting(Wanted(**wanted), after=after, limit=limit)
        return [each.envelope.message_id for each in page.found]

    @conformance
    async def test_envelopes_come_as_they_become_due_of_one_channel_or_of_all(self, trial: Trial) -> None:
        await trial.append(
            trial.envelope("m4", "later", delay=2 * MINUTE),
            trial.envelope("m1", "A1"),
            trial.envelope("m3", "soon", delay=MINUTE),
            trial.envelope("m2", "B2"),
            trial.envelope("other", "A1", channel=BILLING),
        )

        assert await self.ids(trial, channel=ORDERS) == ["m1", "m2", "m3", "m4"]
        assert await self.ids(trial) == ["m1", "m2", "other", "m3", "m4"]
        assert await self.ids(trial, channel="nowhere") == []

    @conformance
    async def test_pages_follow_one_another_without_a_gap(self, trial: Trial) -> None:
        delays = {n: n % 3 * MINUTE for n in range(20)}
        await trial.append(*(trial.envelope(f"m{n}", f"k{n}", delay=delay) for n, delay in delays.items()))
        expected = [f"m{n}" for n in sorted(delays, key=lambda n: (delays[n], n))]

        for wanted in (Wanted(channel=ORDERS), Wanted(message_type=SUBMITTED)):
            found: list[str] = []
            after: Mark | None = BEGIN
            while after is not None:
                page = await trial.store.inspect.waiting(wanted, after=after, limit=3)
                assert len(page.found) <= 3
                assert not page.stopped
                found += [each.envelope.message_id for each in page.found]
                after = page.after
            assert found == expected

    @conformance
    async def test_an_envelope_is_whole_but_for_its_body_and_says_why_it_waits(self, trial: Trial) -> None:
        headers = {"trace": "t1", "it's": 'a "header"'}
        stored = await trial.accept_one(headers=headers, correlation_id="c1", causation_id="c0")
        await trial.append(trial.timer())

        (first, second) = (await trial.store.inspect.waiting(Wanted(channel=ORDERS))).found

        assert first == Waiting(replace(stored, body=b""), "ready")
        assert (second.envelope.timer, second.why) == ("payment", "timer")

    @conformance
    async def test_each_reason_finds_its_own(self, trial: Trial) -> None:
        names = ("ready", "running", "scheduled", "retrying", "stashed")
        sent = (trial.envelope(name, name, delay=60 * MINUTE * (name == "scheduled")) for name in names)
        stored = {each.message_id: each for each in await trial.accept(*sent)}
        await trial.append(trial.timer(message_id="timer"), trial.envelope("held", "retrying"))
        await trial.commit(
            RetryAt(envelope=stored["retrying"], delay=60 * MINUTE, failure=FAILURE),
            Stashed(stored["stashed"], 60 * MINUTE),
        )
        await trial.lease("w1", seconds=30)
        await trial.store.note_running("w1", {ORDERS: [running(stored["running"], SECOND)]})

        assert {why: await self.ids(trial, why=why) for why in WHYS} == {why: [why] for why in WHYS}

    @conformance
    async def test_what_became_due_is_ready_and_a_timer_stays_a_timer(self, trial: Trial) -> None:
        await trial.append(
            trial.timer(message_id="due"), trial.timer("later", "B2", after=5 * MINUTE, message_id="not")
        )
        trial.wait(90)

        assert await self.ids(trial, why="ready") == ["due"]
        assert await self.ids(trial, why="timer") == ["not"]
        assert await self.ids(trial, timers=True) == ["due", "not"]

    @conformance
    async def test_what_is_due_before_an_instant_is_found_and_nothing_behind_it_is_looked_at(
        self, trial: Trial
    ) -> None:
        await trial.append(
            trial.timer("first", "A1", after=MINUTE, message_id="m1"),
            trial.timer("second", "B2", after=2 * MINUTE, message_id="m2"),
            *(trial.envelope(f"later{n}", "C3", delay=3 * MINUTE, guarded=False) for n in range(SCANNED)),
            trial.envelope("now", "A1"),
        )
        second = trial.clock.now() + 2 * MINUTE

        assert await self.ids(trial, timers=True, due_before=second) == ["m1"]
        assert await self.ids(trial, timers=True, due_before=second + 1, channel=ORDERS) == ["m1", "m2"]
        assert await self.ids(trial, timers=True, due_before=second + 1, key="B2") == ["m2"]
        assert await self.ids(trial, due_before=second) == ["now", "m1"]
        assert await self.ids(trial, due_before=0) == []
        assert await self.ids(trial, why="timer", due_before=trial.clock.now()) == []
        page = await trial.store.inspect.waiting(Wanted(timers=True, due_before=second + 1), limit=1)
        assert page.after is not None
        assert await self.ids(trial, timers=True, due_before=second + 1, after=page.after) == ["m2"]
        page = await trial.store.inspect.waiting(Wanted(timers=True, due_before=second + 1))
        assert (page.after, page.stopped) == (None, False)

    @conformance
    async def test_filters_are_exact_and_go_together(self, trial: Trial) -> None:
        await trial.append(
            trial.envelope("m1", "A1", correlation_id="c1"),
            trial.envelope("m2", "a1", correlation_id="C1"),
            trial.envelope("m3", "A1", message_type="other", correlation_id="c1"),
        )
        trial.wait(10)
        await trial.append(trial.envelope("m4", "A1"))
        first, last = trial.clock.now() - 10 * SECOND, trial.clock.now()

        assert await self.ids(trial, key="A1") == ["m1", "m3", "m4"]
        assert await self.ids(trial, key="a1", channel=ORDERS) == ["m2"]
        assert await self.ids(trial, message_type="other") == ["m3"]
        assert await self.ids(trial, correlation_id="c1") == ["m1", "m3"]
        assert await self.ids(trial, correlation_id="c1", message_type=SUBMITTED) == ["m1"]
        assert await self.ids(trial, since=first, until=last) == ["m1", "m2", "m3"]
        assert await self.ids(trial, since=last) == ["m4"]

    @conformance
    async def test_a_filter_stops_and_the_next_page_goes_on_behind(self, trial: Trial) -> None:
        key = "k1"
        await trial.append(*(trial.envelope(f"m{n}", key, guarded=False) for n in range(SCANNED)))
        await trial.append(trial.envelope("wanted", key, message_type="rare"))
        wanted = Wanted(channel=ORDERS, key=key, message_type="rare")

        page = await trial.store.inspect.waiting(wanted)
        assert (page.found, page.stopped) == ((), True)
        assert page.after is not None

        assert await self.ids(trial, channel=ORDERS, key=key, message_type="rare", after=page.after) == ["wanted"]


class KeyConformance(StoreSuite):
    """`key`: what decides whether messages of one key may run."""

    @conformance
    async def test_a_key_has_the_lane_and_the_owner_of_its_lane(self, trial: Trial) -> None:
        free = await trial.store.inspect.key(ORDERS, "A1")
        await trial.lease("w1", seconds=30)
        owned = await trial.store.inspect.key(ORDERS, "A1")
        trial.wait(31)
        ended = await trial.store.inspect.key(ORDERS, "A1")

        lane = lane_of("A1", trial.routing.lanes)
        assert free == ended == KeySeen(ORDERS, "A1", lane, None, None)
        assert owned == KeySeen(ORDERS, "A1", lane, "w1", None)

    @conformance
    async def test_a_retry_goes_first_and_a_parked_letter_lets_nothing_run(self, trial: Trial) -> None:
        retried, parked = await trial.accept(trial.envelope("m1", "retried"), trial.envelope("m2", "parked"))
        await trial.commit(
            RetryAt(envelope=retried, delay=MINUTE, failure=FAILURE),
            DeadLettered(cause=Cause.FAILED, envelope=parked, reason="no", parks=True),
        )

        held = await trial.store.inspect.key(ORDERS, "retried")
        assert held.first == retried.position
        assert held.holder is not None
        assert (held.holder.envelope.message_id, held.holder.envelope.attempt, held.holder.why) == ("m1", 1, "retrying")
        await trial.lease("w1", seconds=300)
        await trial.store.note_running("w1", {ORDERS: [running(retried, SECOND)]})
        trial.wait(90)
        again = (await trial.store.inspect.key(ORDERS, "retried")).holder
        assert again is not None
        assert (again.why, again.worker) == ("running", "w1")
        seen = await trial.store.inspect.key(ORDERS, "parked")
        assert (seen.first, [(each.envelope.message_id, each.parked) for each in seen.letters]) == (0, [("m2", True)])

    @conformance
    async def test_a_key_has_its_own_open_letters_the_latest_first(self, trial: Trial) -> None:
        for message_id, key in (("m1", 'it\'s "A"'), ("m2", "A"), ("m3", 'it\'s "A"'), ("m4", 'it\'s "A"')):
            await trial.bury(message_id, key)
        await trial.store.discard((await trial.letters())[-1].id)

        seen = await trial.store.inspect.key(ORDERS, 'it\'s "A"')

        assert [each.envelope.message_id for each in seen.letters] == ["m3", "m1"]
        assert not seen.stopped
        assert (await trial.store.inspect.key(BILLING, "A")).letters == ()
