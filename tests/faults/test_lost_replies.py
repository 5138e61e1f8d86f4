"""The server has committed and nobody has heard of it; or has not, and will. Whoever repeats meets his own rows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncmy
import asyncpg
import pytest
from tests.conftest import Take
from tests.faults.conftest import Heard
from tests.faults.proxy import Chosen, CommitOf
from tests.faults.tasks import Step
from tests.support.databases import SERVERS, ServerDatabase
from tests.support.proxied_bus import AT_ONCE, RECORD, Wire, die, wired
from tests.support.waiting import until

from sagabus import Bus, Context, Receipt, RetryPolicy, StoreUnavailable, handler

pytestmark = pytest.mark.faults

LOST = (StoreUnavailable, ConnectionResetError, asyncpg.ConnectionDoesNotExistError, asyncmy.errors.OperationalError)

CANCEL_REQUEST = (80877102).to_bytes(4, "big")
"""What PostgreSQL is told on a connection of its own."""
MARKS = {"buffered": "buffered A", "lent": "lent A", "walk": "numbers"}
"""What the flush of each kind of reader says."""


@pytest.fixture(params=SERVERS)
def database(request: pytest.FixtureRequest, take: Take) -> ServerDatabase:
    database = take(request.param)
    assert isinstance(database, ServerDatabase)
    return database


def appended_with(wire: Wire, message_id: str) -> Chosen:
    """The end of an append, which is one statement on PostgreSQL."""
    return _says(message_id) if wire.database.kind == "postgres" else CommitOf(message_id.encode())


def flush_of(wire: Wire, kind: str) -> Chosen:
    """The end of the flush of a reader."""
    return _says(MARKS[kind]) if is_one_statement(wire, kind) else CommitOf(MARKS[kind].encode())


def is_one_statement(wire: Wire, kind: str) -> bool:
    """Whether its flush is a transaction by itself: of sagas alone, on PostgreSQL."""
    return wire.database.kind == "postgres" and kind == "walk"


async def one_reply_lost(wire: Wire) -> None:
    """The rows may be there a moment before the proxy has the answer to lose."""
    await wire.proxy.until(lambda proxy: proxy.swallowed == 1)


def _says(mark: str) -> Chosen:
    return lambda chunk: mark.encode() in chunk


async def test_a_publish_whose_reply_is_lost_is_a_duplicate_when_repeated(database: ServerDatabase) -> None:
    async with wired(database) as wire, wire.bus(*wire.readers()) as bus:
        wire.proxy.swallow_reply_after(appended_with(wire, "lost-0"), whole=wire.whole)

        with pytest.raises(StoreUnavailable):
            await bus.publish(Step(key="A", number=0), message_id="lost-0")

        receipt = await bus.publish(Step(key="A", number=0), message_id="lost-0")
        await wire.emptied()
        assert (wire.proxy.swallowed, receipt.status) == (1, "duplicate")
        wire.check({"A": 1})


async def test_of_many_whose_reply_is_lost_each_is_a_duplicate_when_repeated(database: ServerDatabase) -> None:
    many = [(Step(key="A", number=number), f"lost-{number}") for number in range(20)]
    async with wired(database) as wire, wire.bus(*wire.readers()) as bus:
        wire.proxy.swallow_reply_after(appended_with(wire, "lost-19"), whole=wire.whole)

        with pytest.raises(StoreUnavailable):
            await bus.publish_many(many)

        receipts = await bus.publish_many(many)
        await wire.emptied()
        assert (wire.proxy.swallowed, {receipt.status for receipt in receipts}) == (1, {"duplicate"})
        wire.check({"A": 20})


async def in_a_block(bus: Bus, wire: Wire) -> Receipt:
    async with bus.transaction() as tx:
        tx.publish(Step(key="A", number=0), message_id="lost-0")
    return await bus.publish(Step(key="A", number=0), message_id="lost-0")


async def joined(bus: Bus, wire: Wire) -> Receipt:
    """A transaction of the user's own, on a connection of his own through the same wire."""
    if wire.database.kind == "postgres":
        connection: Any = await asyncpg.connect(**wire.own_connection())
        await connection.execute("BEGIN")
    else:
        connection = await asyncmy.connect(**wire.own_connection())
        await connection.begin()
    try:
        receipt = await bus.join(connection).publish(Step(key="A", number=0), message_id="lost-0")
        await (connection.execute("COMMIT") if wire.database.kind == "postgres" else connection.commit())
    finally:
        await connection.close() if wire.database.kind == "postgres" else connection.close()
    return receipt


