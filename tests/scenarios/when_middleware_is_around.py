"""Middleware: in order around every run; what it does counts as the handler's doing."""

from datetime import timedelta
from typing import Any

from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Ended, Noted

from sagabus import Context, RetryPolicy, Saga, handler, starts, timer
from sagabus.middleware import Next

ONCE = RetryPolicy(attempts=1)


def tracing(trace: list[str], name: str) -> Any:
    async def middleware(message: object, ctx: Context, call_next: Next) -> None:
        trace.append(f"{name} in")
        await call_next(message, ctx)
        trace.append(f"{name} out")

    return middleware


def recording(trace: list[str]) -> Any:
    @handler("recorder", retry=ONCE)
    async def record(message: Noted) -> None:
        trace.append(f"run {message.number}")

    return record


async def test_the_first_is_the_outermost(harness: MakeHarness) -> None:
    trace: list[str] = []
    async with harness(recording(trace), middleware=[tracing(trace, "a"), tracing(trace, "b")]) as bus:
        await bus.publish(Noted(key="A", number=1))

        assert trace == ["a in", "b in", "run 1", "b out", "a out"]


async def test_it_surrounds_every_kind_of_reaction(harness: MakeHarness) -> None:
    trace: list[str] = []

    class Both(Saga, name="both", key="key"):
        key: str

        @starts
        async def noted(self, message: Noted, ctx: Context) -> None:
            trace.append("start")
            ctx.set_timer("tick", after=timedelta(minutes=1))

        @timer("tick")
        def tick(self) -> None:
            trace.append("tick")

    @handler("threaded", thread=True)
    def threaded(message: Ended) -> None:
        trace.append("thread")

    async with harness(Both, threaded, middleware=[tracing(trace, "m")]) as bus:
        await bus.publish(Noted(key="A"))
        await bus.advance(timedelta(minutes=1))
        await bus.publish(Ended(key="A"))

        assert [step for step in trace if not step.startswith("m ")] == ["start", "tick", "thread"]
        assert trace.count("m in") == trace.count("m out") == 3


async def test_what_it_raises_is_the_handlers_failure(harness: MakeHarness) -> None:
    async def refuse(message: object, ctx: Context, call_next: Next) -> None:
        await call_next(message, ctx)
        ctx.publish(Ended(key="A"))
        raise PermissionError("not now")

    async with harness(recording([]), middleware=[refuse]) as bus:
        await bus.publish(Noted(key="A"))

        (letter,) = await bus.dead_letters()
        assert letter.error_type == "PermissionError"
        assert bus.published == []


async def test_it_may_replace_the_message_send_and_leave_out_the_run(harness: MakeHarness) -> None:
    trace: list[str] = []

    async def change(message: object, ctx: Context, call_next: Next) -> None:
        assert isinstance(message, Noted)
        if message.number == 0:
            ctx.publish(Ended(key="left out"))
            return
        await call_next(Noted(key=message.key, number=message.number * 10), ctx)

    async with harness(recording(trace), middleware=[change]) as bus:
        await bus.bus.publish_many([Noted(key="A", number=n) for n in (0, 1)])
        await bus.idle()

        assert trace == ["run 10"]
        assert bus.published == [Ended(key="left out")]
        assert bus.bus.statistics["recorder", "completed"] == 2
