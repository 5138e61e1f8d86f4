"""Texts that some databases take for equal: keys, timers, channels, claims and workers stay different."""

from __future__ import annotations

from sagabus.envelope import Cause
from sagabus.outcome import Admission, DeadLettered, RetryAt, Stashed
from sagabus.store import Retention, Subscription
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

ALIKE = ("A1", "a1", "A1 ", " A1", "Á1", "A\u03011", "ａ1", "А1")  # that is the point
OTHERS = set(ALIKE[1:])
ODD = ("A\x1f1", "A\x1e1", "A\x1a", "A\t1\n", 'A"1', "A\\1", "A'1", "{A,1}", "%s ?1 $1", "NULL", "\x7f")


class AlikeConformance(StoreSuite):
    """F23: in another case, with a blank at an end, or in another Unicode form a text is another text."""

    @conformance
    async def test_a_key_that_waits_for_its_retry_holds_back_no_key_like_it(self, trial: Trial) -> None:
        first = await trial.accept_one("first", "A1")
        assert await trial.commit(RetryAt(envelope=first, delay=10 * SECOND, holds=True)) == [COMMITTED]

        await trial.accept(*[trial.envelope(f"m {key}", key) for key in ALIKE])

        assert set(await trial.due_ids()) == {f"m {key}" for key in OTHERS}

    @conformance
    async def test_a_text_that_a_database_has_a_use_for_is_kept_as_it_is(self, trial: Trial) -> None:
        bodies = {key: f"\x1f{key}\x1e".encode() for key in ODD}
        stored = await trial.accept(*[trial.envelope(f"m {key}", key, body=bodies[key]) for key in ODD])
        assert {envelope.partition_key: envelope.body for envelope in stored} == bodies

        sent = [trial.envelope(f"next {key}", key, body=bodies[key], guarded=False) for key in ODD]
        runs = [
            completed(one, save=save(key=key), sent=(next_,)) for one, key, next_ in zip(stored, ODD, sent, strict=True)
        ]
        assert await trial.commit(*runs) == [COMMITTED] * len(ODD)

        assert {found.key for found in await trial.store.load(ORDERS, ODD) if found.instance} == set(ODD)
        assert {envelope.message_id: envelope.body for envelope in (await trial.fetch()).envelopes} == {
            f"next {key}": bodies[key] for key in ODD
        }

    @conformance
    async def test_a_key_that_is_parked_holds_back_and_lets_go_no_key_like_it(self, trial: Trial) -> None:
        stored = await trial.accept(*[trial.envelope(f"dead {key}", key) for key in ALIKE])
        for envelope in stored:
            dead = DeadLettered(cause=Cause.FAILED, envelope=envelope, reason="no", failure=FAILURE, parks=True)
            assert await trial.commit(dead) == [COMMITTED]
        await trial.accept(*[trial.envelope(f"m {key}", key) for key in ALIKE])
        assert await trial.due_ids() == []

        (letter,) = [found for found in await trial.letters() if found.envelope.partition_key == "A1"]
        await trial.store.discard(letter.id)

        assert await trial.due_ids() == ["m A1"]

    @conformance
    async def test_a_saga_wakes_what_is_stashed_for_its_own_key(self, trial: Trial) -> None:
        stored = await trial.accept(*[trial.envelope(f"m {key}", key) for key in ALIKE])
        assert await trial.commit(*[Stashed(envelope, patience=DAY) for envelope in stored]) == [COMMITTED] * len(
            stored
        )
        for key in ALIKE:
            loaded = (await trial.store.load(ORDERS, [key]))[0]
            assert [found.message_id for found in loaded.stashed] == [f"m {key}"]

        start = await trial.accept_one("start", "A1")
        assert await trial.commit(completed(start, save=save(key="A1", wakes=True))) == [COMMITTED]

        assert await trial.due_ids() == ["m A1"]

    @conformance
    async def test_a_timer_is_replaced_by_one_of_its_own_name_and_key(self, trial: Trial) -> None:
        timers = [trial.timer(name, key, message_id=f"{name}|{key}") for name in ALIKE for key in ALIKE]
        await trial.accept(*timers)

        await trial.append(trial.timer("A1", "A1", message_id="again"))

        wanted = {f"{name}|{key}" for name in ALIKE for key in ALIKE} - {"A1|A1"}
        assert set(await trial.stored_ids()) == wanted | {"again"}

    @conformance
    async def test_a_timer_is_cancelled_by_its_own_name_and_key(self, trial: Trial) -> None:
        await trial.accept(*[trial.timer(name, key, message_id=f"{name}|{key}") for name in ALIKE for key in ALIKE])
        stored = await trial.accept_one("cancel", "A1")
        assert await trial.commit(completed(stored, cancelled=("A1",))) == [COMMITTED]
        assert set(await trial.stored_ids()) == {f"{name}|{key}" for name in ALIKE for key in ALIKE} - {"A1|A1"}

        last = await trial.accept_one("last", "A1")
        assert await trial.commit(completed(last, save=save(key="A1", completed=True))) == [COMMITTED]

        assert set(await trial.stored_ids()) == {f"{name}|{key}" for name in ALIKE for key in OTHERS}

    @conformance
    async def test_a_claim_is_taken_under_its_own_text(self, trial: Trial) -> None:
        stored = await trial.accept(*[trial.envelope(f"m {key}", key) for key in ALIKE])

        claims = [completed(envelope, claims=(claim(f"charge {envelope.partition_key}"),)) for envelope in stored]

        assert await trial.commit(*claims) == [COMMITTED] * len(ALIKE)

    @conformance
    async def test_channels_keep_their_messages_ids_and_horizons_to_themselves(self, trial: Trial) -> None:
        subscriptions = [Subscription(message_type="alike", channel=name, kind="event", window=DAY) for name in ALIKE]
        trial.routing = await trial.store.register(subscriptions)
        old = trial.clock.now()
        assert await trial.append(*[trial.envelope("m1", channel=name) for name in ALIKE]) == [
            Admission.ACCEPTED for _ in ALIKE
        ]
        trial.wait(2 * 86_400)
        await trial.store.purge([Retention("A1", DAY)], 100)

        assert [len(await trial.stored(name)) for name in ALIKE] == [1] * len(ALIKE)
        late = [trial.envelope("m2", channel=name, sent_at=old) for name in ALIKE]
        assert await trial.append(*late) == [Admission.TOO_OLD] + [Admission.ACCEPTED] * (len(ALIKE) - 1)

    @conformance
    async def test_a_subscription_is_removed_under_its_own_name(self, trial: Trial) -> None:
        for name in ALIKE:
            await trial.store.register([Subscription(message_type=name, channel=name, kind="command")])

        routing = await trial.store.unregister("A1", "A1")

        assert {each.channel for each in routing.subscriptions if each.kind == "command"} == OTHERS

    @conformance
    async def test_lanes_are_leased_under_the_name_of_their_channel_and_worker(self, trial: Trial) -> None:
        for name in ALIKE:
            lanes = await trial.store.lease(f"w {name}", [name], duration=MINUTE, window=10)
            assert {lane.channel for lane in lanes} == {name}
            assert len(lanes) == trial.routing.lanes

        await trial.store.release("w A1")

        for name in OTHERS:
            assert await trial.store.lease("newcomer", [name], duration=MINUTE, window=10) == []
        assert len(await trial.store.lease("newcomer", ["A1"], duration=MINUTE, window=10)) > 0
