"""All that is kept of a subject is erased, nothing else is touched, and what is not done goes only on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sagabus.envelope import Cause, Envelope
from sagabus.outcome import Admission, Completed, DeadLettered, RetryAt, Verdict
from sagabus.store import Batch, JournalRow
from sagabus.store.erasing import ERASED, FIRST, Erasure, Live, Order, Place, Subject, Trace, pseudonym
from sagabus.store.loud import Loud
from sagabus.store.mending import ChangeInstance, Entry, RunNow
from sagabus.store.running import Running
from sagabus.testing.conformance.trial import (
    BILLING,
    COMMITTED,
    FAILURE,
    MINUTE,
    ORDERS,
    SECOND,
    StoreSuite,
    Trial,
    completed,
    conformance,
    save,
)

A1, TALK = Subject(key="A1"), Subject(correlation_id="talk")
ENTRY = Entry(verb="subject.erase", channel="", target=pseudonym("A1"), by="ann", reason="a letter", before="{}")


async def look(trial: Trial, subject: Subject = A1) -> tuple[dict[Trace, int], list[Live]]:
    """What there is of a subject, kinds without anything left out."""
    counts: dict[Trace, int] = {}
    live: list[Live] = []
    place: Place | None = FIRST
    while place is not None:
        found = await trial.store.traces(subject, place)
        counts = _added(counts, found.counts)
        live += found.live
        place = found.next
    return counts, live


async def erase(trial: Trial, subject: Subject = A1, *, live: bool = False) -> Erasure:
    """Go through all of it once, in steps that follow one another; the counts of all of them."""
    counts: dict[Trace, int] = {}
    audit: int | None = None
    place: Place | None = FIRST
    while place is not None:
        order = Order(entry=ENTRY, live=live, so_far=counts, audit=audit)
        done = await trial.store.erase(subject, place, order)
        counts, audit, place = _added(counts, done.counts), done.audit, done.next
        if done.live:
            return Erasure(counts, done.live, audit=audit)
    return Erasure(counts, audit=audit)


def _added(counts: Mapping[Trace, int], more: Mapping[Trace, int]) -> dict[Trace, int]:
    total = {trace: counts.get(trace, 0) + more.get(trace, 0) for trace in Trace}
    return {trace: count for trace, count in total.items() if count}


async def finish(trial: Trial, key: str = "A1", *, message_id: str = "m1", correlation_id: str | None = None) -> None:
    """Leave an ended instance with a history of two steps, and two rows of the journal."""
    versions: Sequence[tuple[int, bool]] = ((0, False), (1, True))
    for base, ends in versions:
        name = f"{message_id}-{base}"
        stored = await trial.accept_one(name, key, correlation_id=correlation_id)
        done = completed(stored, save=save(base, key, completed=ends, recorded=True))
        await handled(trial, done)


async def handled(trial: Trial, done: Completed) -> None:
    """Commit a run with its row of the journal."""
    message = done.envelope
    row = JournalRow(
        message.correlation_id or message.message_id, message.channel, message.message_id, message.message_type,
        message.partition_key, None, None, message.sent_at, 1, "completed", None, 1, 5, "w1",
    )  # fmt: skip
    batch = Batch((done,), trial.routing.version, {}, {message.position: row})
    assert [each.verdict for each in await trial.store.commit(batch)] == [COMMITTED]


class ErasingConformance(StoreSuite):
    """`traces` and `erase`."""

    @conformance
    async def test_an_ended_instance_goes_with_its_history_and_its_rows_of_the_journal(self, trial: Trial) -> None:
        await finish(trial)
        await finish(trial, "A2", message_id="m2")
        expected = {Trace.INSTANCES: 1, Trace.HISTORY: 2, Trace.JOURNAL: 2}

        assert await look(trial) == (expected, [])
        assert (await erase(trial)).counts == expected

        assert await look(trial) == ({}, [])
        assert await trial.instance() is None
        assert not await trial.store.inspect.history(ORDERS, "A1")
        assert await look(trial, Subject(key="A2")) == (expected, [])
        assert (await erase(trial)).counts == {}

    @conformance
    async def test_an_erasure_has_one_entry_in_the_audit_log_with_what_went(self, trial: Trial) -> None:
        await finish(trial)

        audit = (await erase(trial)).audit

        (found,) = (await trial.store.inspect.audits()).entries
        assert (found.id, found.entry.verb, found.entry.by, found.entry.reason) == (
            audit, "subject.erase", "ann", "a letter",
        )  # fmt: skip
        assert found.entry.after == '{"erased":{"saga instances":1,"steps of histories":2,"rows of the journal":2}}'

    @conformance
    async def test_a_copy_of_what_was_erased_is_still_a_duplicate(self, trial: Trial) -> None:
        await finish(trial)
        await trial.accept_one("waits")

        await erase(trial, live=True)

        copies = [trial.envelope(message_id) for message_id in ("m1-0", "m1-1", "waits")]
        assert await trial.append(*copies) == [Admission.DUPLICATE] * 3
        assert await look(trial) == ({}, [])

    @conformance
    async def test_work_that_is_not_done_is_named_and_stays(self, trial: Trial) -> None:
        await trial.commit(completed(await trial.accept_one("m1"), save=save(timers={"payment": "t1"})))
        await trial.accept(trial.envelope("now"), trial.envelope("later", delay=MINUTE), trial.timer())
        await trial.accept(trial.envelope("paid", channel=BILLING))

        _, live = await look(trial)
        assert sorted((each.what, each.channel, each.name) for each in live) == [
            ("instance", ORDERS, "open"),
            ("ready", BILLING, "orders.submitted paid"),
            ("ready", ORDERS, "orders.submitted now"),
            ("scheduled", ORDERS, "orders.submitted later"),
            ("timer", ORDERS, "payment"),
        ]
        refused = await erase(trial)
        assert (refused.counts, len(refused.live)) == ({}, 4)
        assert len(await trial.stored()) == 3
        assert await trial.instance() is not None
        assert not (await trial.store.inspect.audits()).entries

    @conformance
    async def test_on_request_it_goes_as_well_and_runs_on_it_commit_nothing(self, trial: Trial) -> None:
        await trial.commit(completed(await trial.accept_one("m1"), save=save()))
        running = await trial.accept_one("m2")
        await trial.accept(trial.timer())

        done = await erase(trial, live=True)

        assert done.counts == {Trace.MESSAGES: 2, Trace.INSTANCES: 1}
        sent = [trial.envelope("sent", channel=BILLING)]
        assert await trial.commit(completed(running, save=save(1), sent=sent)) == [Verdict.GONE]
        assert await look(trial) == ({}, [])

    @conformance
    async def test_a_run_of_a_later_message_on_an_erased_instance_is_to_be_repeated(self, trial: Trial) -> None:
        await trial.commit(completed(await trial.accept_one("m1"), save=save()))
        await erase(trial, live=True)
        late = await trial.accept_one("m2")

        assert await trial.commit(completed(late, save=save(1))) == [Verdict.CONFLICT]
        assert await trial.instance() is None
        assert await trial.commit(completed(late, save=save())) == [COMMITTED]

    @conformance
    async def test_dead_letters_go_whatever_their_status_and_keys_that_they_park_go_on(self, trial: Trial) -> None:
        closed = await trial.bury("m1")
        await trial.store.discard(closed.id)
        await trial.bury("m2", parks=True)
        await trial.bury("m3", "A2", parks=True)

        assert (await erase(trial)).counts == {Trace.LETTERS: 2}

        assert [each.envelope.message_id for each in await trial.letters(None)] == ["m3"]
        await trial.accept_one("next")
        assert await trial.due_ids() == ["next"]

    @conformance
    async def test_a_key_that_a_retry_holds_back_goes_on(self, trial: Trial) -> None:
        failed = await trial.accept_one("m1")
        retry = RetryAt(envelope=failed, delay=MINUTE, failure=FAILURE, holds=True)
        assert await trial.commit(retry) == [COMMITTED]

        _, live = await look(trial)
        assert [each.what for each in live] == ["retrying"]
        await erase(trial, live=True)

        await trial.accept_one("next")
        assert await trial.due_ids() == ["next"]

    @conformance
    async def test_the_audit_log_keeps_who_did_what_and_when_and_nothing_of_the_subject(self, trial: Trial) -> None:
        await trial.commit(completed(await trial.accept_one("m1"), save=save()))
        await trial.commit(completed(await trial.accept_one("m2", "A2"), save=save(key="A2")))
        for key in ("A1", "A2"):
            kept = Entry(
                verb="saga.cancel", channel=ORDERS, target=key, by="bob", reason=f"{key} called", before='{"a":1}'
            )
            await trial.store.change(ChangeInstance(save(1, key, completed=True)), kept)
        letter = await trial.bury("m3")
        of_letter = Entry(verb="dead-letter.discard", channel="", target=str(letter.id), by="bob", reason="A1 again")
        await trial.store.discard(letter.id, entry=of_letter)

        assert (await erase(trial)).counts[Trace.AUDIT] == 2

        _, of_letter, other, blank = [each.entry for each in (await trial.store.inspect.audits()).entries]
        assert (other.target, other.reason, other.before) == ("A2", "A2 called", '{"a":1}')
        assert (blank.verb, blank.by, blank.channel) == ("saga.cancel", "bob", ORDERS)
        assert (blank.target, blank.reason, blank.before, blank.after) == (pseudonym("A1"), ERASED, "{}", "{}")
        assert (of_letter.target, of_letter.reason, of_letter.before) == (str(letter.id), ERASED, "{}")

    @conformance
    async def test_an_entry_about_a_timer_that_was_retried_loses_the_key_in_its_target(self, trial: Trial) -> None:
        for key in ("A1", "A2"):
            stored = await trial.accept_one(f"m-{key}", key, delay=MINUTE)
            about = Entry(
                verb="message.retry", channel=ORDERS, target=f"{key} payment", by="bob", reason="late",
                before=f'{{"key":"{key}"}}',
            )  # fmt: skip
            await trial.store.change(RunNow(stored.position, stored.due_at, 0), about)

        assert (await erase(trial, live=True)).counts[Trace.AUDIT] == 1

        assert [each.entry.target for each in (await trial.store.inspect.audits()).entries] == [
            pseudonym("A1"), "A2 payment", pseudonym("A1"),
        ]  # fmt: skip

    @conformance
    async def test_a_damaged_entry_of_the_audit_log_is_of_the_subject_that_its_text_names(self, trial: Trial) -> None:
        for key in ("A1", "A2"):
            letter = await trial.bury(f"m-{key}", "A3")
            kept = Entry(
                verb="dead-letter.edit", channel="", target=str(letter.id), by="bob", reason=key,
                before=f'{{"key":"{key}","body":"', after="{",
            )  # fmt: skip
            await trial.store.discard(letter.id, entry=kept)

        assert (await erase(trial)).counts[Trace.AUDIT] == 1

        _, other, blank = [each.entry for each in (await trial.store.inspect.audits()).entries]
        assert (other.reason, other.before) == ("A2", '{"key":"A2","body":"')
        assert (blank.reason, blank.before, blank.after) == (ERASED, "{}", "{}")

    @conformance
    async def test_a_conversation_goes_whatever_its_keys_are(self, trial: Trial) -> None:
        await finish(trial, correlation_id="talk")
        await trial.accept(trial.envelope("talk", "A2"), trial.envelope("m3", "A3", correlation_id="talk"))
        dead = await trial.accept_one("m4", "A4", correlation_id="talk")
        await trial.commit(DeadLettered(cause=Cause.FAILED, envelope=dead, reason="no", failure=FAILURE))
        await trial.accept_one("m5", correlation_id="another")

        assert (await erase(trial, TALK, live=True)).counts == {Trace.MESSAGES: 2, Trace.LETTERS: 1, Trace.JOURNAL: 2}

        assert await trial.stored_ids() == ["m5"]
        assert await trial.instance() is not None  # it belongs to its key

    @conformance
    async def test_what_is_of_a_key_and_of_a_conversation_is_counted_with_the_key_alone(self, trial: Trial) -> None:
        for number, key in enumerate(("A1", "A2")):
            await finish(trial, key, message_id=f"m{number}", correlation_id="talk")
            letter = await trial.bury(f"d{number}", key, correlation_id="talk")
            about = Entry(verb="dead-letter.discard", channel="", target=str(letter.id), by="bob", reason="wrong")
            await trial.store.discard(letter.id, entry=about)
            await trial.accept(trial.envelope(f"w{number}", key, correlation_id="talk"))
        rest = Subject(correlation_id="talk", but="A1")
        of_rest = {Trace.MESSAGES: 1, Trace.AUDIT: 1, Trace.LETTERS: 1, Trace.JOURNAL: 2}

        counts, live = await look(trial, rest)
        assert (counts, [each.name for each in live]) == (of_rest, ["orders.submitted w1"])
        assert (await erase(trial, rest, live=True)).counts == of_rest

        assert await trial.stored_ids() == ["w0"]
        assert (await look(trial))[0] == {**of_rest, Trace.INSTANCES: 1, Trace.HISTORY: 2}

    @conformance
    async def test_a_timer_of_a_conversation_stays_and_forgets_the_conversation(self, trial: Trial) -> None:
        await trial.accept(trial.timer(correlation_id="talk", causation_id="m0", headers={"x-name": "ann"}))
        assert await look(trial, TALK) == ({Trace.MESSAGES: 1}, [])

        assert (await erase(trial, TALK)).counts == {Trace.MESSAGES: 1}

        (kept,) = await trial.stored()
        assert (kept.timer, kept.correlation_id, kept.causation_id, kept.headers) == ("payment", None, None, None)
        assert await look(trial, TALK) == ({}, [])
        assert (await erase(trial, live=True)).counts == {Trace.MESSAGES: 1}

    @conformance
    async def test_what_one_saga_has_of_a_key_goes_alone(self, trial: Trial) -> None:
        await finish(trial)
        await trial.accept(trial.envelope("m2"), trial.envelope("m3", channel=BILLING))

        await erase(trial, Subject(key="A1", channel=BILLING), live=True)

        assert (await trial.stored_ids(), await trial.stored_ids(BILLING)) == (["m2"], [])
        assert await trial.instance() is not None
        assert len(await trial.store.inspect.history(ORDERS, "A1")) == 2

    @conformance
    async def test_what_workers_have_noted_goes_but_what_they_noted_of_others_stays(self, trial: Trial) -> None:
        lane = next(each for each in await trial.lease() if each.lane == trial.lane_of("A1"))
        await trial.store.note_loud("w1", [Loud(ORDERS, lane.lane, lane.epoch, ("A1", "A2"))])
        runs = [Running(f"run-{key}", "t", key, SECOND, 0) for key in ("A1", "A2")]
        await trial.store.note_running("w1", {ORDERS: runs})

        assert (await erase(trial)).counts == {Trace.NOTES: 2}

        (seen,) = await trial.store.inspect.workers()
        assert [each.key for each in seen.runs] == ["A2"]
        assert (await erase(trial)).counts == {}
        assert (await erase(trial, Subject(key="A2"))).counts == {Trace.NOTES: 2}

    @conformance
    async def test_keys_that_only_look_alike_are_not_touched(self, trial: Trial) -> None:
        for number, key in enumerate(("a1", "A1 ", "A10", "A", 'A1"')):
            await finish(trial, key, message_id=f"m{number}")
            await trial.bury(f"d{number}", key)
            await trial.accept_one(f"w{number}", key)

        assert await look(trial) == ({}, [])
        assert (await erase(trial, live=True)).counts == {}

    @conformance
    async def test_more_than_one_step_can_erase_goes_in_several(self, trial: Trial) -> None:
        many: list[Envelope] = [trial.envelope(f"m{number}") for number in range(2_500)]
        await trial.append(*many)
        await trial.accept_one("other", "A2")

        first = await trial.store.erase(A1, FIRST, Order(entry=ENTRY, live=True))
        assert (first.counts, first.next is not None) == ({Trace.MESSAGES: 1_000}, True)
        assert (await erase(trial, live=True)).counts == {Trace.MESSAGES: 1_500}
        assert await trial.stored_ids() == ["other"]
