"""Nothing of a subject is left in any column of any table, and nothing else is touched: "the right to be forgotten"."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from tests.scenarios.conftest import MakeHarness
from tests.support.databases import Database

from sagabus import (
    Bus,
    Context,
    DeadLetter,
    Linear,
    MendRefused,
    RetryPolicy,
    Saga,
    Settings,
    UnknownName,
    event,
    handler,
    handles,
    starts,
    timer,
)
from sagabus.bus.mending import erasing
from sagabus.store import Lane
from sagabus.store.erasing import pseudonym
from sagabus.store.loud import Loud
from sagabus.store.running import Running
from sagabus.stores.sql.dialect import TABLES
from sagabus.testing import Harness

MARK, OTHER = "m4rk", "0ther"
HOUR = timedelta(hours=1)
WHY = {"reason": "asked by letter", "by": "ann"}
ALL = Settings(journal="all")
HELD = {"envelope", "instance", "history", "dead_letter", "journal", "audit", "held_key", "lane", "worker"}
"""The tables in which something of a subject may be."""


@event("erased.opened")
class Opened:
    key: str
    text: str = ""


@event("erased.paid")
class Paid:
    key: str
    text: str = ""


@event("erased.closed")
class Closed:
    key: str


@event("erased.charged")
class Charged:
    key: str
    text: str = ""


@event("erased.weighed")
class Weighed:
    key: str
    text: str = ""


@event("erased.begun")
class Begun:
    key: str


@event("erased.early")
class Early:
    key: str
    text: str = ""


class Waiting(Saga, name="waiting", key="key"):
    key: str

    @starts
    def begun(self, message: Begun, ctx: Context) -> None: ...

    @handles
    def early(self, message: Early, ctx: Context) -> None: ...


class Case(Saga, name="cases", key="key", history=True):
    key: str
    text: str = ""
    status: str = "open"

    @starts
    def opened(self, message: Opened, ctx: Context) -> None:
        self.text = message.text
        ctx.set_timer("reminder", after=HOUR)

    @handles(when="paying")
    def paid(self, message: Paid, ctx: Context) -> None:
        self.status = "paid"

    @handles
    def closed(self, message: Closed, ctx: Context) -> None:
        ctx.complete()

    @timer("reminder")
    def reminder(self, ctx: Context) -> None:
        self.status = "reminded"


@handler("charges", key="key", retry=RetryPolicy(attempts=5, backoff=Linear(HOUR), jitter=False))
def charge(message: Charged) -> None:
    raise ConnectionError(f"no line for {message.text}")


@handler("scales", key="key", retry=RetryPolicy(attempts=1), parks=True)
def weigh(message: Weighed) -> None:
    raise ValueError(f"nothing weighs {message.text}")


EVERYTHING = (Case, Waiting, charge, weigh)


async def plant(bus: Bus, mark: str, idle: Callable[[], Awaitable[object]] | None = None) -> None:
    """Leave something of a key wherever a store keeps anything."""
    idle = idle or partial(bus.idle, 30)
    options: dict[str, Any] = {"headers": {"x-name": mark}, "correlation_id": f"{mark}-talk"}
    for message in (Opened, Paid, Early, Charged, Charged, Weighed):
        await bus.publish(message(key=mark, text=mark), **options)
    await bus.publish(Weighed(key=mark, text=mark), delay=HOUR, **options)
    await idle()
    await bus.mend.patch(Case, mark, {"text": f"{mark} again"}, version=1, reason=f"{mark} called", by="ann")
    await bus.mend.move_timer(Case, mark, "reminder", after=2 * HOUR, **WHY)
    letter = await parked(bus, mark)
    await bus.dead_letters.edit(letter.id, {"key": mark, "text": f"{mark} edited"}, **WHY)
    await idle()
    letter = await parked(bus, mark)
    await bus.dead_letters.discard(letter.id, **WHY)
    await bus.publish(Weighed(key=mark, text=mark), **options)
    await idle()


async def parked(bus: Bus, key: str) -> DeadLetter:
    """The letter that parks a key."""
    (letter,) = [each for each in await bus.dead_letters.list("scales") if each.envelope.partition_key == key]
    return letter


async def note(bus: Bus, *marks: str) -> None:
    """Have a worker note its loud keys and its runs, as when there is much to do."""
    lane: Lane
    (lane, *_) = await bus.store.lease("another", ["scales"], duration=60_000_000, window=10)
    await bus.store.note_loud("another", [Loud("scales", lane.lane, lane.epoch, marks)])
    runs = [Running(f"{mark}-run", "erased.weighed", mark, 1, 1) for mark in marks]
    await bus.store.note_running("another", {"scales": runs})


def traces(database: Database, text: str) -> dict[str, list[tuple[Any, ...]]]:
    """The rows with a text in any of their columns, by table."""
    found = {table: [row for row in database.of_bus(table) if text in str(row)] for table in TABLES}
    return {table: sorted(map(repr, rows)) for table, rows in found.items() if rows}


async def test_nothing_of_a_subject_is_left_in_any_column_of_any_table(database: Database) -> None:
    async with Bus(database.url, *EVERYTHING, settings=ALL) as bus:
        for mark in (MARK, OTHER):
            await plant(bus, mark)
    async with Bus(database.url) as bus:
        await note(bus, MARK, OTHER)
        assert set(traces(database, MARK)) == HELD
        others = traces(database, OTHER)
        inbox = sorted(database.of_bus("inbox"))

        erased = await bus.mend.erase(key=MARK, correlation_ids=[f"{MARK}-talk"], live=True, **WHY)

        assert traces(database, MARK) == {}
        assert sorted(database.of_bus("inbox")) == inbox
        del others["lane"], others["worker"]  # a row of theirs has notes about both
        assert {table: rows for table, rows in traces(database, OTHER).items() if table in others} == others
        assert set(erased.counts) == {
            "messages and timers", "saga instances", "steps of histories", "entries of the audit log", "dead letters",
            "rows of the journal", "notes of workers and held keys",
        }  # fmt: skip
        (entry, *_) = (await bus.inspect.audit()).entries
        assert (entry.id, entry.verb, entry.by, entry.after) == (
            erased.audit, "subject.erase", "ann", {"erased": dict(erased.counts)},
        )  # fmt: skip
        assert entry.target == pseudonym(MARK, f"{MARK}-talk")
        assert (await bus.mend.erase(key=MARK, **WHY)).counts == {}


async def test_work_that_is_not_done_is_named_and_nothing_is_erased(harness: MakeHarness) -> None:
    async with harness(*EVERYTHING, settings=ALL) as test:
        bus = test.bus
        await plant(bus, MARK, test.idle)
        there = await bus.mend.erase(key=MARK, dry_run=True)

        with pytest.raises(MendRefused) as refused:
            await bus.mend.erase(key=MARK, **WHY)

        named = sorted((each.what, each.subscription) for each in there.live)
        assert named == [
            ("instance", "cases"), ("ready", "charges"), ("retrying", "charges"), ("scheduled", "scales"),
            ("stashed", "waiting"), ("timer", "cases"),
        ]  # fmt: skip
        assert all(f"{each.what} of {each.subscription}" in str(refused.value) for each in there.live)
        assert "`live=True` (`--live`)" in str(refused.value)
        assert (await bus.mend.erase(key=MARK, dry_run=True)).counts == there.counts


async def test_of_much_work_that_is_not_done_some_is_named_and_all_of_it_is_counted(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "_KEPT", 150)
    bus = Bus(database.url, weigh)
    await bus.open(worker=False)
    await bus.publish_many([Weighed(key=MARK) for _ in range(1_200)])

    there = await bus.mend.erase(key=MARK, dry_run=True)
    with pytest.raises(MendRefused, match="and 1,100 more"):
        await bus.mend.erase(key=MARK, **WHY)

    assert (len(there.live), there.not_done, there.counts) == (150, 1_200, {"messages and timers": 1_200})
    await bus.close()


async def test_what_has_ended_is_erased_without_more_ado(harness: MakeHarness) -> None:
    async with harness(Case, settings=ALL) as test:
        for key in (MARK, OTHER):
            await test.publish(Opened(key=key, text=key))
            await test.publish(Closed(key=key))

        erased = await test.bus.mend.erase(key=MARK, **WHY)

        assert erased.counts == {"saga instances": 1, "steps of histories": 2, "rows of the journal": 2}
        assert await test.record(Case, MARK) is None
        assert await test.record(Case, OTHER) is not None


async def test_a_late_copy_of_what_was_erased_is_still_a_duplicate(harness: MakeHarness) -> None:
    async with harness(Case) as test:
        await test.publish(Opened(key=MARK), message_id="first")
        await test.bus.mend.erase(key=MARK, live=True, **WHY)

        receipt = await test.publish(Opened(key=MARK), message_id="first")

        assert receipt.status == "duplicate"
        assert await test.record(Case, MARK) is None
        assert (await test.bus.mend.erase(key=MARK, dry_run=True)).counts == {}


async def test_a_run_that_has_begun_commits_nothing_when_it_is_erased(harness: MakeHarness) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    runs: list[int] = []

    class Slow(Saga, name="slow", key="key", history=True):
        key: str
        count: int = 0

        @starts
        async def opened(self, message: Opened, ctx: Context) -> None:
            self.count += 1

        @handles
        async def paid(self, message: Paid, ctx: Context) -> None:
            runs.append(1)
            self.count += 1
            ctx.set_timer("late", after=HOUR)
            ctx.publish(Charged(key=MARK, text=message.text))
            begun.set()
            await go_on.wait()

        @timer("late")
        def late(self, ctx: Context) -> None: ...

    async with harness(Slow, charge, settings=ALL) as test:
        await test.publish(Opened(key=MARK))
        await test.publish(Paid(key=MARK, text=MARK), wait=False)
        await begun.wait()

        await test.bus.mend.erase(key=MARK, live=True, **WHY)
        go_on.set()
        await test.idle()

        assert (await test.bus.mend.erase(key=MARK, dry_run=True)).counts == {}
        assert await test.record(Slow, MARK) is None
        assert runs == [1]
        await test.publish(Opened(key=MARK))
        assert (await test.saga(Slow, MARK)).count == 1


async def test_what_the_audit_log_keeps_of_a_message_goes_with_its_conversation(database: Database) -> None:
    talk = f"{MARK}-talk"
    async with Bus(database.url, weigh) as bus:
        await bus.publish(Weighed(key="K", text=MARK), message_id="m1", correlation_id=talk)
        await bus.idle(30)
        letter = await parked(bus, "K")
        await bus.dead_letters.edit(letter.id, {"key": "K", "text": "plain"}, **WHY)
        await bus.idle(30)
        await bus.publish(Weighed(key="L", text=MARK), message_id="m2", delay=HOUR, correlation_id=talk)
        waiting = await bus.store.inspect.envelopes("scales")
        (late,) = [each for each in waiting if each.message_id == "m2"]
        await bus.mend.cancel_message(late.position, **WHY)
        await database.change(
            f"DELETE FROM {database.own('dead_letter')}"
        )  # as retention does before it forgets the entries

        erased = await bus.mend.erase(correlation_ids=[talk], live=True, **WHY)

        assert erased.counts["entries of the audit log"] == 2
        assert traces(database, MARK) == {}
        assert {entry.target for entry in (await bus.inspect.audit()).entries} == {
            str(letter.id), pseudonym(talk), "m2",
        }  # fmt: skip


async def test_the_message_that_began_a_conversation_goes_with_it_however_it_was_mended(database: Database) -> None:
    async with Bus(database.url, weigh) as bus:
        for name in ("edited", "closed"):
            await bus.publish(Weighed(key=name, text=MARK), message_id=f"{name}-talk")
        await bus.idle(30)
        edited, closed = await parked(bus, "edited"), await parked(bus, "closed")
        await bus.dead_letters.edit(edited.id, {"key": "edited", "text": f"{MARK} again"}, **WHY)
        await bus.dead_letters.discard(closed.id, reason=f"{MARK} has called", by="ann")
        await bus.idle(30)
        await database.change(f"DELETE FROM {database.own('dead_letter')} WHERE id = {closed.id}")  # as retention does

        erased = await bus.mend.erase(correlation_ids=["edited-talk", "closed-talk"], live=True, **WHY)

        assert erased.counts["entries of the audit log"] == 2
        assert traces(database, MARK) == {}
        assert database.of_bus("dead_letter") == []


async def test_an_erasure_that_was_stopped_goes_on_when_it_is_called_again(database: Database) -> None:
    async with Bus(database.url, *EVERYTHING, settings=ALL) as bus:
        await plant(bus, MARK)
    stop_after = 2

    def stop(counts: Mapping[str, int]) -> None:
        if len(counts) > stop_after:
            raise KeyboardInterrupt

    async with Bus(database.url) as bus:
        with pytest.raises(KeyboardInterrupt):
            await bus.mend.erase(key=MARK, live=True, progress=stop, **WHY)
        (half,) = (await bus.inspect.audit(target=pseudonym(MARK))).entries

        rest = await bus.mend.erase(key=MARK, live=True, **WHY)

        assert list(half.after["erased"]) == ["messages and timers", "saga instances", "steps of histories"]
        assert set(rest.counts) == {"entries of the audit log", "dead letters", "rows of the journal"}
        assert set(traces(database, MARK)) == set()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ({}, "give a key, or correlation ids"),
        ({"key": ""}, "neither a key nor a correlation id is empty"),
        ({"key": MARK, "reason": ""}, "must not be empty"),
        ({"key": MARK, "reason": f"{MARK} has asked"}, "the reason names what is to be erased"),
        ({"key": MARK, "reason": f"{MARK.upper()} has asked"}, "the reason names what is to be erased"),
        ({"correlation_ids": [MARK], "by": f"<{MARK}>"}, "`by` names what is to be erased"),
        ({"correlation_ids": [str(each) for each in range(101)]}, "at most 100 correlation ids"),
    ],
)
async def test_what_is_asked_for_wrongly_is_refused(words: dict[str, Any], text: str) -> None:
    async with Harness(Case) as test:
        with pytest.raises(ValueError, match=text):
            await test.bus.mend.erase(**{**WHY, **words})


@pytest.mark.parametrize(("key", "reason"), [("A", "a phone call"), ("A1", "order a1x"), (MARK, f"un{MARK}ed")])
async def test_a_word_that_is_not_the_key_is_no_name_of_the_subject(key: str, reason: str) -> None:
    async with Harness(Case) as test:
        assert not (await test.bus.mend.erase(key=key, reason=reason, by="ann")).live


async def test_the_name_of_a_saga_that_there_is_not_is_refused() -> None:
    async with Harness(Case) as test:
        with pytest.raises(UnknownName, match="did you mean cases"):
            await test.bus.mend.erase(key=MARK, saga="case", dry_run=True)
