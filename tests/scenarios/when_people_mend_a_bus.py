"""People on call change what is stored: as they saw it, with a reason, and the audit log keeps it."""

import asyncio
from dataclasses import field
from datetime import timedelta
from typing import Any

import pytest
from tests.conftest import Take
from tests.scenarios.conftest import MakeHarness

from sagabus import (
    Bus,
    Cause,
    Context,
    DeadLetter,
    InvalidTime,
    Linear,
    MendRefused,
    MessageInvalid,
    ReplayResult,
    RetryPolicy,
    Saga,
    UnknownName,
    WrongType,
    event,
    handler,
    handles,
    starts,
    timer,
)
from sagabus.bus.mending.letters import LetterFilter
from sagabus.codec.json_text import plain
from sagabus.errors import StateInvalid
from sagabus.stores.sql import rows
from sagabus.testing import Harness

HOUR = timedelta(hours=1)
WHY = {"reason": "the customer called", "by": "ann"}


@event("mended.opened")
class Opened:
    key: str


@event("mended.paid")
class Paid:
    key: str


@event("mended.charged")
class Charged:
    key: str


class Case(Saga, name="cases", key="key", history=True):
    key: str
    amount: int = 0
    status: str = "open"

    @starts
    def opened(self, message: Opened, ctx: Context) -> None:
        ctx.set_timer("reminder", after=HOUR)

    @handles(when="paying")
    def paid(self, message: Paid, ctx: Context) -> None:
        self.status = "paid"

    @timer("reminder")
    def reminder(self, ctx: Context) -> None:
        self.status = "reminded"


@handler("charges", retry=RetryPolicy(attempts=5, backoff=Linear(HOUR), jitter=False))
def charge(message: Charged) -> None:
    raise ConnectionError("no line")


async def test_a_cancelled_instance_ends_with_its_timers_and_says_who_did_it() -> None:
    async with Harness(Case) as bus:
        await bus.publish(Opened(key="A"))

        mended = await bus.bus.mend.cancel(Case, "A", version=1, **WHY)
        await bus.advance(2 * HOUR)

        record = await bus.bus.sagas.get(Case, "A")
        assert record is not None
        assert (record.completed, record.version, record.status) == (True, 2, "open")
        assert await bus.bus.timers.list(Case, "A") == []
        (entry,) = (await bus.bus.inspect.audit("cases", target="A")).entries
        assert (entry.id, entry.verb, entry.by, entry.reason) == (mended.audit, "saga.cancel", "ann", WHY["reason"])
        assert entry.before == {"version": 1, "status": "open", "completed": False}
        assert entry.after == {"version": 2, "status": "open", "completed": True}
        step = (await bus.bus.inspect.history(Case, "A"))[-1]
        assert (step.message_type, step.completed) == ("sagabus.saga.cancel", True)


async def test_the_log_says_what_one_person_changed_in_a_span_of_time() -> None:
    async with Harness(Case) as bus:
        await bus.publish(Opened(key="A"))
        await bus.publish(Opened(key="B"))
        audit = bus.bus.inspect.audit

        first = await bus.bus.mend.cancel(Case, "A", version=1, **WHY)
        await bus.advance(HOUR / 2)
        second = await bus.bus.mend.cancel(Case, "B", version=1, reason="a call", by="bob")

        (last,) = (await audit(by="bob")).entries
        assert last.id == second.audit
        assert [each.id for each in (await audit(since=last.at)).entries] == [second.audit]
        assert [each.id for each in (await audit("cases", until=last.at)).entries] == [first.audit]
        assert (await audit(until=last.at, by="bob")).entries == ()
        with pytest.raises(InvalidTime, match="since"):
            await audit(since=last.at.replace(tzinfo=None))
        with pytest.raises(WrongType, match="by"):
            await audit(by=7)  # type: ignore[arg-type]


async def test_a_completed_instance_may_get_its_last_fields_in_the_same_commit() -> None:
    async with Harness(Case) as bus:
        await bus.publish(Opened(key="A"))

        await bus.bus.mend.complete(Case, "A", version=1, fields={"status": "settled"}, **WHY)

        record = await bus.bus.sagas.get(Case, "A")
        assert record is not None
        assert (record.completed, record.status, record.state.status) == (True, "settled", "settled")