@pytest.mark.parametrize("publish", [in_a_block, joined])
async def test_a_transaction_whose_reply_is_lost_finds_its_message_there(
    database: ServerDatabase, publish: Callable[[Bus, Wire], Awaitable[Receipt]]
) -> None:
    async with wired(database) as wire, wire.bus(*wire.readers()) as bus:
        wire.proxy.swallow_reply_after(CommitOf(b"lost-0"), whole=wire.whole)

        with pytest.raises(LOST):
            await publish(bus, wire)

        assert wire.proxy.swallowed == 1
        receipt = await bus.publish(Step(key="A", number=0), message_id="lost-0")
        assert receipt.status == "duplicate"
        await wire.emptied()
        wire.check({"A": 1})


@pytest.mark.parametrize("kind", MARKS)
async def test_a_flush_whose_reply_is_lost_finds_its_messages_gone(database: ServerDatabase, kind: str) -> None:
    async with wired(database) as wire, wire.bus(*wire.readers(kind)) as bus:
        wire.proxy.swallow_reply_after(flush_of(wire, kind), whole=wire.whole)
        for number in range(10):
            await bus.publish(Step(key="A", number=number), message_id=f"step-{number}")

        await wire.emptied()

        await one_reply_lost(wire)
        wire.check({"A": 10})


async def test_a_failed_run_is_counted_once_though_the_reply_is_lost(database: ServerDatabase) -> None:
    runs: list[int] = []

    @handler("clumsy", key="key", retry=AT_ONCE)
    def clumsy(message: Step, ctx: Context) -> None:
        runs.append(ctx.attempt)
        if len(runs) == 1:
            wire.proxy.swallow_reply_after(CommitOf(b"the-key"), whole=wire.whole)
            raise ValueError(message)
        ctx.execute(database.sql(RECORD), (message.key, message.number))

    async with wired(database) as wire, wire.bus(clumsy) as bus:
        await bus.publish(Step(key="the-key", number=0), message_id="step-0")

        await until(lambda: database.rows() != [])
        await wire.emptied()

        await one_reply_lost(wire)
        assert runs == [1, 2]
        assert database.rows() == [("the-key", 0)]
        wire.check_books(1)


async def test_there_is_one_dead_letter_though_the_reply_is_lost(database: ServerDatabase) -> None:
    runs: list[int] = []

    @handler("hopeless", key="key", retry=RetryPolicy(attempts=1))
    def hopeless(message: Step, ctx: Context) -> None:
        runs.append(ctx.attempt)
        wire.proxy.swallow_reply_after(CommitOf(b"step-0"), whole=wire.whole)
        raise ValueError(message)

    async with wired(database) as wire, wire.bus(hopeless) as bus:
        await bus.publish(Step(key="A", number=0), message_id="step-0")

        await until(lambda: database.of_bus("dead_letter") != [])
        await wire.emptied()

        await one_reply_lost(wire)
        assert runs == [1]
        assert database.of_bus("dead_letter", "attempts") == [(1,)]
        assert database.of_bus("envelope") == []


