"""The harness itself: what it hears, what it refuses, and the fixtures of the plugin."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from tests.scenarios.conftest import MakeHarness, until
from tests.scenarios.shop import (
    CapturePayment,
    Ended,
    Noted,
    OrderSaga,
    OrderSubmitted,
    PaymentCaptured,
    capture,
)

from sagabus import (
    ConfigurationError,
    Context,
    ContextClosed,
    HandlingError,
    InvalidMessageId,
    MessageInvalid,
    StatementRefused,
    handler,
)
from sagabus.testing import Harness, ManualClock, RecordingContext


def test_the_fixture_makes_one_for_plain_tests(sagabus_harness: Callable[..., Harness]) -> None:
    async def scenario(store: str | None) -> str:
        async with sagabus_harness(OrderSaga, capture, store=store) as bus:
            await bus.publish(OrderSubmitted(order_id="A1", total=1))
            state = await bus.saga(OrderSaga, "A1")
            assert state is not None
            return state.status

    assert asyncio.run(scenario(None)) == "paid"
    assert asyncio.run(scenario("sqlite")) == "paid"


def test_the_clock_fixture_stands_still(manual_clock: ManualClock) -> None:
    before = manual_clock.now()

    manual_clock.advance(timedelta(seconds=1))

    assert manual_clock.now() - before == 1_000_000


async def test_it_hears_messages_without_a_receiver() -> None:
    async with Harness(OrderSaga) as bus:
        await bus.publish(OrderSubmitted(order_id="A1", total=7))

        assert bus.sent == [CapturePayment(order_id="A1", amount=7)]
        assert bus.sent.of(PaymentCaptured) == []


async def test_failures_come_on_cue_by_function_class_and_name() -> None:
    async with Harness(OrderSaga, capture) as bus:
        bus.fail(capture, error=ValueError("by function"))
        bus.fail(OrderSaga, error=ValueError("by class"))
        bus.fail("orders", error=ValueError("by name"))
        await bus.publish(OrderSubmitted(order_id="A1", total=7))
        await bus.advance(timedelta(minutes=1))

        assert bus.bus.statistics["orders", "retried"] == 2
        assert bus.bus.statistics["payments", "retried"] == 1
        with pytest.raises(TypeError):
            bus.fail(42)
        with pytest.raises(ValueError, match="once"):
            bus.fail("orders", times=0)


async def test_what_waits_for_something_outside_is_named() -> None:
    @handler("forever")
    async def forever(message: Noted) -> None:
        await asyncio.Event().wait()

    async with Harness(forever, patience=0.05) as bus:
        with pytest.raises(TimeoutError, match=r"not idle.*forever"):
            await bus.publish(Noted(key="A"))
        await bus._running.abandon()


async def test_a_worker_that_was_dropped_leaves_nothing_running() -> None:
    @handler("taker", key="key")
    async def take(message: Noted) -> None:
        await asyncio.sleep(0)

    async with Harness(take) as bus:
        bus.fail_commit()
        await bus.bus.publish_many([Noted(key="A", number=number) for number in range(9)])
        await until(lambda: bus._tap.is_troubled)
        await bus.crash()

    assert {task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("sagabus")} == set()


async def test_what_comes_due_before_the_lease_of_a_dead_worker_ends_waits_for_that(harness: MakeHarness) -> None:
    async with harness(OrderSaga, capture, patience=5.0) as bus:
        await bus.crash(takeover=False)
        await bus.advance(timedelta(seconds=1))
        await bus.publish(OrderSubmitted(order_id="A1", total=7))

        assert (await bus.saga(OrderSaga, "A1")).status == "paid"


async def test_steps_of_time_happen_at_their_own_moments() -> None:
    moments: list[datetime] = []

    @handler("again")
    def again(message: Noted, ctx: Context) -> None:
        moments.append(datetime.fromtimestamp(bus.clock.now() / 1e6, UTC))
        ctx.schedule(Noted(key="A", number=message.number + 1), after=timedelta(hours=1))

    async with Harness(again) as bus:
        await bus.publish(Noted(key="A"))
        await bus.advance(timedelta(days=1))

        assert [moment.hour for moment in moments] == [*range(24), 0]
        assert {moment.minute for moment in moments} == {0}


def test_a_recording_context_writes_everything_down() -> None:
    ctx = RecordingContext(key="A1", attempt=3, headers={"h": "1"}, subscription="orders")
    saga = OrderSaga(order_id="A1")

    saga.submitted(OrderSubmitted(order_id="A1", total=5), ctx)
    ctx.publish(Ended(key="A1"))
    ctx.cancel_timer("other")
    ctx.execute("INSERT INTO x VALUES (?)", (1,))
    ctx.complete()

    assert ctx.sent == [CapturePayment(order_id="A1", amount=5)]
    assert ctx.published == [Ended(key="A1")]
    assert ctx.timers == {"payment": timedelta(minutes=30)}
    assert ctx.cancelled == ["other"]
    assert [statement.sql for statement in ctx.statements] == ["INSERT INTO x VALUES (?)"]
    assert (ctx.completed, ctx.attempt, ctx.key, ctx.headers["h"]) == (True, 3, "A1", "1")


def test_a_timer_set_and_cancelled_is_cancelled() -> None:
    ctx = RecordingContext()
    ctx.set_timer("a", after=timedelta(1))
    ctx.cancel_timer("a")
    ctx.cancel_timer("b")
    ctx.set_timer("b", at=datetime(2030, 1, 2, tzinfo=UTC))

    assert ctx.cancelled == ["a"]
    assert ctx.timers == {"b": datetime(2030, 1, 2, tzinfo=UTC)}


def test_its_arguments_are_checked_as_the_real_ones() -> None:
    ctx = RecordingContext()
    with pytest.raises(ValueError, match="exactly one"):
        ctx.set_timer("a")
    with pytest.raises(ValueError, match="time zone"):
        ctx.set_timer("a", at=datetime(2030, 1, 1))  # noqa: DTZ001  # that is the mistake
    with pytest.raises(ValueError, match="negative"):
        ctx.schedule(Ended(key="A"), after=timedelta(-1))
    with pytest.raises(ConfigurationError):
        ctx.send(Ended(key="A"))
    with pytest.raises(MessageInvalid):
        ctx.publish(Ended(key=7))  # type: ignore[arg-type]
    with pytest.raises(InvalidMessageId):
        ctx.publish(Ended(key="A"), message_id="")
    for sql in ("COMMIT", " drop table x", "UPDATE sagabus_instance SET version = 1"):
        with pytest.raises(StatementRefused):
            ctx.execute(sql)
    with pytest.raises(HandlingError):
        RecordingContext(stateful=False).complete()
    ctx.close()
    with pytest.raises(ContextClosed):
        ctx.publish(Ended(key="A"))

    assert (ctx.sent, ctx.published, ctx.timers, ctx.statements) == ([], [], {}, [])