async def test_a_patched_instance_reacts_as_its_new_status_says() -> None:
    async with Harness(Case) as bus:
        await bus.publish(Opened(key="A"))
        await bus.publish(Paid(key="A"))

        mended = await bus.bus.mend.patch(Case, "A", {"status": "paying", "amount": 7}, version=1, **WHY)
        await bus.idle()

        record = await bus.bus.sagas.get(Case, "A")
        assert record is not None
        assert (mended.before["fields"], mended.after["fields"]) == (
            {"status": "open", "amount": 0},
            {"status": "paying", "amount": 7},
        )
        assert (record.state.amount, [timer.name for timer in await bus.bus.timers.list(Case, "A")]) == (
            7,
            ["reminder"],
        )


@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        ({"amount": "seven"}, StateInvalid, "amount"),
        ({"amuont": 7}, MendRefused, r"did you mean amount\?"),
        ({"key": "B"}, MendRefused, "is the key of cases"),
    ],
)
async def test_a_patch_that_does_not_fit_changes_nothing(
    fields: dict[str, Any], error: type[Exception], text: str
) -> None:
    async with Harness(Case) as bus:
        await bus.publish(Opened(key="A"))
        before = (await bus.bus.store.load("cases", ["A"]))[0].instance

        with pytest.raises(error, match=text):
            await bus.bus.mend.patch(Case, "A", fields, version=1, **WHY)

        after = (await bus.bus.store.load("cases", ["A"]))[0].instance
        assert after == before
        assert after is not None
        assert plain(after.state)["amount"] == 0
        assert (await bus.bus.inspect.audit()).entries == ()


async def test_another_version_a_finished_instance_and_unknown_names_are_refused() -> None:
    async with Harness(Case, charge) as bus:
        await bus.publish(Opened(key="A"))
        mend = bus.bus.mend

        with pytest.raises(MendRefused, match="cases A has version 1 now, not 2"):
            await mend.cancel(Case, "A", version=2, **WHY)
        with pytest.raises(MendRefused, match="cases has no instance 'B'"):
            await mend.cancel(Case, "B", version=1, **WHY)
        with pytest.raises(UnknownName, match=r"did you mean cases\?"):
            await mend.cancel("case", "A", version=1, **WHY)
        with pytest.raises(MendRefused, match="charges has no instance"):
            await mend.cancel("charges", "A", version=1, **WHY)
        await mend.cancel(Case, "A", version=1, **WHY)
        with pytest.raises(MendRefused, match="cases A has finished"):
            await mend.patch(Case, "A", {"amount": 1}, version=2, **WHY)
        with pytest.raises(ValueError, match="reason must not be empty"):
            await mend.cancel_timer(Case, "A", "reminder", reason=" ")


@pytest.mark.parametrize(
    ("text", "problem"),
    [("a \udcff", "has half a character .* at 2: write it as text"), ("\0", "has the character NUL at 0")],
)
async def test_who_and_why_are_texts_that_every_database_keeps(text: str, problem: str) -> None:
    async with Harness(Case) as bus:
        mend, letters = bus.bus.mend, bus.bus.dead_letters

        with pytest.raises(ValueError, match=f"reason {problem}"):
            await mend.pause("cases", reason=text)
        with pytest.raises(ValueError, match=f"by {problem}"):
            await mend.pause("cases", reason="a test", by=text)
        with pytest.raises(ValueError, match=f"reason {problem}"):
            await letters.discard(1, reason=text)
        with pytest.raises(ValueError, match=f"by {problem}"):
            await letters.replay(1, reason="a test", by=text)
        assert await bus.bus.store.inspect.paused() == []


async def test_what_has_no_form_in_json_takes_no_place_of_what_is_stored() -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]

    async with Harness(Case, fussy) as bus:
        await bus.publish(Opened(key="A"))
        await bus.publish(Paid(key="bad1"))
        for value, problem in ((float("nan"), "NaN"), ("\ud800", "half a character"), (deep, "stand in one another")):
            with pytest.raises(ValueError, match=f"fields: .*{problem}"):
                await bus.bus.mend.patch(Case, "A", {"amount": value}, version=1, **WHY)
            with pytest.raises(ValueError, match=f"body: .*{problem}"):
                await bus.bus.dead_letters.edit(1, {"key": "bad1", "more": value}, **WHY)
        assert (await bus.bus.inspect.audit()).entries == ()


