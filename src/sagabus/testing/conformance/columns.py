"""What a later schema added: each field survives every way into the store and out of it, and begins as it should."""

from __future__ import annotations

from msgspec.structs import replace

from sagabus.envelope import Cause, Envelope, Instance
from sagabus.outcome import DeadLettered, Marked, RetryAt, Stashed, Verdict
from sagabus.store import Batch, Capability, Cursor
from sagabus.testing.conformance.trial import (
    COMMITTED,
    FAILURE,
    MINUTE,
    ORDERS,
    SECOND,
    StoreSuite,
    Trial,
    claim,
    completed,
    conformance,
    epochs,
    save,
)

SHAPE = "2 of orders: {\x1f}"
"""With a blank, and with a mark that one of the ways has to do without."""
SHAPES = ("3f2a", SHAPE, None, "")


async def shapes_of(trial: Trial, key: str = "A1") -> set[str | None]:
    """The shape of an instance, by every way out."""
    (loaded,) = await trial.store.load(ORDERS, [key])
    listed = (await trial.store.inspect.instances(ORDERS)).found
    await trial.fetch()
    await trial.append(trial.envelope(f"next of {key}", key))
    found = [loaded.instance, *listed, *(each.instance for _, each in (await trial.fetch()).loaded)]
    return {each.shape for each in found if isinstance(each, Instance) and each.key == key}


async def died(trial: Trial, envelope: Envelope) -> Envelope:
    """The envelope with one more death counted."""
    assert await trial.commit(Marked(envelope)) == [COMMITTED]
    return next(each for each in await trial.stored() if each.position == envelope.position)


