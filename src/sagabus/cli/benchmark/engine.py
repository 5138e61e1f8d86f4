"""The measured half: the whole bus in a process of its own (see `half`).

What it comes to: rates, every latency, and the most memory that the process ever had.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from sagabus import Bus
from sagabus.cli.benchmark.process import CHANNELS, EVERYTHING, STEPS, WORKED, Probed, Submitted
from sagabus.cli.demonstration.stage import file_of
from sagabus.outcome import Settled
from sagabus.store import Batch
from sagabus.stores.sqlite import SqliteStore

_SINGLE = 500
_PROBES = 100
_PUBLISHERS = 100
_WARM_UP = 50
_PAUSE = 0.004
_LOOK = 0.01


class EngineFigures(msgspec.Struct, frozen=True):
    """What one round of the engine came to."""

    messages_per_second: float
    published_per_second: float
    published_singly_per_second: float
    latencies: list[float]
    """Seconds from the call of publish to its effect committed."""
    peak_rss_mb: float


async def measure(url: str, sagas: int, token: str) -> EngineFigures:
    """One round: publish one by one, work that off as a warm-up, probe at low load, publish by many, work that off."""
    singly = await _publish_singly(url, token)
    latencies = await _probe(url, token)
    published = await _publish_by_many(url, token, sagas)
    handled = await _work_off(url, sagas)
    return EngineFigures(handled, published, singly, latencies, peak_rss_mb())


async def _publish_singly(url: str, token: str) -> float:
    bus = Bus(url, *EVERYTHING)
    await bus.open(worker=False)
    for number in range(_WARM_UP):
        await bus.publish(Submitted(order_id=f"{token}-w{number}", amount=number))
    began = time.perf_counter()
    for number in range(_SINGLE):
        await bus.publish(Submitted(order_id=f"{token}-s{number}", amount=number))
    elapsed = time.perf_counter() - began
    await bus.close()
    return _SINGLE / elapsed


class _Watched(SqliteStore):
    """Tells when a worker's commit has returned, without asking the file."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.committed = asyncio.Event()

    async def commit(self, batch: Batch) -> Sequence[Settled]:
        answers = await super().commit(batch)
        self.committed.set()
        return answers


async def _probe(url: str, token: str) -> list[float]:
    latencies: list[float] = []
    store = _Watched(file_of(url))
    async with Bus(store, *EVERYTHING) as bus:
        await bus.idle()  # the warm-up: what was published singly
        for number in range(_PROBES):
            await asyncio.sleep(_PAUSE)
            store.committed.clear()
            began = time.perf_counter()
            await bus.publish(Probed(order_id=f"{token}-p{number}", amount=number))
            await store.committed.wait()
            latencies.append(time.perf_counter() - began)
    return latencies


async def _publish_by_many(url: str, token: str, sagas: int) -> float:
    bus = Bus(url, *EVERYTHING)
    await bus.open(worker=False)
    numbers = iter(range(sagas))

    async def publisher() -> None:
        for number in numbers:
            await bus.publish(Submitted(order_id=f"{token}-{number}", amount=number))

    began = time.perf_counter()
    await asyncio.gather(*(publisher() for _ in range(_PUBLISHERS)))
    elapsed = time.perf_counter() - began
    await bus.close()
    return sagas / elapsed


async def _work_off(url: str, sagas: int) -> float:
    bus = Bus(url, *WORKED)
    began = time.perf_counter()
    await bus.open()
    # Not `bus.idle()`, which would wait for the ledger that is away. What is no longer due has been committed.
    while await bus.store.inspect.due(CHANNELS):  # noqa: ASYNC110  # the file is watched, as by any other process
        await asyncio.sleep(_LOOK)
    elapsed = time.perf_counter() - began
    await bus.close()
    return sagas * STEPS / elapsed


def peak_rss_mb() -> float:
    """The most memory this process ever had, in megabytes."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