async def test_a_bus_without_the_class_ends_an_instance_and_patches_none() -> None:
    async with Harness(Case) as bus:
        await bus.publish(Opened(key="A"))
        other = Bus(bus.bus.store)

        with pytest.raises(MendRefused, match="the class of cases is not known here"):
            await other.mend.patch("cases", "A", {"amount": 1}, version=1, **WHY)
        await other.mend.cancel("cases", "A", version=1, **WHY)

        steps = await bus.bus.inspect.history(Case, "A")
        assert [step.message_type for step in steps] == ["mended.opened", "sagabus.saga.cancel"]


async def test_a_worker_that_believed_another_version_runs_again_on_the_mended_one() -> None:
    gate, entered = asyncio.Event(), asyncio.Event()

    class Slow(Saga, name="slow", key="key"):
        key: str
        seen: list[str] = field(default_factory=list)

        @starts
        async def opened(self, message: Opened, ctx: Context) -> None: ...

        @handles
        async def paid(self, message: Paid, ctx: Context) -> None:
            entered.set()
            await gate.wait()
            self.seen.append("paid")

    async with Harness(Slow) as bus:
        await bus.publish(Opened(key="A"))
        await bus.publish(Paid(key="A"), wait=False)
        await entered.wait()

        await bus.bus.mend.patch(Slow, "A", {"seen": ["mended"]}, version=1, **WHY)
        gate.set()
        await bus.idle()

        record = await bus.bus.sagas.get(Slow, "A")
        assert record is not None
        assert (record.state.seen, record.version) == (["mended", "paid"], 3)


async def test_a_message_that_waits_for_its_retry_runs_now() -> None:
    async with Harness(charge) as bus:
        await bus.publish(Charged(key="A"))
        (message,) = (await bus.bus.inspect.messages("charges")).messages
        assert message.kind == "retrying"

        await bus.bus.mend.retry_now(message.position, **WHY)
        await bus.idle()

        (again,) = (await bus.bus.inspect.messages("charges")).messages
        assert (again.kind, again.attempts) == ("retrying", 2)
        with pytest.raises(MendRefused, match="no message stands at position"):
            await bus.bus.mend.retry_now(again.position + 1, **WHY)
        with pytest.raises(MendRefused, match="is not scheduled: it has failed"):
            await bus.bus.mend.cancel_message(again.position, **WHY)


async def test_a_scheduled_message_is_cancelled_and_never_runs() -> None:
    async with Harness(Case) as bus:
        await bus.bus.publish(Opened(key="A"), delay=HOUR, message_id="later")
        (message,) = (await bus.bus.inspect.messages("cases")).messages

        await bus.bus.mend.cancel_message(message.position, **WHY)
        await bus.advance(2 * HOUR)

        assert await bus.bus.sagas.get(Case, "A") is None
        (entry,) = (await bus.bus.inspect.audit(target="later")).entries
        assert (entry.verb, entry.before["message_type"]) == ("message.cancel", "mended.opened")


async def test_a_timer_is_moved_and_fires_once_at_its_new_time() -> None:
    async with Harness(Case) as bus:
        await bus.publish(Opened(key="A"))

        await bus.bus.mend.move_timer(Case, "A", "reminder", after=3 * HOUR, **WHY)
        await bus.advance(2 * HOUR)
        assert (await bus.saga(Case, "A")).status == "open"
        await bus.advance(2 * HOUR)

        assert (await bus.saga(Case, "A")).status == "reminded"
        with pytest.raises(MendRefused, match="has no timer 'reminder'"):
            await bus.bus.mend.move_timer(Case, "A", "reminder", after=HOUR, **WHY)


async def test_a_cancelled_timer_never_fires_and_its_instance_knows() -> None:
    async with Harness(Case) as bus:
        await bus.publish(Opened(key="A"))

        await bus.bus.mend.cancel_timer(Case, "A", "reminder", **WHY)
        await bus.advance(2 * HOUR)

        record = await bus.bus.sagas.get(Case, "A")
        assert record is not None
        assert (record.status, dict(record.timers), record.version) == ("open", {}, 2)


@handler("fussy", retry=RetryPolicy(attempts=1), parks=True)
def fussy(message: Paid, ctx: Context) -> None:
    if message.key.startswith("bad"):
        raise ValueError(f"no {message.key} please")


