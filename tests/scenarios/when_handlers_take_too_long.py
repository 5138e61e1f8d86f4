"""Time limits: a run that lasts too long is said, then cancelled, and has failed as any other failed run."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from tests.scenarios.conftest import MakeHarness, until
from tests.scenarios.shop import Ended, Noted
from tests.support.databases import Database

from sagabus import (
    AsyncConnection,
    ConfigurationError,
    Connection,
    Context,
    ContextClosed,
    RetryPolicy,
    Saga,
    Settings,
    TransactionLost,
    handler,
    starts,
    timer,
)
from sagabus.telemetry.prometheus import Metrics
from sagabus.testing import Harness

ONCE = RetryPolicy(attempts=1)
MINUTE = timedelta(minutes=1)
EXCEEDED = "sagabus.errors.TimeLimitExceeded"


class Hanging:
    """What handlers do that never end; counts how often it was begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.let_go = threading.Event()

    async def waits(self) -> None:
        self.begun += 1
        await asyncio.Event().wait()

    def blocks(self) -> None:
        self.begun += 1
        self.let_go.wait(30)


def in_the_loop(hanging: Hanging) -> Any:
    @handler("it", retry=ONCE)
    async def it(message: Noted, ctx: Context) -> None:
        ctx.publish(Ended(key="A"))
        await hanging.waits()

    return it


def in_a_thread(hanging: Hanging) -> Any:
    @handler("it", retry=ONCE, thread=True)
    def it(message: Noted, ctx: Context) -> None:
        ctx.publish(Ended(key="A"))
        hanging.blocks()

    return it


def in_a_saga(hanging: Hanging) -> Any:
    class It(Saga, name="it", key="key", retry=ONCE):
        key: str

        @starts
        async def begun(self, message: Noted, ctx: Context) -> None:
            ctx.publish(Ended(key="A"))
            await hanging.waits()

    return It


def swallowing(hanging: Hanging) -> Any:
    @handler("it", retry=ONCE)
    async def it(message: Noted, ctx: Context) -> None:
        ctx.publish(Ended(key="A"))
        with contextlib.suppress(asyncio.CancelledError):
            await hanging.waits()

    return it


def translating(hanging: Hanging) -> Any:
    @handler("it", retry=ONCE)
    async def it(message: Noted, ctx: Context) -> None:
        try:
            await hanging.waits()
        except asyncio.CancelledError as error:
            raise ValueError("hidden") from error

    return it


def never_giving_up(hanging: Hanging) -> Any:
    @handler("it", retry=ONCE)
    async def it(message: Noted, ctx: Context) -> None:
        while True:
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await hanging.waits()

    return it


KINDS = [in_the_loop, in_a_thread, in_a_saga, swallowing, translating, never_giving_up]
Make = Callable[[Hanging], Any]


@asynccontextmanager
async def hanging_run(bus: Harness, hanging: Hanging) -> AsyncIterator[None]:
    """While a run hangs."""
    try:
        await bus.publish(Noted(key="A"), wait=False)
        await until(lambda: hanging.begun > 0)
        for _ in range(5):
            await asyncio.sleep(0)
        yield
    finally:
        hanging.let_go.set()


