"""Handlers run concurrently over keys, one after another within one; threads, cancellation, and a graceful stop."""

import asyncio
import contextlib
import threading
from datetime import timedelta

import pytest
from tests.scenarios.conftest import PATIENCE, MakeHarness, until
from tests.scenarios.shop import Noted

from sagabus import Context, RetryPolicy, Settings, handler
from sagabus.testing import Harness

ONCE = RetryPolicy(attempts=1)


class Gate:
    """A handler that says that it has begun, and waits to be let through."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.inside: list[str] = []
        self.most = 0
        self.done: list[str] = []

        @handler("gate", key="key", retry=ONCE)
        async def wait(message: Noted) -> None:
            name = f"{message.key}{message.number}"
            self.inside.append(name)
            self.most = max(self.most, len(self.inside))
            try:
                await self.open.wait()
                self.done.append(name)
            finally:
                self.inside.remove(name)

        self.handler = wait


async def test_other_keys_go_on_while_one_waits(harness: MakeHarness) -> None:
    gate = Gate()
    async with harness(gate.handler) as bus:
        await bus.bus.publish_many([Noted(key=key, number=n) for n in (1, 2) for key in "ABC"])
        await until(lambda: len(gate.inside) == 3)
        inside = sorted(gate.inside)
        gate.open.set()
        await bus.idle()

        assert inside == ["A1", "B1", "C1"]
        assert sorted(gate.done) == ["A1", "A2", "B1", "B2", "C1", "C2"]
        assert all(gate.done.index(f"{key}1") < gate.done.index(f"{key}2") for key in "ABC")


async def test_never_more_at_a_time_than_allowed(harness: MakeHarness) -> None:
    gate = Gate()
    async with harness(gate.handler, settings=Settings(concurrency=3)) as bus:
        await bus.bus.publish_many([Noted(key=f"K{n}") for n in range(20)])
        await until(lambda: len(gate.inside) == 3)
        for _ in range(100):
            await asyncio.sleep(0)
        gate.open.set()
        await bus.idle()

        assert gate.most == 3
        assert len(gate.done) == 20


async def test_a_plain_function_in_a_thread_blocks_no_other(harness: MakeHarness) -> None:
    release = threading.Event()
    threads: set[str] = set()

    @handler("blocking", thread=True)
    def block(message: Noted) -> None:
        threads.add(threading.current_thread().name)
        assert release.wait(5)

    gate = Gate()
    gate.open.set()
    async with harness(block, gate.handler) as bus:
        await bus.publish(Noted(key="A"), wait=False)
        await until(lambda: bus.bus.statistics["gate", "completed"] == 1)
        release.set()
        await bus.idle()

        assert bus.bus.statistics["blocking", "completed"] == 1
        assert threading.main_thread().name not in threads


async def test_stopping_lets_running_handlers_finish(harness: MakeHarness) -> None:
    gate = Gate()
    async with harness(gate.handler) as bus:
        await bus.bus.publish_many([Noted(key="A", number=n) for n in (1, 2)])
        await until(lambda: gate.inside == ["A1"])
        closing = asyncio.create_task(bus.bus.close())
        for _ in range(20):
            await asyncio.sleep(0)
        gate.open.set()
        await closing
        done = list(gate.done)
        await bus.bus.open()
        await bus.idle()

        assert done == ["A1"]
        assert gate.done == ["A1", "A2"]
        assert bus.bus.statistics == {("gate", "completed"): 2}


async def test_after_the_grace_they_are_rolled_back_and_nothing_counts(harness: MakeHarness) -> None:
    gate = Gate()
    async with harness(gate.handler, settings=Settings(grace=timedelta(0))) as bus:
        await bus.bus.publish_many([Noted(key=key) for key in "ABC"])
        await until(lambda: len(gate.inside) == 3)
        await bus.bus.close()
        inside = list(gate.inside)
        await bus.bus.open()
        (count,) = await bus.bus.counts()
        gate.open.set()
        await bus.idle()

        assert inside == []
        assert (count.ready, count.retrying, count.dead) == (3, 0, 0)
        assert sorted(gate.done) == ["A0", "B0", "C0"]


@pytest.mark.parametrize("times", [1, 3])
async def test_a_handler_that_swallows_its_cancellation_has_no_effect_twice(harness: MakeHarness, times: int) -> None:
    runs: list[int] = []

    @handler("stubborn", retry=ONCE)
    async def swallow(message: Noted, ctx: Context) -> None:
        runs.append(ctx.attempt)
        for _ in range(times if len(runs) == 1 else 0):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    async with harness(swallow, settings=Settings(grace=timedelta(0))) as bus:
        await bus.publish(Noted(key="A"), wait=False)
        await until(lambda: bool(runs))
        await bus.bus.close()
        await bus.bus.open()
        await bus.idle()

        assert bus.bus.statistics == {("stubborn", "completed"): 1}
        assert await bus.dead_letters() == []


async def test_opening_and_closing_twice_is_harmless() -> None:
    gate = Gate()
    harness = Harness(gate.handler)
    await harness.bus.open()
    await harness.bus.open()
    await harness.bus.close()
    await harness.bus.close()
    async with harness as bus:
        gate.open.set()
        await bus.publish(Noted(key="A"))

        assert gate.done == ["A0"]


async def test_a_publish_that_is_cancelled_may_be_repeated(harness: MakeHarness) -> None:
    gate = Gate()
    gate.open.set()
    async with harness(gate.handler) as bus:
        for turns in range(8):
            publishing = asyncio.create_task(bus.bus.publish(Noted(key="A", number=turns), message_id=f"m{turns}"))
            for _ in range(turns):
                await asyncio.sleep(0)
            publishing.cancel()
            await asyncio.wait([publishing])
            await bus.publish(Noted(key="A", number=turns), message_id=f"m{turns}")

        assert gate.done == [f"A{turns}" for turns in range(8)]


async def test_a_task_that_waits_for_it_to_be_idle_is_cancelled_though_there_is_news(harness: MakeHarness) -> None:
    """Or a limit in time would be none: what says that it is over would be lost, and is said only once."""
    gate = Gate()
    async with harness(gate.handler, settings=Settings(grace=timedelta(0))) as bus:
        for turns in range(16):
            waiting = asyncio.create_task(bus.bus.idle())
            news = asyncio.create_task(bus.bus.publish(Noted(key=f"K{turns}")))
            for _ in range(turns):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([news])
            await asyncio.wait([waiting], timeout=PATIENCE)

            assert waiting.cancelled()