async def test_a_death_is_counted_once_though_the_reply_is_lost(database: ServerDatabase) -> None:
    reached, attempts, deaths = asyncio.Event(), list[int](), list[tuple[int]]()

    @handler("slow", key="key", retry=RetryPolicy(deaths=3))
    async def slow(message: Step, ctx: Context) -> None:
        attempts.append(ctx.attempt)
        deaths.extend(database.of_bus("envelope", "deaths"))
        if not reached.is_set():
            reached.set()
            await asyncio.Event().wait()
        ctx.execute(database.sql(RECORD), (message.key, message.number))

    async with wired(database) as wire:
        dying = wire.bus(slow, lease=0.5)
        await dying.open()
        await dying.publish(Step(key="A", number=0), message_id="step-0")
        await reached.wait()
        await die(dying)
        wire.proxy.swallow_reply_after(CommitOf(b"deaths = "), whole=wire.whole)

        async with wire.bus(slow, lease=5):
            await until(lambda: database.rows() != [])

        await one_reply_lost(wire)
        assert (attempts, deaths) == ([1, 1], [(0,), (1,)])
        wire.check_books(1)


@pytest.mark.parametrize("kind", MARKS)
async def test_a_commit_that_arrives_after_its_client_gave_up_has_one_effect(
    database: ServerDatabase, kind: str, heard: Heard
) -> None:
    """Kept back on its way until the message is handled again: the repetition waits for what the server may yet commit,
    or is done by then, where all of it was in the bytes that were kept back.
    """
    async with wired(database) as wire, wire.bus(*wire.readers(kind), deadline=1) as bus:
        wire.proxy.hold_client_bytes_when(flush_of(wire, kind), once=True)
        await bus.publish(Step(key="A", number=0), message_id="step-0")
        await heard.until("no answer within 1 s")
        if is_one_statement(wire, kind):
            await wire.emptied()
        sent = wire.proxy.sent

        wire.proxy.release()

        await wire.proxy.until(lambda proxy: proxy.sent > sent)
        await bus.publish(Step(key="A", number=1), message_id="step-1")
        await wire.emptied()
        assert wire.proxy.held == 1
        wire.check({"A": 2})


async def test_an_append_that_arrives_after_its_publisher_gave_up_has_one_effect(database: ServerDatabase) -> None:
    async with wired(database) as wire, wire.bus(*wire.readers(), deadline=1) as bus:
        wire.proxy.hold_client_bytes_when(appended_with(wire, "step-0"), once=True)
        with pytest.raises(StoreUnavailable):
            await bus.publish(Step(key="A", number=0), message_id="step-0")
        again = asyncio.create_task(bus.publish(Step(key="A", number=0), message_id="step-0"))
        if database.kind == "postgres":  # elsewhere it waits for what was kept back
            await again
        sent = wire.proxy.sent

        wire.proxy.release()

        await wire.proxy.until(lambda proxy: proxy.sent > sent)
        receipt = await again
        await wire.emptied()
        assert (wire.proxy.held, receipt.status) == (1, "accepted" if database.kind == "postgres" else "duplicate")
        wire.check({"A": 1})


async def test_a_block_that_is_cancelled_in_its_commit_leaves_it_to_the_server_to_answer(
    database: ServerDatabase,
) -> None:
    """Cancelled at the server, a COMMIT that waits for a replica is one that the replica may never have."""
    async with wired(database) as wire, wire.bus(*wire.readers()) as bus:
        wire.proxy.hold_client_bytes_when(CommitOf(b"step-0"), once=True)

        async def block() -> None:
            async with bus.transaction() as tx:
                tx.publish(Step(key="A", number=0), message_id="step-0")

        task = asyncio.create_task(block())
        await wire.proxy.until(lambda proxy: proxy.held == 1)
        task.cancel()
        await asyncio.sleep(0)  # it has been thrown in by then, and waits

        wire.proxy.release()
        wire.proxy.hold_client_bytes_when(CANCEL_REQUEST)

        with pytest.raises(asyncio.CancelledError):
            await task
        receipt = await bus.publish(Step(key="A", number=0), message_id="step-0")
        await wire.emptied()
        assert (wire.proxy.held, receipt.status) == (1, "duplicate")
        wire.check({"A": 1})
