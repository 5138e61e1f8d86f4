"""Context variables: each run sees those of the opening of the bus, and what one run sets no other run sees."""

import asyncio
import contextvars
from collections.abc import Callable
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import pytest
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Noted

from sagabus import AsyncConnection, Context, RetryPolicy, Saga, handler, starts, timer
from sagabus.middleware import Next
from sagabus.testing import Harness

var: ContextVar[str] = ContextVar("var", default="-")
ONCE = RetryPolicy(attempts=1)


class Seen:
    """What runs see; each leaves its own mark."""

    def __init__(self) -> None:
        self.values: list[str] = []

    def look(self, message: Noted) -> None:
        self.values.append(var.get())
        var.set(f"{message.key}{message.number}")


async def binds(message: object, ctx: Context, call_next: Next) -> None:
    assert isinstance(message, Noted)
    var.set(f"bound to {message.number}")
    await call_next(message, ctx)


def plain(seen: Seen) -> Any:
    @handler("it", key="key")
    def it(message: Noted) -> None:
        seen.look(message)

    return it


def threaded(seen: Seen) -> Any:
    @handler("it", key="key", thread=True)
    def it(message: Noted) -> None:
        seen.look(message)

    return it


def waiting(seen: Seen) -> Any:
    @handler("it", key="key")
    async def it(message: Noted) -> None:
        await asyncio.sleep(0)
        seen.look(message)
        await asyncio.sleep(0)
        assert var.get() == f"{message.key}{message.number}"

    return it


def failing(seen: Seen) -> Any:
    @handler("it", key="key", retry=ONCE)
    def it(message: Noted) -> None:
        seen.look(message)
        raise RuntimeError

    return it


KINDS = [plain, threaded, waiting, failing]
MakeHandler = Callable[[Seen], Any]


async def publish_some(bus: Harness) -> None:
    await bus.bus.publish_many([Noted(key=key, number=number) for key in "AB" for number in (1, 2, 3)])
    await bus.idle()


@pytest.mark.parametrize("make", KINDS)
async def test_no_run_sees_what_another_has_set(make: MakeHandler) -> None:
    seen = Seen()
    async with Harness(make(seen)) as bus:
        await publish_some(bus)

    assert seen.values == ["-"] * 6


@pytest.mark.parametrize("make", KINDS)
async def test_a_run_sees_what_was_set_when_the_bus_was_opened(make: MakeHandler) -> None:
    seen = Seen()
    var.set("at the start")
    async with Harness(make(seen)) as bus:
        var.set("afterwards")
        await publish_some(bus)

    assert seen.values == ["at the start"] * 6


@pytest.mark.parametrize("make", KINDS)
async def test_what_a_middleware_binds_is_seen_by_its_own_run(make: MakeHandler) -> None:
    seen = Seen()
    async with Harness(make(seen), middleware=[binds]) as bus:
        await publish_some(bus)

    assert sorted(seen.values) == [f"bound to {number}" for number in (1, 1, 2, 2, 3, 3)]


async def test_sagas_timers_and_predicates_keep_to_themselves() -> None:
    seen: list[str] = []

    def look(name: str) -> bool:
        seen.append(var.get())
        var.set(name)
        return True

    class It(Saga, name="it", key="key"):
        key: str

        @starts(when=lambda state: look("when"))
        async def begun(self, message: Noted, ctx: Context) -> None:
            seen.append(var.get())
            var.set("begun")
            ctx.set_timer("later", after=timedelta(seconds=1))

        @timer("later")
        def rang(self, ctx: Context) -> None:
            look("rang")

    async with Harness(It) as bus:
        await bus.publish(Noted(key="A"))
        await bus.publish(Noted(key="A"))
        await bus.advance(timedelta(minutes=1))

    assert seen == ["-", "-", "when", "-"]


async def test_a_handler_that_holds_the_transaction_has_a_context_of_its_own(on_database: MakeHarness) -> None:
    seen = Seen()

    @handler("it", key="key")
    async def it(message: Noted, connection: AsyncConnection) -> None:
        await connection.execute("SELECT 1")
        seen.look(message)
        await connection.execute("SELECT 1")
        assert var.get() == f"{message.key}{message.number}"

    async with on_database(it) as bus:
        await publish_some(bus)

    assert seen.values == ["-"] * 6


async def test_cancellation_and_limits_work_as_in_a_task_of_its_own() -> None:
    stages: list[str] = []

    @handler("it", retry=ONCE)
    async def it(message: Noted) -> None:
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            stages.append("timed out")
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
            stages.append("grouped")

    async with Harness(it) as bus:
        await bus.publish(Noted(key="A"))

        assert stages == ["timed out", "grouped"]
        assert bus.bus.statistics["it", "completed"] == 1


@pytest.mark.parametrize("make", KINDS)
def test_a_bus_that_is_opened_in_an_empty_context_gives_each_run_its_own(make: MakeHandler) -> None:
    seen = Seen()

    async def main() -> None:
        async with Harness(make(seen)) as bus:
            await publish_some(bus)

    loop = asyncio.new_event_loop()
    try:
        contextvars.Context().run(loop.run_until_complete, main())
    finally:
        loop.close()

    assert seen.values == ["-"] * 6
