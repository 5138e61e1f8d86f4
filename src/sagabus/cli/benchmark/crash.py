"""What a crash costs: the same messages worked off undisturbed, and once more after a worker was killed over them.

Each message takes a while and does nothing, so that what counts is how many run side by side. The lease of the dead
worker ends before the clock starts: how long that takes is a setting.
"""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import timedelta

import msgspec

from sagabus import Bus, Context, Settings, event, handler
from sagabus.cli.process import given

MESSAGES = 600
WORK = 0.2
MOST = 2.0
"""The longest that the messages may take after a crash, as a multiple of the time without one."""
ROUNDS = 3
_LEASE = 1.0
_LOOK = 0.005


@event("bench.waited")
class Waited:
    """A message whose handler waits."""

    number: int


@handler("bench-waiters", key="number")
async def wait(message: Waited, ctx: Context) -> None:
    """As for an answer of another service."""
    await asyncio.sleep(WORK)


class CrashFigures(msgspec.Struct, frozen=True):
    """Seconds that all messages took."""

    undisturbed: float
    after_a_crash: float
    dead_letters: int

    @property
    def ratio(self) -> float:
        """The second against the first."""
        return self.after_a_crash / self.undisturbed


async def measure(url: str) -> CrashFigures:
    """Work the messages off, kill a worker that has as many in flight, and work those off; the best of some rounds.

    Both take turns: what else the machine does meanwhile costs either, and only ever makes it longer.
    """
    undisturbed, after = list[float](), list[float]()
    for _ in range(ROUNDS):
        await _publish(url)
        undisturbed.append(await _worked_off(url))
        await _publish(url)
        await _kill_one_at_work(url)
        await asyncio.sleep(2 * _LEASE)
        after.append(await _worked_off(url))
    bus = Bus(url, wait, settings=_settings())
    await bus.open(worker=False)
    dead = await bus.dead_letters.list()
    await bus.close()
    return CrashFigures(min(undisturbed), min(after), len(dead))


async def work(url: str) -> None:
    """The worker that is to be killed: says so when messages are in flight."""
    begun = asyncio.Event()

    @handler("bench-waiters", key="number")
    async def begin(message: Waited) -> None:
        begun.set()
        await asyncio.sleep(60)

    async with Bus(url, begin, settings=_settings()):
        await begun.wait()
        print("in flight", flush=True)  # to the process that kills this one
        await asyncio.sleep(60)


def _settings() -> Settings:
    return Settings(lease=timedelta(seconds=_LEASE))


async def _publish(url: str) -> None:
    bus = Bus(url, wait, settings=_settings())
    await bus.open(worker=False)
    await bus.publish_many([Waited(number=number) for number in range(MESSAGES)])
    await bus.close()


async def _worked_off(url: str) -> float:
    began = time.perf_counter()
    async with Bus(url, wait, settings=_settings()) as bus:
        while bus.statistics["bench-waiters", "completed"] < MESSAGES:  # noqa: ASYNC110  # a count has no event
            await asyncio.sleep(_LOOK)
        return time.perf_counter() - began


async def _kill_one_at_work(url: str) -> None:
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "sagabus.cli.benchmark.half", "crash"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    if worker.stdin is None or worker.stdout is None:
        raise RuntimeError("a worker process without pipes")
    worker.stdin.write(given(url))
    await worker.stdin.drain()
    try:
        if await worker.stdout.readline() != b"in flight\n":
            raise RuntimeError("a worker process did not begin")
    finally:
        worker.kill()
        await worker.wait()
