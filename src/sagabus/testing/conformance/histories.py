"""The history of a saga: one row of each transition that has committed, and of nothing else."""

from __future__ import annotations

from typing import Any

from sagabus.envelope import Envelope, Recorded
from sagabus.outcome import Completed, RetryAt, Save, Verdict
from sagabus.store import Batch, Retention
from sagabus.store.upkeep import Purged
from sagabus.testing.conformance.append import LOOK_ALIKES
from sagabus.testing.conformance.trial import (
    COMMITTED,
    DAY,
    FAILURE,
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


def step(envelope: Envelope, base: int = 0, key: str = "A1", **fields: Any) -> Completed:
    """A run that makes the next version of an instance, and wants it recorded."""
    return completed(envelope, save=recorded(base, key, **fields))


def recorded(base: int = 0, key: str = "A1", **fields: Any) -> Save:
    """The next version of an instance, to be recorded."""
    return save(base, key, **{"recorded": True} | fields)


async def history(trial: Trial, key: str = "A1", **asked: Any) -> list[Recorded]:
    """What is recorded of a key."""
    return list(await trial.store.inspect.history(ORDERS, key, **asked))


async def versions(trial: Trial, key: str = "A1") -> list[int]:
    """The versions that are recorded of a key, in order."""
    return [each.version for each in await history(trial, key)]


async def messages(trial: Trial, count: int, key: str = "A1") -> list[Envelope]:
    """Several messages of one key, as they are stored."""
    return await trial.accept(*(trial.envelope(f"{key}-{n}", key) for n in range(count)))


class HistoryConformance(StoreSuite):
    """Saves that are to be recorded, `Inspection.history`, and how a history is forgotten."""

    @conformance
    async def test_a_transition_is_recorded_with_all_its_fields(self, trial: Trial) -> None:
        born = trial.clock.now()
        await trial.append(trial.envelope("m1"), trial.timer())
        message, timer = await trial.stored()
        await trial.commit(step(message, status=None, state=b'{"a":1}'))
        trial.wait(60)
        await trial.commit(step(timer, 1, status="paid", completed=True))

        first, second = await history(trial)

        assert (first.saga, first.key, first.version, first.at) == (ORDERS, "A1", 1, born)
        assert (first.message_id, first.message_type, first.timer) == (message.message_id, message.message_type, None)
        assert (first.status, first.completed, first.state) == (None, False, b'{"a":1}')
        assert (second.version, second.at, second.timer) == (2, born + MINUTE, "payment")
        assert (second.message_id, second.message_type) == (timer.message_id, timer.message_type)
        assert (second.status, second.completed, second.state) == ("paid", True, b'{"version":2}')
        assert 0 < first.position < second.position

    @conformance
    async def test_what_is_not_to_be_recorded_is_not(self, trial: Trial) -> None:
        stored = await messages(trial, 3)

        await trial.commit(completed(stored[0], save=save(0)))
        await trial.commit(step(stored[1], 1), completed(stored[2], save=save(2)))

        assert await versions(trial) == [2]

    @conformance
    async def test_each_version_of_a_batch_is_recorded_in_order(self, trial: Trial) -> None:
        mine, theirs = await messages(trial, 20), await messages(trial, 20, "B2")
        outcomes = [
            step(each, base, key) for base in range(20) for each, key in ((mine[base], "A1"), (theirs[base], "B2"))
        ]

        assert await trial.commit(*outcomes) == [COMMITTED] * 40

        for key, stored in (("A1", mine), ("B2", theirs)):
            found = await history(trial, key)
            assert [each.version for each in found] == list(range(1, 21))
            assert [each.message_id for each in found] == [each.message_id for each in stored]
            assert [each.state for each in found] == [b'{"version":%d}' % number for number in range(1, 21)]

    @conformance
    async def test_of_a_run_that_lost_nothing_is_recorded(self, trial: Trial) -> None:
        stored = await messages(trial, 3)
        await trial.commit(step(stored[0]))

        assert await trial.commit(step(stored[1], 0)) == [Verdict.CONFLICT]
        assert await trial.commit(step(stored[0], 1)) == [Verdict.GONE]
        assert await trial.commit(RetryAt(envelope=stored[2], delay=MINUTE, failure=FAILURE)) == [COMMITTED]

        assert await versions(trial) == [1]

    @conformance
    async def test_if_one_of_a_batch_loses_the_others_are_recorded_once(self, trial: Trial) -> None:
        first, second, third = await trial.accept(*(trial.envelope(f"m{n}", f"k{n}") for n in range(3)))
        await trial.commit(completed(await trial.accept_one("m9"), claims=(claim(),)))
        loser = completed(second, save=recorded(key="k1"), claims=(claim(),))

        verdicts = await trial.commit(step(first, key="k0"), loser, step(third, key="k2"))

        assert verdicts == [COMMITTED, Verdict.DUPLICATE, COMMITTED]
        assert [await versions(trial, f"k{n}") for n in range(3)] == [[1], [], [1]]

    @conformance
    async def test_what_rested_on_one_that_lost_is_not_recorded(self, trial: Trial) -> None:
        stored = await messages(trial, 4)

        verdicts = await trial.commit(step(stored[0]), step(stored[1], 1), step(stored[2], 7), step(stored[3], 8))

        assert verdicts == [COMMITTED, COMMITTED, Verdict.CONFLICT, Verdict.DROPPED]
        assert await versions(trial) == [1, 2]

    @conformance
    async def test_a_transition_in_a_unit_is_recorded_when_the_unit_commits(self, trial: Trial) -> None:
        first, second = await messages(trial, 2)
        batch = Batch([step(first)], trial.routing.version, {})
        async with trial.store.transaction() as unit:
            assert await versions(trial) == []
            assert [answer.verdict for answer in await unit.commit(batch)] == [COMMITTED]
        async with trial.store.transaction() as unit:
            late = Batch([step(second, 0)], trial.routing.version, {})
            assert [answer.verdict for answer in await unit.commit(late)] == [Verdict.CONFLICT]

        assert await versions(trial) == [1]

    @conformance
    async def test_a_restarted_instance_continues_its_history(self, trial: Trial) -> None:
        stored = await messages(trial, 3)

        for base, each in enumerate(stored):
            await trial.commit(step(each, base, completed=base == 1))

        assert [(each.version, each.completed) for each in await history(trial)] == [(1, False), (2, True), (3, False)]

    @conformance
    async def test_a_key_that_starts_again_keeps_the_history_of_its_former_life(self, trial: Trial) -> None:
        kept = Retention(ORDERS, DAY, history=30 * DAY)
        for number in range(2):
            stored = await trial.accept_one(f"m{number}")
            assert await trial.commit(step(stored, 0, completed=True)) == [COMMITTED]
            trial.wait(2 * 86_400)
            assert (await trial.store.purge([kept], 100)).instances == 1

        assert [(each.version, each.message_id) for each in await history(trial)] == [(1, "m0"), (1, "m1")]

    @conformance
    async def test_it_is_read_in_pages_by_position(self, trial: Trial) -> None:
        others = await messages(trial, 9, "B2")  # so that no position is a version
        await trial.commit(*(step(each, base, "B2") for base, each in enumerate(others)))
        stored = await messages(trial, 5)
        await trial.commit(*(step(each, base) for base, each in enumerate(stored)))

        first = await history(trial, limit=2)
        second = await history(trial, after=first[-1].position, limit=2)
        third = await history(trial, after=second[-1].position, limit=2)

        assert [[each.version for each in page] for page in (first, second, third)] == [[1, 2], [3, 4], [5]]
        assert await history(trial, after=third[-1].position) == []

    @conformance
    async def test_keys_and_sagas_that_look_alike_have_histories_of_their_own(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}", key) for i, key in enumerate(LOOK_ALIKES)))
        await trial.commit(*(step(each, key=str(each.partition_key)) for each in stored))
        other = await trial.accept_one("other", LOOK_ALIKES[0])
        await trial.commit(step(other, key=LOOK_ALIKES[0], saga="shipping"))

        for number, key in enumerate(LOOK_ALIKES):
            assert [(each.key, each.message_id) for each in await history(trial, key)] == [(key, f"m{number}")]
        assert [each.message_id for each in await trial.store.inspect.history("shipping", LOOK_ALIKES[0])] == ["other"]

    @conformance
    async def test_recorded_states_survive_byte_for_byte(self, trial: Trial) -> None:
        states = [b"{}", b'{"a":1.10}', "é\u0301\x1f\x1e\x1a".encode(), '{"n":"ä🎉 it\'s"}'.encode() * 8000]
        stored = await messages(trial, len(states))

        await trial.commit(*(step(each, base, state=states[base]) for base, each in enumerate(stored)))

        assert [each.state for each in await history(trial)] == states

    @conformance
    async def test_rows_go_after_their_window_and_not_before(self, trial: Trial) -> None:
        await trial.commit(step(await trial.accept_one("m1")))
        trial.wait(86_400)
        await trial.commit(step(await trial.accept_one("m2"), 1))
        assert (await trial.store.purge([Retention(ORDERS, DAY)], 100)).history == 0

        trial.wait(1)
        purged = await trial.store.purge([Retention(ORDERS, DAY)], 100)

        assert (purged.history, purged.instances, purged.more) == (1, 0, False)
        assert await versions(trial) == [2]
        assert await trial.instance() is not None

    @conformance
    async def test_a_history_may_be_kept_for_longer_or_shorter_than_the_rest(self, trial: Trial) -> None:
        await trial.commit(step(await trial.accept_one("m1"), completed=True))
        trial.wait(60)

        short = await trial.store.purge([Retention(ORDERS, DAY, history=SECOND)], 100)

        assert short == Purged(history=1)
        await trial.commit(step(await trial.accept_one("m2"), 1, completed=True))
        trial.wait(2 * 86_400)
        long = await trial.store.purge([Retention(ORDERS, DAY, history=3 * DAY)], 100)
        assert (long.instances, long.history) == (1, 0)
        assert await versions(trial) == [2]

    @conformance
    async def test_a_history_goes_in_bounded_steps_the_oldest_first(self, trial: Trial) -> None:
        for base, each in enumerate(await messages(trial, 5)):
            await trial.commit(step(each, base))
            trial.wait(1)
        trial.wait(2 * 86_400)

        first = await trial.store.purge([Retention(ORDERS, DAY)], 3)

        assert (first.history, first.more) == (3, True)
        assert await versions(trial) == [4, 5]
        second = await trial.store.purge([Retention(ORDERS, DAY)], 3)
        assert (second.history, second.more) == (2, False)
        assert await versions(trial) == []

    @conformance
    async def test_the_histories_of_other_sagas_stay(self, trial: Trial) -> None:
        await trial.commit(step(await trial.accept_one("m1"), saga="shipping"))
        trial.wait(9 * 86_400)

        assert (await trial.store.purge([Retention(ORDERS, DAY)], 100)).history == 0

        assert len(await trial.store.inspect.history("shipping", "A1")) == 1
