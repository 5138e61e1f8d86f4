"""A run, a transaction or a batch that sends without end is refused at the call, and leaves nothing of itself."""

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import nullcontext
from datetime import timedelta

import psycopg
import pytest
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Do, Noted
from tests.scenarios.ways_to_join import begun
from tests.support.databases import POSTGRES, Database

from sagabus import (
    Bus,
    ConfigurationError,
    Context,
    Saga,
    Settings,
    TooManyBytes,
    TooManyMessages,
    event,
    handler,
    handles,
    starts,
    timer,
)
from sagabus.envelope import Cause
from sagabus.testing import RecordingContext

LIMIT = 20
ENDLESS = 1_000
FEW = Settings(max_sent=LIMIT)
MINUTE = timedelta(minutes=1)


@event("spree.begun")
class Begun:
    key: str
    way: str


@event("spree.grown")
class Grown:
    key: str
    number: int = 0


@handler("listener")
def listen(message: Grown | Noted) -> None: ...


@handler("second")
def listen_too(message: Grown) -> None: ...


@handler("doer")
def do(message: Do) -> None: ...


WAYS: dict[str, Callable[[Context, int], None]] = {
    "publish": lambda ctx, n: ctx.publish(Noted(key="B", number=n)),
    "publish to two": lambda ctx, n: ctx.publish(Grown(key="B", number=n)),
    "publish with options": lambda ctx, n: ctx.publish(Noted(key="B", number=n), headers={"n": str(n)}),
    "send": lambda ctx, n: ctx.send(Do(key="B", number=n)),
    "schedule": lambda ctx, n: ctx.schedule(Noted(key="B", number=n), after=MINUTE),
    "set_timer": lambda ctx, n: ctx.set_timer("tick", after=MINUTE),
    "set_timer by names": lambda ctx, n: ctx.set_timer(f"tick{n}", after=MINUTE),
}


made: list[int] = []
"""The calls of the last run, the refused one among them."""


@pytest.fixture(autouse=True)
def _none_made() -> None:
    made.clear()


class Spree(Saga, name="spree", key="key"):
    key: str
    numbers: int = 0

    @starts
    def noted(self, message: Do) -> None: ...

    @handles
    def begun(self, message: Begun, ctx: Context) -> None:
        for self.numbers in range(ENDLESS):
            made.append(self.numbers)
            WAYS[message.way](ctx, self.numbers)

    @timer("tick")
    def tick(self, ctx: Context) -> None: ...


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.share(2)
async def test_a_saga_that_sends_without_end_fails_once_and_leaves_nothing(harness: MakeHarness, way: str) -> None:
    async with harness(Spree, listen, listen_too, settings=FEW) as bus:
        await bus.send(Do(key="A"))
        await bus.publish(Begun(key="A", way=way))
        await bus.advance(timedelta(days=1))

        assert made == list(range(LIMIT + 1))
        (letter,) = await bus.dead_letters()
        assert (letter.cause, letter.attempts) == (Cause.PERMANENT, 1)
        assert letter.error_type == "sagabus.errors.TooManyMessages"
        assert f"spree, key 'A': more than {LIMIT} messages and timers at once" in letter.reason
        assert "Settings.max_sent" in letter.reason
        assert await bus.saga(Spree, "A") == Spree(key="A")
        assert await bus.timers(Spree, "A") == {}
        assert (bus.bus.statistics["listener", "completed"], bus.bus.statistics["second", "completed"]) == (0, 0)


