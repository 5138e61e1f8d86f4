"""Texts that no database can keep: each call answers, or raises an error of the library, and harms nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from sagabus.envelope import Cause
from sagabus.errors import SagaBusError
from sagabus.outcome import DeadLettered, Failure, RetryAt
from sagabus.store import Cursor, Retention, Subscription
from sagabus.testing.conformance.trial import (
    COMMITTED,
    DAY,
    ORDERS,
    SECOND,
    SUBMITTED,
    StoreSuite,
    Trial,
    claim,
    completed,
    conformance,
    save,
)

SURROGATE, NUL = "a\ud800b", "a\0b"
HOSTILE = (SURROGATE, NUL)


async def survived(trial: Trial, call: Callable[[], Awaitable[Any]]) -> None:
    """Make a call that may be refused by an error of the library, and see that the store works afterwards."""
    try:
        await call()
    except SagaBusError as error:
        assert not getattr(error, "is_transient", False), f"repeating it would not help: {error!r}"
    assert await trial.store.routing() is not None


class HostileTextConformance(StoreSuite):
    """Half a character, and NUL: in whatever is written, and in whatever is asked for."""

    @conformance
    async def test_a_message_with_such_a_text_anywhere_is_refused(self, trial: Trial) -> None:
        for number, text in enumerate(HOSTILE):
            for field in ("message_id", "message_type", "partition_key", "correlation_id", "causation_id"):
                fields = {"message_id": f"{field}{number}", field: text}
                envelope = trial.envelope(**fields)
                await survived(trial, partial(trial.append, envelope))
            for headers in ({text: "x"}, {"x": text}):
                envelope = trial.envelope(f"headers{number}", headers=headers)
                await survived(trial, partial(trial.append, envelope))
            await survived(trial, partial(trial.append, trial.timer(text)))
        await survived(trial, partial(trial.append, trial.envelope(body=b'"\xff"')))

        await trial.accept_one("after")

    @conformance
    async def test_half_a_character_is_kept_nowhere(self, trial: Trial) -> None:
        for envelope in (
            trial.envelope(SURROGATE),
            trial.envelope("key", partition_key=SURROGATE),
            trial.envelope("header", headers={"x": SURROGATE}),
            trial.envelope("cause", causation_id=SURROGATE),
        ):
            await survived(trial, partial(trial.append, envelope))

        assert await trial.stored() == []

    @conformance
    async def test_an_effect_with_such_a_text_costs_itself_only(self, trial: Trial) -> None:
        for number, text in enumerate(HOSTILE):
            cases: dict[str, dict[str, Any]] = {
                "key": {"save": save(key=text)},
                "status": {"save": save(status=text)},
                "timers": {"save": save(timers={text: "t"})},
                "shape": {"save": save(shape=text)},
                "state": {"save": save(state=b'"\xff"')},
                "claim": {"claims": (claim(text),)},
                "cancelled": {"cancelled": (text,)},
                "sent": {"sent": (trial.envelope("s", headers={"x": text}, guarded=False),)},
            }
            for name, effects in cases.items():
                stored = await trial.accept_one(f"{name}{number}", f"{name}{number}")
                outcome = completed(stored, **effects)
                await survived(trial, partial(trial.commit, outcome))

        assert await trial.commit(completed(await trial.accept_one("after"))) == [COMMITTED]

    @conformance
    async def test_the_texts_of_a_failure_are_kept_whatever_they_say(self, trial: Trial) -> None:
        for number, text in enumerate(HOSTILE):
            first, second = await trial.accept(trial.envelope(f"a{number}", "A"), trial.envelope(f"b{number}", "B"))
            failure = Failure(text, text, text)

            retry = RetryAt(envelope=first, delay=SECOND, failure=failure)
            died = DeadLettered(envelope=second, cause=Cause.FAILED, reason=text, failure=failure)

            assert await trial.commit(retry, died) == [COMMITTED, COMMITTED]
        assert len(await trial.letters()) == len(HOSTILE)

    @conformance
    async def test_a_question_with_such_a_text_is_answered_or_refused(self, trial: Trial) -> None:
        store, look = trial.store, trial.store.inspect
        for text in HOSTILE:
            for ask in (
                partial(store.load, text, ["A1"]),
                partial(store.load, ORDERS, [text, "A1"]),
                partial(store.fetch, [Cursor(text, 0, 0)], 10),
                partial(look.due, [text]),
                partial(look.instances, text),
                partial(look.instances, ORDERS, status=text),
                partial(look.instances, ORDERS, after=text),
                partial(look.history, ORDERS, text),
                partial(look.envelopes, text),
                partial(look.envelopes, ORDERS, key=text),
                partial(look.dead_letters, channel=text),
                partial(look.dead_letters, status=text),
            ):
                await survived(trial, ask)

    @conformance
    async def test_a_change_with_such_a_name_is_made_or_refused(self, trial: Trial) -> None:
        store = trial.store
        for text in HOSTILE:
            for change in (
                partial(store.register, [Subscription(message_type=text, channel="c", kind="event")]),
                partial(store.register, [Subscription(message_type="t", channel=text, kind="event")]),
                partial(store.register, [Subscription(message_type="t", channel="c", kind="event", key=text)]),
                partial(store.unregister, text, SUBMITTED),
                partial(store.unregister, ORDERS, text),
                partial(store.lease, text, [ORDERS], duration=SECOND, window=1),
                partial(store.lease, "w", [text], duration=SECOND, window=1),
                partial(store.lease, "w", [ORDERS], duration=SECOND, window=1, knows={ORDERS: [text]}),
                partial(store.release, text),
                partial(store.purge, [Retention(text, DAY)], 10),
            ):
                await survived(trial, change)
