"""`note_running`, and what looks make of it: what runs now, in which worker, and since when."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from sagabus.envelope import Envelope
from sagabus.outcome import RetryAt
from sagabus.store.running import MOST_NOTED, Running
from sagabus.store.survey import BEGIN, COUNTED, Mark, Wanted
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


def running(envelope: Envelope, lasted: int) -> Running:
    """What a worker notes of the run of an envelope."""
    return Running(envelope.message_id, envelope.message_type, envelope.partition_key, lasted, envelope.position)


async def ids(trial: Trial, **wanted: Any) -> list[str]:
    """Of the envelopes that a look finds."""
    return [each.envelope.message_id for each in (await trial.store.inspect.waiting(Wanted(**wanted))).found]


class RunConformance(StoreSuite):
    """What workers have noted as running."""

    @conformance
    async def test_runs_that_last_are_seen_with_their_age_until_they_are_noted_no_longer(self, trial: Trial) -> None:
        await trial.lease("w1", seconds=30)
        await trial.lease("w2", seconds=30)
        runs = [Running("m1", "shop.noted", "A'1\n", 5 * SECOND, 7), Running("m2", "shop.noted", None, 2 * SECOND, 8)]
        await trial.store.note_running("w1", {ORDERS: runs})
        trial.wait(3)
        seen = {each.worker: each for each in await trial.store.inspect.workers()}
        await trial.lease("w1", seconds=30)
        renewed = {each.worker: each for each in await trial.store.inspect.workers()}
        await trial.store.note_running("w1", {ORDERS: []})
        ended = {each.worker: each for each in await trial.store.inspect.workers()}

        assert seen["w1"].runs == tuple(replace(run, lasted=run.lasted + 3 * SECOND) for run in runs)
        assert (seen["w1"].running, seen["w2"].running, seen["w2"].runs) == (2, 0, ())
        assert renewed["w1"].runs == seen["w1"].runs
        assert (ended["w1"].running, ended["w1"].runs) == (0, ())

    @conformance
    async def test_of_many_runs_the_first_are_kept_and_all_are_counted(self, trial: Trial) -> None:
        await trial.lease("w1", seconds=30)
        runs = [Running(f"m{number}", "shop.noted", None, SECOND, number + 1) for number in range(3 * MOST_NOTED)]
        await trial.store.note_running("w1", {ORDERS: runs})
        (seen,) = await trial.store.inspect.workers()

        assert seen.running == 3 * MOST_NOTED
        assert [run.message_id for run in seen.runs] == [f"m{number}" for number in range(MOST_NOTED)]

    @conformance
    async def test_what_runs_is_forgotten_with_the_registration(self, trial: Trial) -> None:
        await trial.lease("w1", seconds=30)
        await trial.store.note_running("w1", {ORDERS: [Running("m1", "shop.noted", None, SECOND, 7)]})
        await trial.store.release("w1")
        await trial.store.note_running("w1", {ORDERS: [Running("m1", "shop.noted", None, SECOND, 7)]})
        await trial.lease("w1", seconds=30)
        (seen,) = await trial.store.inspect.workers()

        assert seen.runs == ()

    @conformance
    async def test_what_runs_is_running_and_no_longer_ready(self, trial: Trial) -> None:
        longest, other = await trial.accept(trial.envelope("m1", "A"), trial.envelope("m2", "B"))
        trial.wait(20)
        await trial.append(trial.envelope("m3", "A"))
        await trial.lease("w1", seconds=30)
        await trial.store.note_running("w1", {ORDERS: [running(longest, 15 * SECOND), running(other, 5 * SECOND)]})
        trial.wait(3)
        seen = await trial.store.inspect.backlog(ORDERS)
        (elsewhere,) = await trial.accept(trial.envelope("m4", "A", channel=BILLING))
        await trial.commit(completed(other))
        less = await trial.store.inspect.backlog(ORDERS)
        await trial.lease("w1", seconds=1)
        trial.wait(2)
        ended = await trial.store.inspect.backlog(ORDERS)

        assert (dict(seen.counts), seen.oldest_age) == ({"running": 2, "ready": 1}, 3 * SECOND)
        assert (dict(less.counts), less.oldest_age) == ({"running": 1, "ready": 1}, 3 * SECOND)
        assert dict((await trial.store.inspect.backlog(BILLING)).counts) == {"ready": 1}
        assert elsewhere.channel == BILLING
        assert dict(ended.counts) == {"ready": 2}

    @conformance
    async def test_a_message_that_failed_or_is_held_is_not_running_whatever_a_note_says(self, trial: Trial) -> None:
        first, second = await trial.accept(trial.envelope("m1"), trial.envelope("m2"))
        await trial.lease("w1", seconds=300)
        await trial.store.note_running("w1", {ORDERS: [running(first, SECOND), running(second, SECOND)]})
        await trial.commit(RetryAt(envelope=first, delay=MINUTE, failure=FAILURE))
        failed = await trial.store.inspect.backlog(ORDERS)
        trial.wait(90)
        again = await trial.store.inspect.backlog(ORDERS)

        assert dict(failed.counts) == {"retrying": 1, "held": 1}
        assert (dict(again.counts), again.oldest_age) == ({"running": 1, "held": 1}, None)

    @conformance
    async def test_of_a_backlog_that_is_not_counted_to_its_end_the_age_is_without_what_runs(self, trial: Trial) -> None:
        key = next(f"k{n}" for n in range(1000) if trial.lane_of(f"k{n}") == trial.routing.lanes - 1)
        oldest = await trial.accept_one("oldest", key)
        trial.wait(60)
        await trial.accept_one("second", key)
        trial.wait(10)
        first = next(f"k{n}" for n in range(1000) if trial.lane_of(f"k{n}") == 0)
        await trial.append(*(trial.envelope(f"m{n}", first, guarded=False) for n in range(COUNTED + 1)))
        await trial.lease("w1", seconds=30)
        await trial.store.note_running("w1", {ORDERS: [running(oldest, 5 * SECOND)]})

        found = await trial.store.inspect.backlog(ORDERS)

        assert (found.counts["ready"], found.more, found.oldest_age) == (COUNTED, True, 10 * SECOND)

    @conformance
    async def test_what_runs_has_its_worker_and_since_when(self, trial: Trial) -> None:
        sent = await trial.accept(*(trial.envelope(f"m{n}", f"k{n}") for n in range(6)))
        await trial.append(trial.timer(message_id="due"))
        trial.wait(90)
        timer = next(each for each in await trial.stored() if each.timer is not None)
        await trial.lease("w1", seconds=30)
        await trial.lease("w2", seconds=30)
        await trial.store.note_running("w1", {ORDERS: [running(sent[4], 5 * SECOND), running(sent[1], 2 * SECOND)]})
        await trial.store.note_running("w2", {ORDERS: [running(timer, SECOND)]})
        since = trial.clock.now() - 5 * SECOND
        page = await trial.store.inspect.waiting(Wanted(channel=ORDERS))

        seen = {each.envelope.message_id: (each.why, each.worker, each.since) for each in page.found}
        assert (seen["m4"], seen["m3"]) == (("running", "w1", since), ("ready", None, None))
        assert seen["due"][:2] == ("running", "w2")
        assert await ids(trial, why="ready") == ["m0", "m2", "m3", "m5"]
        assert await ids(trial, why="running") == ["m1", "m4", "due"]
        assert await ids(trial, why="running", key="k4") == ["m4"]
        assert await ids(trial, why="running", timers=True) == ["due"]
        assert await ids(trial, why="running", channel=BILLING) == []

    @conformance
    async def test_pages_of_what_runs_follow_one_another(self, trial: Trial) -> None:
        sent = await trial.accept(*(trial.envelope(f"m{n}", f"k{n}") for n in range(5)))
        await trial.lease("w1", seconds=30)
        await trial.store.note_running("w1", {ORDERS: [running(each, SECOND) for each in sent]})

        for why in ("running", None):
            found: list[str] = []
            after: Mark | None = BEGIN
            while after is not None:
                page = await trial.store.inspect.waiting(Wanted(channel=ORDERS, why=why), after=after, limit=2)
                assert not page.stopped
                found += [each.envelope.message_id for each in page.found]
                after = page.after
            assert found == ["m0", "m1", "m2", "m3", "m4"]