@pytest.mark.parametrize("way", [way for way in WAYS if "timer" not in way])
async def test_so_does_a_handler_in_all_ways(harness: MakeHarness, way: str) -> None:
    @handler("sower", key="key")
    async def sow(message: Begun, ctx: Context) -> None:
        for number in range(ENDLESS):
            made.append(number)
            WAYS[message.way](ctx, number)

    async with harness(sow, listen, listen_too, do, settings=FEW) as bus:
        await bus.publish(Begun(key="A", way=way))
        await bus.advance(timedelta(days=1))

        assert made == list(range(LIMIT + 1))
        (letter,) = await bus.dead_letters()
        assert f"sower, key 'A': more than {LIMIT} messages" in letter.reason
        assert sum(each.waiting for each in await bus.bus.counts()) == 0
        assert [name for name, what in bus.bus.statistics if what == "completed"] == []


async def test_exactly_the_limit_passes_and_one_message_to_many_receivers_counts_once(harness: MakeHarness) -> None:
    @handler("sower", key="key")
    def sow(message: Begun, ctx: Context) -> None:
        for number in range(LIMIT // 2):
            ctx.publish(Grown(key="B", number=number))
            ctx.publish(Grown(key="B", number=number), headers={"n": "1"})

    async with harness(sow, listen, listen_too, settings=FEW) as bus:
        await bus.publish(Begun(key="A", way=""))
        await bus.publish(Begun(key="A", way=""))

        assert bus.bus.statistics["listener", "completed"] == 2 * LIMIT
        assert bus.bus.statistics["second", "completed"] == 2 * LIMIT
        assert await bus.dead_letters() == []


async def test_a_timer_that_is_set_and_set_again_is_one_timer(harness: MakeHarness) -> None:
    class Patient(Saga, name="patient", key="key"):
        key: str

        @starts
        @handles
        def noted(self, message: Noted, ctx: Context) -> None:
            for _ in range(LIMIT):
                ctx.set_timer("tick", after=MINUTE)

        @timer("tick")
        def tick(self, ctx: Context) -> None: ...

    async with harness(Patient, settings=FEW) as bus:
        for number in range(3):
            await bus.publish(Noted(key="A", number=number))

        assert len(await bus.timers(Patient, "A")) == 1
        assert sum(each.waiting for each in await bus.bus.counts()) == 1


# --- from outside of handlers -----------------------------------------------------------------------------------------


def endless() -> Iterator[Noted]:
    for number in range(ENDLESS):
        made.append(number)
        yield Noted(key="A", number=number)


async def by_publish_many(bus: Bus) -> None:
    await bus.publish_many(endless())


async def by_transaction(bus: Bus) -> None:
    async with bus.transaction() as tx:
        for message in endless():
            tx.publish(message)


async def by_sending_in_a_transaction(bus: Bus) -> None:
    async with bus.transaction() as tx:
        for message in endless():
            tx.send(Do(key="A", number=message.number))


@pytest.mark.parametrize("way", [by_publish_many, by_transaction, by_sending_in_a_transaction])
async def test_a_block_that_sends_without_end_is_refused_and_leaves_nothing(
    harness: MakeHarness, way: Callable[[Bus], Awaitable[None]]
) -> None:
    async with harness(listen, do, settings=FEW) as bus:
        with pytest.raises(TooManyMessages, match=rf"more than {LIMIT} messages.*Settings.max_sent"):
            await way(bus.bus)
        await bus.idle()

        assert made == list(range(LIMIT + 1))
        assert bus.bus.statistics["listener", "completed"] == bus.bus.statistics["doer", "completed"] == 0


async def test_a_block_may_send_exactly_the_limit(harness: MakeHarness) -> None:
    async with harness(listen, do, settings=FEW) as bus:
        await bus.bus.publish_many([Noted(key="A", number=number) for number in range(LIMIT)])
        async with bus.bus.transaction() as tx:
            for number in range(LIMIT):
                tx.send(Do(key="A", number=number))
        await bus.idle()

        assert bus.bus.statistics["listener", "completed"] == bus.bus.statistics["doer", "completed"] == LIMIT


async def test_a_batch_in_a_joined_transaction_is_refused_whole_and_the_transaction_goes_on(
    database: Database, on_database: MakeHarness
) -> None:
    async with on_database(listen, settings=FEW) as bus:
        with begun(database) as connection:
            joined = bus.bus.join(connection)
            with pytest.raises(TooManyMessages):
                joined.publish_many(endless())
            for _ in range(2):  # the transaction is the caller's, and so is how much it writes
                joined.publish_many([Noted(key="A", number=number) for number in range(LIMIT)])
        await bus.idle()

        assert bus.bus.statistics["listener", "completed"] == 2 * LIMIT


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
async def test_so_is_one_in_a_transaction_that_is_awaited(database: Database, on_database: MakeHarness) -> None:
    async with on_database(listen, settings=FEW) as bus:
        async with await psycopg.AsyncConnection.connect(POSTGRES) as connection:
            await connection.execute("SELECT 1")
            with pytest.raises(TooManyMessages):
                await bus.bus.join(connection).publish_many(endless())
        await bus.idle()

        assert bus.bus.statistics["listener", "completed"] == 0


@pytest.mark.parametrize("most", [sys.maxsize - 1, sys.maxsize, 10**30])
async def test_the_limit_may_be_as_large_as_one_likes(database: Database, on_database: MakeHarness, most: int) -> None:
    async with on_database(listen, settings=Settings(max_sent=most)) as bus:
        await bus.bus.publish_many(Noted(key="A", number=number) for number in range(LIMIT))
        async with bus.bus.transaction() as tx:
            tx.publish(Noted(key="A"))
        with begun(database) as connection:
            bus.bus.join(connection).publish_many(Noted(key="A", number=number) for number in range(LIMIT))
        await bus.idle()

        assert bus.bus.statistics["listener", "completed"] == 2 * LIMIT + 1


# --- bytes ------------------------------------------------------------------------------------------------------------

LARGEST, MOST = 10_000, 50_000
SMALL = Settings(max_message_size=LARGEST, max_sent_bytes=MOST)
TEXT = "x" * 9_000
FITS = 5
"""So many messages with that text are within the limit, and one more is not."""


BIG_WAYS: dict[str, Callable[[Context], None]] = {
    "publish": lambda ctx: ctx.publish(Noted(key="B", text=TEXT)),
    "publish with options": lambda ctx: ctx.publish(Noted(key="B"), headers={"n": TEXT}),
    "send": lambda ctx: ctx.send(Do(key="B"), headers={"n": TEXT}),
    "schedule": lambda ctx: ctx.schedule(Noted(key="B", text=TEXT), after=MINUTE),
}


@pytest.mark.parametrize("way", BIG_WAYS)
async def test_a_run_that_sends_too_many_bytes_fails_once_and_leaves_nothing(harness: MakeHarness, way: str) -> None:
    @handler("sower", key="key")
    async def sow(message: Begun, ctx: Context) -> None:
        for number in range(ENDLESS):
            made.append(number)
            BIG_WAYS[way](ctx)

    async with harness(sow, listen, do, settings=SMALL) as bus:
        await bus.publish(Begun(key="A", way=""))
        await bus.advance(timedelta(days=1))

        assert made == list(range(FITS + 1))
        (letter,) = await bus.dead_letters()
        assert (letter.cause, letter.error_type) == (Cause.PERMANENT, "sagabus.errors.TooManyBytes")
        assert f"sower, key 'A': more than {MOST} bytes of messages at once" in letter.reason
        assert "Settings.max_sent_bytes" in letter.reason
        assert sum(each.waiting for each in await bus.bus.counts()) == 0


async def test_each_receiver_counts_and_a_run_of_both_kinds_is_counted_as_a_whole(harness: MakeHarness) -> None:
    refused: list[int] = []

    @handler("sower", key="key")
    def sow(message: Begun, ctx: Context) -> None:
        ctx.publish(Grown(key="B"), headers={"n": TEXT})  # to two
        for number in range(FITS):
            try:
                ctx.publish(Noted(key="B", text=TEXT))
            except TooManyBytes:
                refused.append(number)

    async with harness(sow, listen, listen_too, settings=SMALL) as bus:
        await bus.publish(Begun(key="A", way=""))

        assert refused == [3, 4]
        assert bus.bus.statistics["listener", "completed"] == 1 + 3  # whoever takes the error goes on without the rest


async def test_one_message_passes_whatever_the_limit_is(harness: MakeHarness) -> None:
    @handler("sower", key="key")
    def sow(message: Begun, ctx: Context) -> None:
        ctx.publish(Noted(key="B", text=TEXT))

    async with harness(sow, listen, settings=Settings(max_sent_bytes=1)) as bus:
        await bus.publish(Begun(key="A", way=""))
        await bus.bus.publish_many([Noted(key="A", text=TEXT)])
        async with bus.bus.transaction() as tx:
            tx.publish(Noted(key="A", text=TEXT))
        await bus.idle()

        assert bus.bus.statistics["listener", "completed"] == 3


@pytest.mark.parametrize("fits", [True, False])
async def test_a_batch_and_a_block_have_the_same_limit(harness: MakeHarness, *, fits: bool) -> None:
    count = FITS if fits else FITS + 1
    many = [Noted(key="A", number=number, text=TEXT) for number in range(count)]

    async def block(bus: Bus) -> None:
        async with bus.transaction() as tx:
            for message in many:
                tx.publish(message)

    async with harness(listen, settings=SMALL) as bus:
        for call in (lambda: bus.bus.publish_many(many), lambda: block(bus.bus)):
            with nullcontext() if fits else pytest.raises(TooManyBytes, match=rf"more than {MOST} bytes of messages"):
                await call()
        await bus.idle()

        assert bus.bus.statistics["listener", "completed"] == (2 * FITS if fits else 0)


async def test_so_has_a_batch_in_a_joined_transaction(database: Database, on_database: MakeHarness) -> None:
    many = [Noted(key="A", number=number, text=TEXT) for number in range(FITS + 1)]
    async with on_database(listen, settings=SMALL) as bus:
        with begun(database) as connection:
            joined = bus.bus.join(connection)
            with pytest.raises(TooManyBytes, match="publish_many"):
                joined.publish_many(many)
            for _ in range(2):
                joined.publish_many(many[:FITS])
        await bus.idle()

        assert bus.bus.statistics["listener", "completed"] == 2 * FITS


@pytest.mark.parametrize("ways", [(("x" * 9_000,), 6), ((), 500)], ids=["large ones", "many"])
async def test_statements_have_a_limit_as_well(
    database: Database, on_database: MakeHarness, ways: tuple[tuple[str, ...], int]
) -> None:
    parameters, most = ways
    sql = database.sql("DELETE FROM ledger WHERE id = ?" if parameters else "DELETE FROM ledger")

    @handler("writer", key="key")
    def write(message: Begun, ctx: Context) -> None:
        for number in range(ENDLESS):
            made.append(number)
            ctx.execute(sql, parameters)

    async with on_database(write, settings=SMALL) as bus:
        await bus.publish(Begun(key="A", way=""))

        assert len(made) <= most
        (letter,) = await bus.dead_letters()
        assert letter.cause is Cause.PERMANENT
        assert f"writer, key 'A': more than {MOST} bytes of statements at once" in letter.reason


# --- in tests ---------------------------------------------------------------------------------------------------------


def test_a_recording_context_has_the_default_limit() -> None:
    ctx = RecordingContext()

    for number in range(10_000):
        ctx.publish(Noted(key="A", number=number))
    with pytest.raises(TooManyMessages, match="more than 10000 messages"):
        ctx.publish(Noted(key="A"))
    assert len(ctx.published) == 10_000


def test_no_limit_under_one_message_can_be_set() -> None:
    with pytest.raises(ConfigurationError, match=r"Settings.max_sent must be at least 1, not 0"):
        Settings(max_sent=0)