class ColumnConformance(StoreSuite):
    """Deaths of an envelope, shapes of states, causes of dead letters."""

    @conformance
    async def test_deaths_are_counted_apart_from_attempts(self, trial: Trial) -> None:
        before = await trial.accept_one()

        once = await died(trial, before)
        twice = await died(trial, once)

        assert (once.attempt, once.deaths, once.failed_at) == (0, 1, None)
        assert (twice.attempt, twice.deaths, twice.failed_at) == (0, 2, None)
        assert (twice.position, twice.due_at) == (before.position, before.due_at)

    @conformance
    async def test_no_death_is_counted_twice(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        await trial.commit(Marked(stored))

        assert await trial.commit(Marked(stored)) == [Verdict.GONE]

        assert [each.deaths for each in await trial.stored()] == [1]

    @conformance
    async def test_deaths_of_many_are_counted_in_one_commit(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{n}", f"k{n}") for n in range(20)))
        seen = [await died(trial, stored[0]), *stored[1:]]

        assert await trial.commit(*map(Marked, seen)) == [COMMITTED] * 20

        assert [each.deaths for each in await trial.stored()] == [2] + [1] * 19

    @conformance
    async def test_one_that_was_marked_since_costs_the_others_no_mark(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{n}", f"k{n}") for n in range(4)))
        await died(trial, stored[1])
        await trial.commit(completed(stored[2]))

        verdicts = await trial.commit(*map(Marked, stored))

        assert verdicts == [COMMITTED, Verdict.GONE, Verdict.GONE, COMMITTED]
        assert {each.message_id: each.deaths for each in await trial.stored()} == {"m0": 1, "m1": 1, "m3": 1}

    @conformance
    async def test_a_live_worker_takes_its_mark_back_without_the_lane(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        await trial.lease("w1", seconds=5)
        ours = await died(trial, stored)
        trial.wait(20)
        theirs = epochs(await trial.lease("w2"))
        await trial.commit(Marked(ours), epochs=theirs)

        assert await trial.commit(Marked(ours, deaths=-1)) == [COMMITTED]
        assert [each.deaths for each in await trial.stored()] == [1]
        assert await trial.commit(Marked(ours, deaths=-1), Marked(ours, deaths=-1)) == [COMMITTED, Verdict.GONE]

        assert [each.deaths for each in await trial.stored()] == [0]

    @conformance
    async def test_a_run_that_its_worker_outlived_was_no_death(self, trial: Trial) -> None:
        seen = await died(trial, await died(trial, await trial.accept_one(key=None)))

        await trial.commit(RetryAt(envelope=seen, delay=SECOND, failure=FAILURE, deaths=-1))
        (retried,) = await trial.stored()
        await trial.commit(Stashed(retried, MINUTE, deaths=-1))
        (stashed,) = await trial.stored()
        await trial.commit(RetryAt(envelope=stashed, delay=SECOND, counted=0, deaths=-1))

        assert (retried.attempt, retried.deaths, stashed.deaths) == (1, 1, 0)
        assert [(each.attempt, each.deaths) for each in await trial.stored()] == [(1, 0)]

    @conformance
    async def test_excused_runs_are_counted_as_runs_and_apart(self, trial: Trial) -> None:
        stored = await trial.accept_one(key=None, excused=3)
        for excused in (True, False, True):
            await trial.commit(RetryAt(envelope=stored, delay=SECOND, failure=FAILURE, excused=excused))
            (stored,) = await trial.stored()

        assert (stored.attempt, stored.excused, stored.deaths) == (3, 2, 0)
        trial.wait(1)
        (fetched,) = (await trial.fetch()).envelopes
        assert (fetched.attempt, fetched.excused) == (3, 2)

    @conformance
    async def test_every_way_out_of_the_queue_shows_the_deaths(self, trial: Trial) -> None:
        stored = await trial.accept_one(lane=0)
        await died(trial, await died(trial, stored))
        handles = [trial.store]
        if trial.has(Capability.SHARED):
            handles.append(await trial.suite.same_store(trial.clock))
            await handles[-1].open()

        for handle in handles:
            for after in (stored.position, 0):  # by another one's cursor it is one that was committed late
                found = (await handle.fetch([Cursor(ORDERS, 0, after)], 10)).envelopes
                assert {each.deaths for each in found} <= {2}
            assert [each.deaths for each in found] == [2]
        for handle in handles[1:]:
            await handle.close()

    @conformance
    async def test_deaths_outlive_a_retry_a_stash_and_a_division(self, trial: Trial) -> None:
        seen = await died(trial, await died(trial, await trial.accept_one()))
        await trial.commit(RetryAt(envelope=seen, delay=SECOND, failure=FAILURE))
        trial.wait(1)
        (retried,) = (await trial.fetch()).envelopes
        assert retried.deaths == 2

        await trial.commit(Stashed(retried, MINUTE))
        await trial.store.divide(7)

        assert [each.deaths for each in (await trial.store.load(ORDERS, ["A1"]))[0].stashed] == [2]

    @conformance
    async def test_a_dead_letter_keeps_its_deaths_and_replay_forgets_them(self, trial: Trial) -> None:
        seen = await died(trial, await trial.accept_one())
        last = replace(seen, deaths=3)
        await trial.commit(DeadLettered(envelope=last, cause=Cause.WORKER_DIED, reason="died"))
        (letter,) = await trial.letters()
        assert letter.envelope.deaths == 3

        await trial.store.replay(letter.id)

        assert [(each.attempt, each.deaths) for each in await trial.stored()] == [(0, 0)]

    @conformance
    async def test_a_message_begins_without_deaths_whatever_it_says(self, trial: Trial) -> None:
        assert (await trial.accept_one(deaths=4)).deaths == 0

    @conformance
    async def test_each_save_says_the_shape_of_its_state(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{n}") for n in range(len(SHAPES))))

        for base, (each, shape) in enumerate(zip(stored, SHAPES, strict=True)):
            assert await trial.commit(completed(each, save=save(base, shape=shape))) == [COMMITTED]
            assert await shapes_of(trial) == {shape}

    @conformance
    async def test_a_shape_survives_a_commit_of_several_outcomes(self, trial: Trial) -> None:
        """Some stores write a flush in another way when not all of it has completed."""
        stored = await trial.accept(*(trial.envelope(f"m{n}", key) for n, key in enumerate(("A1", "A1", "B1", "C1"))))
        born, saved = (save(base, shape=f"{base}") for base in (0, 1))

        verdicts = await trial.commit(
            completed(stored[0], save=born),
            completed(stored[1], save=saved),
            completed(stored[2], save=save(key="B1", shape="b"), claims=(claim(),)),
            RetryAt(envelope=stored[3], delay=SECOND),
        )

        assert verdicts == [COMMITTED] * 4
        assert (await shapes_of(trial), await shapes_of(trial, "B1")) == ({"1"}, {"b"})

    @conformance
    async def test_a_shape_survives_a_transaction(self, trial: Trial) -> None:
        for base in (0, 1):
            stored = await trial.accept_one(f"m{base}")
            outcome = completed(stored, save=save(base, shape=f"s{base}"))
            async with trial.store.transaction() as unit:
                await unit.commit(Batch([outcome], trial.routing.version, {}))

            instance = await trial.instance()
            assert instance is not None
            assert instance.shape == f"s{base}"

    @conformance
    async def test_the_history_keeps_the_shape_of_each_transition(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{n}") for n in range(len(SHAPES))))
        first, *others = [save(base, shape=shape, recorded=True) for base, shape in enumerate(SHAPES)]

        await trial.commit(completed(stored[0], save=first))
        await trial.commit(*(completed(each, save=one) for each, one in zip(stored[1:], others, strict=True)))

        recorded = await trial.store.inspect.history(ORDERS, "A1")
        assert tuple(each.shape for each in recorded) == SHAPES

    @conformance
    async def test_a_dead_letter_says_its_cause(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{n}", None) for n in range(len(Cause))))

        await trial.commit(
            *(
                DeadLettered(envelope=e, cause=cause, reason="id collision: no")
                for e, cause in zip(stored, Cause, strict=True)
            )
        )

        assert [each.cause for each in await trial.letters()] == list(Cause)

    @conformance
    async def test_a_letter_that_is_opened_again_says_the_cause_of_the_last_time(self, trial: Trial) -> None:
        letter = await trial.bury()
        assert letter.cause is Cause.FAILED
        await trial.store.replay(letter.id)
        (back,) = await trial.stored()

        await trial.commit(DeadLettered(envelope=back, cause=Cause.UNKNOWN, reason="again"))

        assert [(each.id, each.cause) for each in await trial.letters()] == [(letter.id, Cause.UNKNOWN)]

    @conformance
    async def test_what_was_refused_on_its_way_in_says_its_cause(self, trial: Trial) -> None:
        await trial.accept_one("m1")
        await trial.append(trial.envelope("m1", body=b"{}"))
        trial.wait(2 * 86_400)
        await trial.purge()
        await trial.append(trial.envelope("m2", sent_at=1))

        assert [each.cause for each in await trial.letters()] == [Cause.COLLISION, Cause.TOO_OLD]
