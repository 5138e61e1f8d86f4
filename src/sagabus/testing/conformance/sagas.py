"""Instances: a chain of versions, one run for each, and no second birth."""

from __future__ import annotations

from sagabus.outcome import Verdict
from sagabus.testing.conformance.append import LOOK_ALIKES
from sagabus.testing.conformance.trial import (
    COMMITTED,
    ORDERS,
    SECOND,
    StoreSuite,
    Trial,
    completed,
    conformance,
    save,
)


class SagaConformance(StoreSuite):
    """`load` and the saves of `commit`: optimistic versions, tombstones, chains."""

    @conformance
    async def test_an_instance_is_stored_with_all_its_fields(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        await trial.commit(completed(stored, save=save(status="paid", timers={"payment": "t1", "ä": "t2"})))

        instance = await trial.instance()

        assert instance is not None
        assert (instance.saga, instance.key, instance.version, instance.state) == (ORDERS, "A1", 1, b'{"version":1}')
        assert (instance.status, instance.timers, instance.completed) == (
            "paid",
            {"payment": "t1", "ä": "t2"},
            False,
        )
        assert (instance.created_at, instance.updated_at) == (trial.clock.now(), trial.clock.now())

    @conformance
    async def test_an_instance_keeps_its_birthday(self, trial: Trial) -> None:
        born = trial.clock.now()
        first, second = await trial.accept(trial.envelope("m1"), trial.envelope("m2"))
        await trial.commit(completed(first, save=save(0)))
        trial.wait(1)
        await trial.commit(completed(second, save=save(1, status=None)))

        instance = await trial.instance()

        assert instance is not None
        assert (instance.created_at, instance.updated_at) == (born, born + SECOND)
        assert (instance.version, instance.status) == (2, None)

    @conformance
    async def test_a_second_first_version_is_a_conflict(self, trial: Trial) -> None:
        first, second = await trial.accept(trial.envelope("m1", "x"), trial.envelope("m2", "y"))

        verdicts = await trial.commit(completed(first, save=save(0)), completed(second, save=save(0)))

        assert verdicts == [COMMITTED, Verdict.CONFLICT]

    @conformance
    async def test_a_version_built_on_an_old_one_is_a_conflict_and_leaves_nothing(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}") for i in range(3)))
        await trial.commit(completed(stored[0], save=save(0)), completed(stored[1], save=save(1)))
        sent = (trial.envelope("s1", guarded=False), trial.timer())
        late = completed(stored[2], save=save(1, state=b"late"), sent=sent)

        assert await trial.commit(late) == [Verdict.CONFLICT]

        instance = await trial.instance()
        assert instance is not None
        assert (instance.version, instance.state) == (2, b'{"version":2}')
        assert await trial.stored_ids() == ["m2"]

    @conformance
    async def test_a_version_built_on_one_to_come_is_a_conflict(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}") for i in range(2)))

        assert await trial.commit(completed(stored[0], save=save(1))) == [Verdict.CONFLICT]
        assert await trial.commit(completed(stored[0], save=save(0))) == [COMMITTED]
        assert await trial.commit(completed(stored[1], save=save(2))) == [Verdict.CONFLICT]

    @conformance
    async def test_an_unchanged_state_is_a_new_version_all_the_same(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}") for i in range(2)))

        for base, each in enumerate(stored):
            assert await trial.commit(completed(each, save=save(base, state=b"{}"))) == [COMMITTED]

        instance = await trial.instance()
        assert instance is not None
        assert instance.version == 2

    @conformance
    async def test_a_chain_of_versions_commits_in_one_batch(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}") for i in range(50)))

        verdicts = await trial.commit(*(completed(each, save=save(i)) for i, each in enumerate(stored)))

        instance = await trial.instance()
        assert verdicts == [COMMITTED] * 50
        assert instance is not None
        assert (instance.version, instance.state) == (50, b'{"version":50}')

    @conformance
    async def test_chains_of_many_keys_may_be_woven_into_each_other(self, trial: Trial) -> None:
        keys = [f"k{i}" for i in range(10)]
        stored = await trial.accept(*(trial.envelope(f"{key}-{n}", key) for n in range(5) for key in keys))
        outcomes = [completed(each, save=save(i // 10, key=str(each.partition_key))) for i, each in enumerate(stored)]

        assert await trial.commit(*outcomes) == [COMMITTED] * 50

        loaded = await trial.store.load(ORDERS, keys)
        assert [each.instance.version for each in loaded if each.instance] == [5] * 10

    @conformance
    async def test_a_broken_link_ends_its_chain_only(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"{key}{n}", key) for n in range(3) for key in ("A1", "B2")))
        await trial.commit(completed(stored[2]))
        outcomes = [completed(each, save=save(i // 2, key=str(each.partition_key))) for i, each in enumerate(stored)]

        verdicts = await trial.commit(*outcomes)

        assert verdicts == [COMMITTED, COMMITTED, Verdict.GONE, COMMITTED, Verdict.DROPPED, COMMITTED]

    @conformance
    async def test_a_completed_instance_stays_and_cannot_start_again(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}") for i in range(2)))
        await trial.commit(completed(stored[0], save=save(0, completed=True)))

        assert await trial.commit(completed(stored[1], save=save(0))) == [Verdict.CONFLICT]

        instance = await trial.instance()
        assert instance is not None
        assert (instance.completed, instance.version) == (True, 1)

    @conformance
    async def test_a_chain_may_start_and_complete_in_one_batch(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}") for i in range(3)))

        verdicts = await trial.commit(
            completed(stored[0], save=save(0), sent=(trial.timer(),)),
            completed(stored[1], save=save(1, completed=True)),
            completed(stored[2], save=save(0)),
        )

        assert verdicts == [COMMITTED, COMMITTED, Verdict.CONFLICT]
        assert await trial.stored_ids() == ["m2"]

    @conformance
    async def test_one_key_of_two_sagas_is_two_instances(self, trial: Trial) -> None:
        first, second = await trial.accept(trial.envelope("m1", "x"), trial.envelope("m2", "y"))

        verdicts = await trial.commit(
            completed(first, save=save(0)), completed(second, save=save(0, saga="shipping", state=b"s"))
        )

        shipping = await trial.instance(saga="shipping")
        assert verdicts == [COMMITTED, COMMITTED]
        assert shipping is not None
        assert shipping.state == b"s"

    @conformance
    async def test_keys_that_look_alike_are_different_instances(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}", key) for i, key in enumerate(LOOK_ALIKES)))
        outcomes = [completed(each, save=save(key=str(each.partition_key))) for each in stored]

        assert await trial.commit(*outcomes) == [COMMITTED] * len(LOOK_ALIKES)

        loaded = await trial.store.load(ORDERS, LOOK_ALIKES)
        assert [each.instance.key for each in loaded if each.instance] == list(LOOK_ALIKES)

    @conformance
    async def test_states_survive_byte_for_byte(self, trial: Trial) -> None:
        large = '{"note":"ä🎉 \\u0000 it\'s"}'.encode() * 8000  # 200 KiB
        states = [b"{}", b'{"a":1.10}', b'{"b":1,"a":2}', "é\u0301".encode(), large]
        stored = await trial.accept(*(trial.envelope(f"m{i}", f"k{i}") for i in range(len(states))))

        await trial.commit(*(completed(each, save=save(key=f"k{i}", state=states[i])) for i, each in enumerate(stored)))

        loaded = await trial.store.load(ORDERS, [f"k{i}" for i in range(len(states))])
        assert [each.instance.state for each in loaded if each.instance] == states

    @conformance
    async def test_loading_answers_in_the_order_asked_and_for_missing_keys(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}", key) for i, key in enumerate(("a", "b"))))
        await trial.commit(*(completed(each, save=save(key=str(each.partition_key))) for each in stored))

        loaded = await trial.store.load(ORDERS, ["b", "missing", "a"])

        assert [each.key for each in loaded] == ["b", "missing", "a"]
        assert [each.instance is not None for each in loaded] == [True, False, True]
        assert [each.stashed for each in loaded] == [(), (), ()]
        assert list(await trial.store.load(ORDERS, [])) == []
