"""While a database works for an event loop, its thread does not wait long for the interpreter."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Generator

import pytest

from sagabus.stores.sqlite.thread import DatabaseThread


@pytest.fixture(autouse=True)
def default() -> Generator[None, None, None]:
    """As Python sets it, before and after."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    yield
    sys.setswitchinterval(before)


def test_threads_take_short_turns_while_a_call_runs_and_long_ones_afterwards() -> None:
    async def scenario() -> tuple[float, float]:
        thread = DatabaseThread("test")
        during = await thread.call(sys.getswitchinterval)
        await thread.stop()
        return during, sys.getswitchinterval()

    assert asyncio.run(scenario()) == (pytest.approx(0.0005), pytest.approx(0.005))


def test_turns_stay_short_until_the_last_call_has_ended() -> None:
    async def scenario() -> list[float]:
        one, other = DatabaseThread("one"), DatabaseThread("other")
        may_end = threading.Event()
        long = one.run(may_end.wait)
        await other.call(int)
        await other.stop()
        found = [sys.getswitchinterval()]
        may_end.set()
        await long
        await one.stop()
        return [*found, sys.getswitchinterval()]

    assert asyncio.run(scenario()) == [pytest.approx(0.0005), pytest.approx(0.005)]


def test_a_call_that_fails_has_ended_too() -> None:
    async def scenario() -> None:
        thread = DatabaseThread("test")
        with pytest.raises(ValueError, match="x"):
            await thread.call(int, "x")
        await thread.stop()

    asyncio.run(scenario())

    assert sys.getswitchinterval() == pytest.approx(0.005)


def test_what_another_has_set_meanwhile_stays() -> None:
    async def scenario() -> None:
        thread = DatabaseThread("test")
        await thread.call(sys.setswitchinterval, 0.02)
        await thread.stop()

    asyncio.run(scenario())

    assert sys.getswitchinterval() == pytest.approx(0.02)


@pytest.mark.parametrize("interval", [0.0001, 0.0003, 0.0007, 0.005, 0.0123])
def test_however_many_calls_run_the_interval_is_as_before(interval: float) -> None:
    sys.setswitchinterval(interval)
    before = sys.getswitchinterval()

    async def scenario() -> float:
        thread = DatabaseThread("test")
        for _ in range(20):
            await thread.call(int)
        during = await thread.call(sys.getswitchinterval)
        await thread.stop()
        return during

    assert asyncio.run(scenario()) == pytest.approx(min(before, 0.0005))
    assert sys.getswitchinterval() == pytest.approx(before)


FORK = """
import asyncio, os, sys, threading
from sagabus.stores.sqlite.thread import DatabaseThread

async def child():
    thread = DatabaseThread("child")
    await thread.call(int)
    await thread.stop()
    return abs(sys.getswitchinterval() - 0.005) < 1e-6

async def main():
    thread, may_end = DatabaseThread("parent"), threading.Event()
    call = thread.run(may_end.wait)
    pid = os.fork()
    if not pid:
        begun_well = abs(sys.getswitchinterval() - 0.005) < 1e-6
        asyncio.events._set_running_loop(None)
        os._exit(0 if begun_well and asyncio.run(child()) else 1)
    _, status = os.waitpid(pid, 0)
    may_end.set()
    await call
    await thread.stop()
    sys.exit(status)

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_the_child_of_a_fork_during_a_call_has_the_interval_of_before_and_calls_of_its_own() -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, timeout=30)