async def test_dead_letters_are_grouped_by_what_they_have_in_common() -> None:
    async with Harness(fussy) as bus:
        for key in ("bad1", "bad2", "good"):
            await bus.publish(Paid(key=key))

        found = await bus.bus.dead_letters.groups()

        (group,) = found.groups
        assert (group.subscription, group.cause.value, group.message_type) == ("fussy", "failed", "mended.paid")
        assert (group.error_type, group.count, group.first_id, found.at_least) == ("ValueError", 2, 1, False)
        with pytest.raises(UnknownName):
            await bus.bus.dead_letters.groups("fuzzy")


async def test_a_dry_run_says_what_a_replay_would_do_and_changes_nothing() -> None:
    async with Harness(fussy) as bus:
        for key in ("bad1", "bad2", "bad3"):
            await bus.publish(Paid(key=key))
        letters = bus.bus.dead_letters
        await letters.discard(1, **WHY)

        dry = [step async for step in letters.replay_many(LetterFilter(subscription="fussy"), dry_run=True)]
        one = await letters.replay(1, dry_run=True)

        assert (dict(dry[-1].totals), one) == ({ReplayResult.DONE: 2}, ReplayResult.ALREADY_DONE)
        assert len(await letters.list()) == 2
        assert [each.verb for each in (await bus.bus.inspect.audit()).entries] == ["dead-letter.discard"]


async def test_many_are_replayed_in_steps_from_where_it_stopped() -> None:
    async with Harness(fussy) as bus:
        for number in range(450):
            await bus.bus.publish(Paid(key=f"bad{number}"))
        await bus.idle()
        letters = bus.bus.dead_letters

        step = await anext(letters.discard_many(LetterFilter(cause=Cause.FAILED, text="bad"), **WHY))
        rest = [each async for each in letters.discard_many(LetterFilter(), after=step.after, **WHY)]

        assert (len(step.results), [len(each.results) for each in rest]) == (200, [200, 50])
        assert await letters.list() == []
        assert len((await bus.bus.inspect.audit("fussy", limit=1_000)).entries) == 450


@pytest.mark.parametrize("which", [LetterFilter(), LetterFilter(subscription="fussy")])
async def test_letters_that_come_while_many_are_closed_are_left(harness: MakeHarness, which: LetterFilter) -> None:
    async with harness(fussy) as bus:

        async def fail(name: str) -> None:
            await bus.bus.publish_many([Paid(key=f"bad {name} {number}") for number in range(250)])
            await bus.idle()

        await fail("first")
        steps = list[int]()
        async for step in bus.bus.dead_letters.discard_many(which, **WHY):
            steps.append(len(step.results))
            await fail(f"after {steps}")
            assert len(steps) < 5, "the end runs away"

        assert steps == [200, 50]
        assert len(await bus.bus.dead_letters.list(limit=1_000)) == 500


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mysql"])
async def test_work_on_many_letters_reads_no_bodies(kind: str, take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    read, letter_of = list[int](), rows.letter_of

    def counted(row: Any) -> DeadLetter:
        read.append(len(row[2]))
        return letter_of(row)

    async with Bus(take(kind).url, fussy) as bus:
        await bus.publish_many([Paid(key=f"bad{number}") for number in range(3)])
        await bus.idle()
        monkeypatch.setattr(rows, "letter_of", counted)
        await bus.dead_letters.groups()
        steps = [step async for step in bus.dead_letters.discard_many(LetterFilter(text="please"), **WHY)]

    assert dict(steps[-1].totals) == {ReplayResult.DONE: 3}
    assert len(read) == 3 + 3 + 3, "the groups, the page, and each as it is closed"
    assert set(read) == {0}


async def test_an_edited_message_takes_the_place_of_its_letter_once() -> None:
    async with Harness(fussy) as bus:
        await bus.publish(Charged(key="A"), wait=False)
        await bus.publish(Paid(key="bad1"))
        letters = bus.bus.dead_letters

        with pytest.raises(MessageInvalid, match="key"):
            await letters.edit(1, {"kee": "good"}, **WHY)
        result, message_id = await letters.edit(1, {"key": "good"}, **WHY)
        again, same_id = await letters.edit(1, {"key": "good"}, **WHY)
        await bus.idle()

        assert (result, again, message_id) == (ReplayResult.DONE, ReplayResult.ALREADY_DONE, same_id)
        assert await letters.list() == []
        (entry,) = (await bus.bus.inspect.audit()).entries
        assert (entry.verb, entry.after["message_id"]) == ("dead-letter.edit", message_id)
        with pytest.raises(MendRefused, match="there is no dead letter 7"):
            await letters.edit(7, {}, **WHY)
