"""`bus.inspect.conversation` and the journal, on every store."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import CapturePayment, Flaky, Noted, OrderSaga, OrderSubmitted, Tally, capture
from tests.support.waiting import until

from sagabus import (
    Bus,
    Connection,
    Context,
    Linear,
    RetryPolicy,
    Saga,
    Settings,
    WrongType,
    command,
    event,
    handler,
    starts,
)
from sagabus.bus.inspection.records import Conversation, ConversationEntry
from sagabus.envelope import Envelope
from sagabus.outcome import Completed, Effects
from sagabus.store import Batch, JournalRow, Store

ALL = Settings(journal="all")
LATER = RetryPolicy(attempts=2, backoff=Linear(timedelta(minutes=1), step=timedelta(0)), jitter=False)


def told(found: Conversation) -> list[tuple[str, str, str, int]]:
    """What happened to which message where, and how far behind the first."""
    return [(each.what, each.subscription, each.timer or each.message_type, each.depth) for each in found.entries]


async def test_an_order_is_told_from_begin_to_end_across_sagas_and_handlers(harness: MakeHarness) -> None:
    async with harness(OrderSaga, capture, settings=ALL) as shop:
        await shop.publish(OrderSubmitted(order_id="A1"), message_id="first")
        found = await shop.bus.inspect.conversation("first")

    assert told(found) == [
        ("completed", "orders", "orders.submitted", 0),
        ("completed", "payments", "payments.capture", 1),
        ("completed", "orders", "payments.captured", 2),
    ]
    first, second, third = found.entries
    assert [each.causation_id for each in found.entries] == [None, "first", second.message_id]
    assert (first.is_saga, first.key, first.version, first.attempt) == (True, "A1", 1, 1)
    assert (second.is_saga, second.version, second.kind) == (False, None, "run")
    assert third.version == 2
    assert first.worker == third.worker
    assert first.worker is not None
    assert found.missing == ()
    assert [(each.saga, each.key, each.status, each.completed) for each in found.instances] == [
        ("orders", "A1", "paid", True)
    ]


async def test_what_waits_stands_beside_what_was_handled(harness: MakeHarness) -> None:
    async with harness(OrderSaga, settings=ALL) as shop:
        await shop.publish(OrderSubmitted(order_id="A1"), message_id="first")
        found = await shop.bus.inspect.conversation("first")

    timer = found.entries[-1]
    assert ("timer", "orders", "payment", 1) in told(found)
    assert (timer.kind, timer.causation_id) == ("waiting", "first")
    assert timer.due_at is not None
    assert timer.due_at - found.at == timedelta(minutes=30)


async def test_attempts_dead_letters_and_their_reasons_are_in_it(harness: MakeHarness) -> None:
    flaky = Flaky(ValueError("no"), KeyError("no"))

    @handler("fragile", key="key", retry=LATER)
    def work(message: Noted) -> None:
        flaky()

    async with harness(work, settings=ALL) as shop:
        await shop.publish(Noted(key="k"), message_id="m", correlation_id="talk")
        waits = await shop.bus.inspect.conversation("talk")
        await shop.advance(timedelta(minutes=2))
        found = await shop.bus.inspect.conversation("talk")

    assert [(each.what, each.attempt, each.reason) for each in waits.entries if each.kind == "run"] == [
        ("retried", 1, "ValueError")
    ]
    assert [each.what for each in waits.entries if each.kind == "waiting"] == ["retrying"]
    runs = [(each.what, each.attempt, each.reason) for each in found.entries if each.kind == "run"]
    assert runs == [("retried", 1, "ValueError"), ("dead-lettered", 2, "KeyError")]
    (letter,) = [each for each in found.entries if each.kind == "dead letter"]
    assert (letter.what, letter.message_id) == ("open", "m")
    assert letter.letter
    assert (letter.reason or "").startswith("failed: ")


class Recorded(Saga, name="recorded", key="key", history=True):
    key: str
    status: str = "new"

    @starts
    def noted(self, message: Noted) -> None:
        self.status = "noted"


async def test_a_history_gives_the_status_of_runs_and_stands_in_for_a_journal(harness: MakeHarness) -> None:
    async with harness(Recorded, settings=ALL) as shop:
        await shop.publish(Noted(key="k"), message_id="m")
        (run,) = (await shop.bus.inspect.conversation("m")).entries
    assert (run.kind, run.status, run.version) == ("run", "noted", 1)


async def test_without_a_journal_it_says_what_is_missing(harness: MakeHarness) -> None:
    async with harness(OrderSaga, Recorded) as shop:
        await shop.publish(OrderSubmitted(order_id="A1"), message_id="first")
        await shop.publish(Noted(key="A2"), message_id="second")
        await shop.publish(Noted(key="A2"), delay=timedelta(hours=1), correlation_id="second")
        found, other = [await shop.bus.inspect.conversation(each) for each in ("first", "second")]
        nothing = await shop.bus.inspect.conversation("nobody")

    assert {each.kind for each in found.entries} == {"waiting"}
    assert [(each.saga, each.key, each.status) for each in found.instances] == [("orders", "A1", "awaiting_payment")]
    assert found.missing == (
        'The journal has no handled message of it: Settings(journal="all") has a bus write them.',
        "No transition of orders is kept: a saga with history=True keeps them.",
        "Nothing is stored of the message that caused others: first.",
    )
    assert [(each.kind, each.what, each.status) for each in other.entries] == [
        ("transition", "saved", "noted"),
        ("waiting", "scheduled", None),
    ]
    assert (nothing.entries, nothing.instances) == ((), ())


async def test_a_long_conversation_is_read_page_by_page_each_entry_once(harness: MakeHarness) -> None:
    async with harness(Tally, settings=ALL) as shop:
        for number in range(7):
            await shop.publish(Noted(key=f"k{number % 2}", number=number), correlation_id="talk")
            if number % 3 == 0:
                await shop.advance(timedelta(seconds=1))
        await shop.publish(Noted(key="later"), delay=timedelta(hours=1), correlation_id="talk")
        whole = await shop.bus.inspect.conversation("talk")
        pages, after = list[tuple[ConversationEntry, ...]](), None
        while True:
            page = await shop.bus.inspect.conversation("talk", after=after, limit=3)
            pages.append(page.entries)
            after = page.after
            if after is None:
                break

    assert [len(page) for page in pages] == [3, 3, 2]
    ids = [each.message_id for page in pages for each in page]
    assert ids == [each.message_id for each in whole.entries]
    assert len(set(ids)) == 8


async def test_pages_that_there_cannot_be_are_refused() -> None:
    async with Bus("memory:", capture) as bus:
        for after in ("1.2", "x.1.2", "1.2.-3", ""):
            with pytest.raises(ValueError, match="no place where a page begins"):
                await bus.inspect.conversation("talk", after=after)
        with pytest.raises(WrongType, match="correlation_id must be text, not int"):
            await bus.inspect.conversation(7)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="1 to 10,000 entries, not 0"):
            await bus.inspect.conversation("talk", limit=0)


async def test_causes_that_name_one_another_end(harness: MakeHarness) -> None:
    async with harness(capture, settings=ALL) as shop:
        store = shop.bus.store
        mine, theirs = (
            JournalRow("talk", "s", me, "t", None, None, other, 1, 1, "completed", None, None, 0, "w")
            for me, other in (("a", "b"), ("b", "a"))
        )
        await write(store, mine, theirs)
        found = await shop.bus.inspect.conversation("talk")

    assert [(each.message_id, each.depth) for each in found.entries] == [("a", 1), ("b", 0)]


async def write(store: Store, *rows: JournalRow) -> None:
    """Rows of the journal as a commit writes them."""
    version = (await store.routing()).version
    for number, row in enumerate(rows):
        sent = Envelope(message_id=f"raw-{number}", message_type="t", body=b"{}", channel="raw")
        await store.append([sent], version)
        (stored,) = await store.inspect.envelopes("raw")
        batch = Batch([Completed(stored, Effects())], version, {}, {stored.position: row})
        await store.commit(batch)


async def test_off_is_the_default_and_leaves_no_row(harness: MakeHarness) -> None:
    async with harness(capture) as shop:
        await shop.bus.send(CapturePayment(order_id="A1", amount=1), message_id="m")
        await shop.bus.idle()

        assert await shop.bus.store.inspect.journal("m") == []


async def test_a_sampled_conversation_is_whole_and_the_others_are_not_there(harness: MakeHarness) -> None:
    async with harness(OrderSaga, capture, settings=Settings(journal="sampled", journal_sample=0.5)) as shop:
        names = [f"talk-{number}" for number in range(40)]
        for name in names:
            await shop.publish(OrderSubmitted(order_id=name), message_id=name)
        counts = [len(await shop.bus.store.inspect.journal(name)) for name in names]
        absent = await shop.bus.inspect.conversation(names[counts.index(0)])

    assert set(counts) == {0, 3}
    assert 5 < counts.count(3) < 35
    assert absent.missing[0] == (
        "The journal has no handled message of it: this bus writes a share of 0.5 of the conversations."
    )


async def test_the_rows_are_kept_for_their_own_time(harness: MakeHarness) -> None:
    settings = Settings(journal="all", journal_retention=timedelta(hours=1))
    async with harness(capture, settings=settings) as shop:
        await shop.bus.send(CapturePayment(order_id="A1", amount=1), message_id="m")
        await shop.bus.idle()
        await shop.bus.purge()
        kept = await shop.bus.store.inspect.journal("m")
        await shop.advance(timedelta(hours=2))
        await shop.bus.purge()

        assert len(kept) == 1
        assert await shop.bus.store.inspect.journal("m") == []


@command("deals.close")
class Close:
    deal: str


async def test_a_run_in_a_transaction_of_its_own_leaves_its_row(file: Path) -> None:
    @handler("deals", key="deal")
    async def close(message: Close, connection: Connection) -> None: ...

    async with Bus(f"sqlite:///{file}", close, settings=ALL) as bus:
        await bus.send(Close(deal="D1"), message_id="m")
        await bus.idle()

        (row,) = await bus.store.inspect.journal("m")

    assert (row.subscription, row.outcome, row.key) == ("deals", "completed", "D1")


@event("tea.poured")
class Poured:
    cup: str


@handler("drinkers", key="cup")
async def drink(message: Poured) -> None:
    await asyncio.sleep(0)


async def test_what_leaves_by_a_broker_is_one_row_of_its_channel() -> None:
    url = "memory://journal-of-tea"
    service = Bus("memory:", transport=url, service="kitchen", settings=ALL)
    other = Bus("memory:", drink, transport=url, service="parlour", settings=ALL)
    async with other, service:
        await service.publish(Poured(cup="C1"), message_id="m")
        await service.idle(10)
        await until(lambda: other.statistics["drinkers", "completed"] == 1)
        (left,), (came,) = [await bus.store.inspect.journal("m") for bus in (service, other)]

    (broker,) = service.brokers
    assert (left.subscription, left.message_type, left.outcome) == (broker.channel, "tea.poured", "completed")
    assert (came.subscription, came.outcome, came.key) == ("drinkers", "completed", "C1")


async def test_the_row_says_how_long_the_run_took(harness: MakeHarness) -> None:
    @handler("slow")
    async def work(message: Noted, ctx: Context) -> None:
        shop.clock.advance(timedelta(milliseconds=250))

    async with harness(work, settings=ALL) as shop:
        await shop.publish(Noted(key="k"), message_id="m")
        (row,) = await shop.bus.store.inspect.journal("m")

    assert row.duration == 250_000