async def pass_by(bus: Harness, duration: timedelta) -> None:
    """Let time pass while handlers hang, minute by minute."""
    for _ in range(duration // MINUTE):
        bus.clock.advance(MINUTE)
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.mark.parametrize("make", KINDS)
async def test_at_its_limit_a_run_fails_and_leaves_nothing(make: Make) -> None:
    hanging = Hanging()
    async with Harness(make(hanging)) as bus, hanging_run(bus, hanging):
        await pass_by(bus, timedelta(minutes=9))
        assert await bus.dead_letters() == []
        await pass_by(bus, timedelta(minutes=15))
        hanging.let_go.set()
        await bus.idle()
        (letter,) = await bus.dead_letters()

        assert letter.error_type == EXCEEDED
        assert letter.attempts == 1
        assert "600 s" in letter.reason
        assert bus.published == []


async def test_on_every_store_a_failed_run_is_tried_again(harness: MakeHarness) -> None:
    hanging = Hanging()

    @handler("it", timeout=MINUTE)
    async def it(message: Noted, ctx: Context) -> None:
        if ctx.attempt == 1:
            await hanging.waits()

    async with harness(it) as bus, hanging_run(bus, hanging):
        await pass_by(bus, MINUTE)
        await bus.advance(MINUTE)

        assert bus.bus.statistics == {("it", "retried"): 1, ("it", "completed"): 1}


async def test_the_open_transaction_is_rolled_back_at_the_limit(on_database: MakeHarness, database: Database) -> None:
    hanging = Hanging()

    @handler("it", retry=ONCE)
    async def it(message: Noted, connection: AsyncConnection) -> None:
        await database.execute(connection, "INSERT INTO ledger VALUES ('A', 1)")
        await hanging.waits()

    async with on_database(it) as bus, hanging_run(bus, hanging):
        await pass_by(bus, timedelta(minutes=10))
        await bus.idle()
        (letter,) = await bus.dead_letters()

        assert letter.error_type == EXCEEDED
        assert database.rows() == []


inside: list[str] = []
"""The keys whose runs have begun to wait."""


class Limited(Saga, name="limited", key="key", retry=ONCE, timeout=3 * MINUTE):
    key: str

    @starts
    async def noted(self, message: Noted, ctx: Context) -> None:
        ctx.set_timer("own", after=timedelta(seconds=1))

    @starts(timeout=2 * MINUTE)
    async def ended(self, message: Ended, ctx: Context) -> None:
        inside.append(self.key)
        await asyncio.Event().wait()

    @timer("own", timeout=4 * MINUTE)
    async def own(self, ctx: Context) -> None:
        inside.append(self.key)
        await asyncio.Event().wait()


async def minutes_until_it_fails(bus: Harness) -> int:
    for passed in range(1, 20):
        await pass_by(bus, MINUTE)
        await asyncio.sleep(0)
        if bus.bus.statistics["limited", "dead-lettered"]:
            return passed
    raise AssertionError("no limit held")


async def test_a_saga_has_a_limit_and_its_methods_and_timers_have_their_own() -> None:
    async with Harness(Limited) as bus:
        await bus.publish(Ended(key="A"), wait=False)
        await until(lambda: "A" in inside)
        assert await minutes_until_it_fails(bus) == 2

    async with Harness(Limited) as bus:
        await bus.publish(Noted(key="B"))
        bus.clock.advance(timedelta(seconds=1))
        await until(lambda: "B" in inside)
        assert await minutes_until_it_fails(bus) == 4


async def test_a_run_that_lasts_long_is_said_with_its_message(caplog: pytest.LogCaptureFixture) -> None:
    hanging = Hanging()
    settings = Settings(timeout=None, warn_after=MINUTE)
    async with Harness(in_a_saga(hanging), settings=settings) as bus, hanging_run(bus, hanging):
        await pass_by(bus, 10 * MINUTE)
        told = [text for record in caplog.records if "has been running" in (text := record.getMessage())]
        await bus.crash(takeover=False)

    assert len(told) == 4  # after 1, 2, 4 and 8 minutes
    assert all("it: shop.noted" in text and "key 'A'" in text for text in told)


async def test_a_run_that_lasts_long_is_a_signal_of_health_a_metric_and_a_finding() -> None:
    hanging, metrics = Hanging(), Metrics()
    settings = Settings(timeout=None, warn_after=MINUTE)
    async with (
        Harness(in_a_saga(hanging), settings=settings, observers=[metrics]) as bus,
        hanging_run(bus, hanging),
    ):
        early = bus.bus.health()
        await pass_by(bus, 2 * MINUTE)
        late, found = bus.bus.health(), await bus.bus.doctor()
        await metrics.look(bus.bus)
        text = metrics.exposition()[0].decode()
        await bus.crash(takeover=False)

    assert (early.long_runs, late.long_runs) == ({}, {"it": 1})
    assert late.is_healthy
    assert late.parts["worker"].long_runs == {"it": 1}
    assert 'sagabus_long_runs{subscription="it"} 1.0' in text
    (finding,) = [each for each in found.findings if each.kind == "long-runs"]
    assert " of key 'A' for " in finding.text
    assert finding.command == "sagabus workers MODULE:BUS"


async def test_a_thread_that_is_abandoned_can_do_nothing_more(tmp_path: Any) -> None:
    hanging, raised = Hanging(), list[BaseException]()
    done = threading.Event()

    @handler("it", retry=ONCE, thread=True)
    def it(message: Noted, ctx: Context, connection: Connection) -> None:
        hanging.blocks()
        for call in (lambda: connection.execute("SELECT 1"), lambda: ctx.publish(Ended(key="A"))):
            try:
                call()
            except (TransactionLost, ContextClosed) as error:
                raised.append(error)
        done.set()

    async with Harness(it, store=tmp_path / "bus.db") as bus, hanging_run(bus, hanging):
        await pass_by(bus, timedelta(minutes=10))
        await bus.idle()
        health = bus.bus.health()
        hanging.let_go.set()
        assert await asyncio.to_thread(done.wait, 10)
        await until(lambda: bus.bus.health().abandoned_threads == 0)

        assert health.abandoned_threads == 1
        assert [type(error) for error in raised] == [TransactionLost, ContextClosed]


async def test_a_statement_of_an_abandoned_thread_is_cut_short(tmp_path: Any) -> None:
    hanging = Hanging()

    @handler("it", retry=ONCE, thread=True)
    def it(message: Noted, connection: Connection) -> None:
        hanging.begun += 1
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n WHERE i < 0"
        )

    async with Harness(it, store=tmp_path / "bus.db") as bus, hanging_run(bus, hanging):
        await pass_by(bus, timedelta(minutes=10))
        await bus.idle()
        await until(lambda: bus.bus.health().abandoned_threads == 0)
        (letter,) = await bus.dead_letters()

        assert letter.error_type == EXCEEDED


