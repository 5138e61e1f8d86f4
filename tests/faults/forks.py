"""A worker with a child of its own that outlives it, however it was made; and what children do with a parent's bus."""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Coroutine
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.faults.application import drained
from tests.support.bad_programs import TWICE, Task, bus_at, record

from sagabus import AsyncConnection, Bus, Context, handler
from sagabus.errors import ForkedProcess

LIFE = 90
"""Seconds that an orphan lives, should no test end it."""


def sleep() -> None:
    """A child's whole life."""
    time.sleep(LIFE)
    os._exit(0)


def by_fork() -> int:
    return os.fork() or sleep() or 0


def by_multiprocessing(method: str) -> int:
    process = multiprocessing.get_context(method).Process(target=sleep)
    process.start()
    return process.pid or 0


def by_pool() -> int:
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"))
    child = pool.submit(os.getpid).result()
    pool.submit(sleep)
    return child


def by_subprocess() -> int:
    return subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({LIFE})"], close_fds=False).pid


def by_native_fork() -> int:
    """As a library does that asks nobody: Python does not hear of it."""
    return ctypes.CDLL(None).fork() or sleep() or 0


WAYS: dict[str, Callable[[], int]] = {
    "fork": by_fork,
    "multiprocessing-fork": lambda: by_multiprocessing("fork"),
    "multiprocessing-forkserver": lambda: by_multiprocessing("forkserver"),
    "process-pool": by_pool,
    "subprocess": by_subprocess,
    "native": by_native_fork,
}


def parental(way: str, orphan: str) -> list[Any]:
    """Handlers, the first run of which makes a child; half of the runs have their transaction open meanwhile."""

    def make_child() -> None:
        if not Path(orphan).exists():
            Path(orphan).write_text("")
            Path(orphan).write_text(str(WAYS[way]()))

    @handler("parental", key="number", retry=TWICE)
    async def in_flush(message: Task, ctx: Context) -> None:
        make_child()
        record(ctx, message.number)

    @handler("parental-alone", key="number", retry=TWICE)
    async def in_transaction(message: Task, ctx: Context, connection: AsyncConnection) -> None:
        await connection.execute("SELECT 1")
        make_child()
        record(ctx, message.number)

    return [in_flush, in_transaction]


async def publish(url: str, incarnation: int, count: int) -> None:
    bus = bus_at(url, incarnation, *parental("fork", os.devnull))
    await bus.open(worker=False)
    await bus.publish_many([(Task(number=number), f"task-{number}") for number in range(count)])
    await bus.close()


async def work(url: str, incarnation: int, way: str, orphan: str) -> None:
    """Handle what is there, and have a child."""
    async with bus_at(url, incarnation, *parental(way, orphan)) as bus:
        await drained(bus)


async def use_in_a_child(url: str, incarnation: int) -> None:
    """Whatever a child tries with its parent's bus is refused in words, at once; then the parent works on."""
    definitions = parental("subprocess", os.devnull)
    async with bus_at(url, incarnation, *definitions) as bus:
        in_a_child(lambda parent: refused(bus, parent), lambda _: own(url, definitions))
        await bus.publish(Task(number=7), message_id="task-7")
        await drained(bus)


async def use_memory_in_a_child(url: str, incarnation: int) -> None:
    """The same with a store whose rows are in the parent's memory: the child has a copy that nobody works off."""
    handled: list[int] = []

    @handler("parental")
    async def note(message: Task) -> None:
        handled.append(message.number)

    async with Bus("memory:", note) as bus:
        in_a_child(lambda parent: refused(bus, parent))
        await bus.publish(Task(number=7), message_id="task-7")
        await bus.idle()
    assert handled == [7]


def in_a_child(*programs: Callable[[int], Coroutine[Any, Any, None]]) -> None:
    """Run them in a forked process, each in an event loop of its own, and see that they come to their end."""
    parent, child = os.getpid(), os.fork()
    if child == 0:
        code = 1
        try:
            for program in programs:
                asyncio.run(program(parent))
            code = 0
        except BaseException:  # noqa: BLE001  # told by the exit code and the log
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


async def refused(bus: Bus, parent: int) -> None:
    """Each call says whose bus it is; closing it does nothing at all."""
    calls: list[Callable[[], Any]] = [
        lambda: bus.publish(Task(number=9), message_id="task-9"),
        lambda: bus.publish_many([(Task(number=9), "task-9")]),
        lambda: bus.transaction().__aenter__(),
        bus.counts,
        bus.idle,
        bus.purge,
        bus.dead_letters.list,
        bus.store.routing,
        lambda: bus.store.append([], 1),
        lambda: bus.store.lease("w", ["parental"], duration=1_000_000, window=1),
        lambda: bus.store.changed(1),
        lambda: asyncio.to_thread(bus.store.keeper().renew, "w", duration=1_000_000, within=1.0),
    ]
    for call in calls:
        with pytest.raises(ForkedProcess, match=f"process {parent}"):
            async with asyncio.timeout(5):
                await call()
    async with asyncio.timeout(5):
        await bus.close()


async def own(url: str, definitions: list[Any]) -> None:
    """A bus of the child's own is welcome, on the very store that its parent has open."""
    bus = Bus(url, *definitions)
    await bus.open(worker=False)
    await bus.publish(Task(number=8), message_id="task-8")
    await bus.close()
