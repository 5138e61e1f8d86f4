"""The journal: one row of each handled message whose outcome has committed, if it is asked for, and of nothing else."""

from __future__ import annotations

from typing import Any

import msgspec

from sagabus.envelope import Cause, Envelope
from sagabus.outcome import DeadLettered, Discarded, Marked, Outcome, RetryAt, Stashed, Verdict
from sagabus.store import Batch, JournalRow, Retention
from sagabus.store.journal import JournalMark
from sagabus.store.upkeep import Purged
from sagabus.testing.conformance.append import LOOK_ALIKES
from sagabus.testing.conformance.trial import (
    BILLING,
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

TALK = "talk-1"
"""The conversation of most tests."""


def row(envelope: Envelope, outcome: str = "completed", **fields: Any) -> JournalRow:
    """What the journal is to say of the run of an envelope."""
    chosen: dict[str, Any] = {"error": None, "version": None, "duration": 7, "worker": "w1"}
    return JournalRow(
        correlation_id=envelope.correlation_id or envelope.message_id,
        subscription=envelope.channel,
        message_id=envelope.message_id,
        message_type=envelope.message_type,
        key=envelope.partition_key,
        timer=envelope.timer,
        causation_id=envelope.causation_id,
        sent_at=envelope.sent_at,
        attempt=envelope.attempt + 1,
        outcome=outcome,
        **chosen | fields,
    )


async def commit(trial: Trial, *outcomes: Outcome, rows: list[JournalRow] | None = None) -> list[Verdict]:
    """Commit outcomes with a row of the journal for each."""
    given = rows or [row(each.envelope) for each in outcomes]
    journal = {outcome.envelope.position: each for outcome, each in zip(outcomes, given, strict=True)}
    batch = Batch(outcomes, trial.routing.version, {}, journal)
    return [answer.verdict for answer in await trial.store.commit(batch)]


async def journal(trial: Trial, talk: str = TALK, **asked: Any) -> list[JournalRow]:
    """What the journal says of a conversation."""
    return list(await trial.store.inspect.journal(talk, **asked))


async def ids(trial: Trial, talk: str = TALK, **asked: Any) -> list[str]:
    """The messages of a conversation, in order of time."""
    return [each.message_id for each in await journal(trial, talk, **asked)]


async def talk(trial: Trial, count: int, key: str = "A1", **fields: Any) -> list[Envelope]:
    """Several messages of one conversation, as they are stored."""
    fields = {"correlation_id": TALK} | fields
    return await trial.accept(*(trial.envelope(f"{key}-{n}", key, **fields) for n in range(count)))


class JournalConformance(StoreSuite):
    """`Batch.journal`, `Inspection.journal` and `Inspection.letters`, and how a journal is forgotten."""

    @conformance
    async def test_a_row_is_kept_with_all_its_fields(self, trial: Trial) -> None:
        born = trial.clock.now()
        (message,) = await talk(trial, 1, causation_id="cause")
        await trial.append(trial.timer(correlation_id=TALK))
        timer = (await trial.stored())[-1]
        first = row(message, version=1)
        second = row(timer, "discarded", error="unexpected", version=0, duration=0, worker="w2")

        assert await commit(trial, completed(message, save=save()), rows=[first]) == [COMMITTED]
        trial.wait(60)
        assert await commit(trial, Discarded(timer, "no"), rows=[second]) == [COMMITTED]

        found = await journal(trial)
        assert [msgspec.structs.replace(each, position=0) for each in found] == [
            msgspec.structs.replace(first, handled_at=born),
            msgspec.structs.replace(second, handled_at=born + MINUTE),
        ]
        assert 0 < found[0].position < found[1].position
        assert (found[0].causation_id, found[1].timer) == ("cause", "payment")

    @conformance
    async def test_without_a_row_nothing_is_written(self, trial: Trial) -> None:
        first, second, third = await talk(trial, 3)

        await trial.commit(completed(first))
        batch = Batch([completed(second), completed(third)], trial.routing.version, {}, {third.position: row(third)})
        await trial.store.commit(batch)

        assert await ids(trial) == [third.message_id]

    @conformance
    async def test_outcomes_of_every_kind_leave_a_row_but_marks_do_not(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{n}", f"k{n}", correlation_id=TALK) for n in range(6)))
        outcomes: list[Outcome] = [
            completed(stored[0]),
            RetryAt(envelope=stored[1], delay=MINUTE, failure=FAILURE),
            Stashed(stored[2], MINUTE),
            DeadLettered(cause=Cause.FAILED, envelope=stored[3], reason="no", failure=FAILURE),
            Discarded(stored[4], "no"),
            Marked(stored[5]),
        ]

        assert await commit(trial, *outcomes) == [COMMITTED] * 6

        assert sorted(await ids(trial)) == [f"m{n}" for n in range(5)]

    @conformance
    async def test_each_attempt_leaves_a_row(self, trial: Trial) -> None:
        (message,) = await talk(trial, 1)
        failed = row(message, "retried", error="ValueError")
        await commit(trial, RetryAt(envelope=message, delay=SECOND, failure=FAILURE), rows=[failed])
        trial.wait(2)
        (again,) = await trial.stored()

        await commit(trial, completed(again))

        found = [(each.attempt, each.outcome, each.error) for each in await journal(trial)]
        assert found == [(1, "retried", "ValueError"), (2, "completed", None)]

    @conformance
    async def test_of_a_run_that_lost_no_row_remains(self, trial: Trial) -> None:
        first, second, third = await trial.accept(
            *(trial.envelope(f"m{n}", f"k{n}", correlation_id=TALK) for n in range(3))
        )
        await trial.commit(completed(await trial.accept_one("m9"), claims=(claim(),)))

        verdicts = await commit(trial, completed(first), completed(second, claims=(claim(),)), completed(third))

        assert verdicts == [COMMITTED, Verdict.DUPLICATE, COMMITTED]
        assert await commit(trial, completed(first)) == [Verdict.GONE]
        assert await ids(trial) == ["m0", "m2"]

    @conformance
    async def test_what_rested_on_one_that_lost_leaves_no_row(self, trial: Trial) -> None:
        stored = await talk(trial, 3)
        outcomes = [completed(each, save=save(base)) for each, base in zip(stored, (0, 7, 8), strict=True)]

        assert await commit(trial, *outcomes) == [COMMITTED, Verdict.CONFLICT, Verdict.DROPPED]

        assert await ids(trial) == ["A1-0"]

    @conformance
    async def test_a_row_goes_with_a_recorded_transition_and_what_was_sent(self, trial: Trial) -> None:
        (message,) = await talk(trial, 1)
        sent = trial.envelope("sent", channel=BILLING, guarded=False)

        await commit(trial, completed(message, save=save(recorded=True), sent=(sent,)))

        assert await ids(trial) == ["A1-0"]
        assert len(await trial.store.inspect.history(ORDERS, "A1")) == 1
        assert await trial.stored_ids(BILLING) == ["sent"]

    @conformance
    async def test_a_row_in_a_unit_is_written_when_the_unit_commits(self, trial: Trial) -> None:
        first, second = await talk(trial, 2)
        async with trial.store.transaction() as unit:
            batch = Batch([completed(first)], trial.routing.version, {}, {first.position: row(first)})
            assert [answer.verdict for answer in await unit.commit(batch)] == [COMMITTED]
        async with trial.store.transaction() as unit:
            late = completed(second, save=save(5))
            batch = Batch([late], trial.routing.version, {}, {second.position: row(second)})
            assert [answer.verdict for answer in await unit.commit(batch)] == [Verdict.CONFLICT]

        assert await ids(trial) == ["A1-0"]

    @conformance
    async def test_texts_of_every_kind_survive(self, trial: Trial) -> None:
        texts = [*LOOK_ALIKES, "é\u0301\x1f\x1e\x1a", 'ä🎉 it\'s "quoted" \\ ?1 {x}']
        stored = await trial.accept(*(trial.envelope(f"m{n}", "k", correlation_id=TALK) for n in range(len(texts))))
        rows = [row(each, error=text, worker=text) for each, text in zip(stored, texts, strict=True)]

        await commit(trial, *map(completed, stored), rows=rows)

        found = {each.message_id: (each.error, each.worker) for each in await journal(trial)}
        assert found == {f"m{n}": (text,) * 2 for n, text in enumerate(texts)}

    @conformance
    async def test_conversations_that_look_alike_are_apart(self, trial: Trial) -> None:
        sent = (trial.envelope(f"m{n}", correlation_id=talk) for n, talk in enumerate(LOOK_ALIKES))
        stored = await trial.accept(*sent)
        await commit(trial, *map(completed, stored))

        for number, name in enumerate(LOOK_ALIKES):
            assert await ids(trial, name) == [f"m{number}"]
        assert await ids(trial, "absent") == []

    @conformance
    async def test_a_conversation_is_read_in_pages_in_order_of_time(self, trial: Trial) -> None:
        stored = await talk(trial, 5)
        for part in (stored[:2], stored[2:4], stored[4:]):
            await commit(trial, *map(completed, part))
            trial.wait(1)

        pages, mark = list[list[str]](), JournalMark(-1, -1)
        for _ in range(4):
            page = await journal(trial, after=mark, limit=2)
            pages.append([each.message_id for each in page])
            mark = JournalMark(page[-1].handled_at, page[-1].position) if page else mark

        assert pages == [["A1-0", "A1-1"], ["A1-2", "A1-3"], ["A1-4"], []]
        middle = (await journal(trial))[0]
        assert await ids(trial, after=JournalMark(middle.handled_at, middle.position)) == [
            f"A1-{n}" for n in (1, 2, 3, 4)
        ]

    @conformance
    async def test_a_whole_flush_leaves_its_rows(self, trial: Trial) -> None:
        stored = await talk(trial, 700)

        assert set(await commit(trial, *map(completed, stored))) == {COMMITTED}

        assert sorted(await ids(trial, limit=1000)) == sorted(each.message_id for each in stored)

    @conformance
    async def test_rows_go_after_their_window_the_oldest_first_in_bounded_steps(self, trial: Trial) -> None:
        for each in await talk(trial, 5):
            await commit(trial, completed(each))
            trial.wait(1)
        kept = Retention(ORDERS, 30 * DAY, journal=DAY)
        trial.wait(86_400 - 1)

        assert await trial.store.purge([kept], 3) == Purged(journal=3, more=True)
        assert await ids(trial) == ["A1-3", "A1-4"]
        assert await trial.store.purge([kept], 3) == Purged(journal=1)
        trial.wait(1)
        assert await trial.store.purge([kept], 3) == Purged(journal=1)
        assert await ids(trial) == []

    @conformance
    async def test_rows_of_other_subscriptions_stay_and_by_default_they_are_kept_as_long_as_all(
        self, trial: Trial
    ) -> None:
        (mine,) = await talk(trial, 1)
        await trial.append(trial.envelope("theirs", channel=BILLING, correlation_id=TALK))
        (theirs,) = await trial.stored(BILLING)
        await commit(trial, completed(mine), completed(theirs))
        trial.wait(86_400)
        assert (await trial.store.purge([Retention(ORDERS, DAY)], 10)).journal == 0
        trial.wait(1)

        assert (await trial.store.purge([Retention(ORDERS, DAY)], 10)).journal == 1

        assert await ids(trial) == ["theirs"]

    @conformance
    async def test_dead_letters_are_found_by_their_conversation(self, trial: Trial) -> None:
        names = ["began", "of it", "other", "names it"]
        talks = [None, "began", "began too", None]
        stored = await trial.accept(
            *(
                trial.envelope(name, f"k{n}", correlation_id=talks[n], causation_id="began")
                for n, name in enumerate(names)
            )
        )
        dead = [DeadLettered(cause=Cause.FAILED, envelope=each, reason="no", failure=FAILURE) for each in stored]
        await trial.commit(*dead)
        letters = {each.envelope.message_id: each for each in await trial.letters()}
        await trial.store.discard(letters["of it"].id)

        found = await trial.store.inspect.letters("began")

        assert not found.stopped
        assert [(each.envelope.message_id, each.status) for each in found.letters] == [
            ("of it", "discarded"),
            ("began", "open"),
        ]

    @conformance
    async def test_more_dead_letters_than_a_look_shows_are_said_to_be(self, trial: Trial) -> None:
        stored = await talk(trial, 101)
        await trial.commit(*(DeadLettered(cause=Cause.FAILED, envelope=each, reason="no") for each in stored))

        found = await trial.store.inspect.letters(TALK)

        assert (len(found.letters), found.stopped) == (100, True)