def test_an_event_loop_ends_though_a_thread_of_a_handler_does_not() -> None:
    hanging = Hanging()

    async def use() -> None:
        async with Harness(in_a_thread(hanging), settings=Settings(grace=timedelta(0))) as bus:
            await bus.publish(Noted(key="A"), wait=False)
            await until(lambda: hanging.begun > 0)

    try:
        asyncio.run(use())
        assert not hanging.let_go.is_set()
        assert "sagabus-thread" in [thread.name for thread in threading.enumerate()]
    finally:
        hanging.let_go.set()


async def test_without_a_thread_left_messages_wait_uncounted_and_the_bus_is_unhealthy() -> None:
    hanging = Hanging()
    done: list[str] = []

    @handler("other", thread=True)
    def other(message: Ended) -> None:
        done.append(message.key)

    settings = Settings(threads=1)
    async with Harness(in_a_thread(hanging), other, settings=settings) as bus, hanging_run(bus, hanging):
        healthy = bus.bus.health()
        await bus.publish(Ended(key="B"), wait=False)
        await pass_by(bus, timedelta(minutes=10))
        await bus.idle()
        unhealthy = bus.bus.health()
        assert bus.bus.statistics["other", "retried"] >= 1
        hanging.let_go.set()
        await until(lambda: bus.bus.health().is_healthy)
        await bus.advance(MINUTE)

    assert (healthy.is_healthy, unhealthy.is_healthy) == (True, False)
    assert "all 1 threads" in unhealthy.reasons[0]
    assert done == ["B"]
    assert bus.bus.statistics["other", "dead-lettered"] == 0


async def test_waiting_for_a_thread_counts_no_time() -> None:
    hanging = Hanging()
    settings = Settings(threads=1, timeout=None)

    @handler("other", thread=True, timeout=MINUTE)
    def other(message: Ended) -> None: ...

    async with Harness(in_a_thread(hanging), other, settings=settings) as bus, hanging_run(bus, hanging):
        await bus.publish(Ended(key="B"), wait=False)
        await pass_by(bus, timedelta(minutes=10))
        hanging.let_go.set()
        await bus.idle()

        assert bus.bus.statistics["other", "completed"] > 0
        assert bus.bus.statistics["other", "retried"] == 0


async def test_a_worker_that_stops_cancels_a_hanging_run_without_counting_it() -> None:
    hanging = Hanging()
    async with Harness(in_the_loop(hanging), settings=Settings(grace=timedelta(0))) as bus:
        await bus.publish(Noted(key="A"), wait=False)
        await until(lambda: hanging.begun > 0)
        await pass_by(bus, timedelta(minutes=5))
        await bus.bus.close()
        await bus.bus.open(worker=False)
        (count,) = await bus.bus.counts()

        assert (count.ready, count.retrying, count.dead) == (1, 0, 0)


@pytest.mark.parametrize("timeout", [timedelta(0), timedelta(seconds=-1), 5])
def test_a_limit_that_is_none_is_refused_everywhere(timeout: Any) -> None:
    class It(Saga, name="saga", key="key"):
        key: str

        @starts(timeout=timeout)
        def begun(self, message: Noted, ctx: Context) -> None:
            ctx.set_timer("ring", after=MINUTE)

        @timer("ring", timeout=timeout)
        def rang(self) -> None: ...

    @handler("it", timeout=timeout)
    def it(message: Noted) -> None: ...

    with pytest.raises(ConfigurationError, match="timeout") as refused:
        Harness(It, it)

    assert len(refused.value.problems) == 3
