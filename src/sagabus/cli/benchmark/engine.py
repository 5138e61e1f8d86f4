"""The measured half: the whole bus in a process of its own (see `half`).

What it comes to: rates, every latency, and the most memory that the process ever had.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from sagabus import Bus
from sagabus.cli.benchmark.costs import Costs, Meter, together
from sagabus.cli.benchmark.loops.work import PAUSE, PROBES, STEPS
from sagabus.cli.benchmark.process import CHANNELS, EVERYTHING, WORKED, Probed, Submitted, Ticked
from sagabus.cli.process import given, own_process
from sagabus.outcome import Settled, Verdict
from sagabus.store import Batch, Store, Unit

_SINGLE = 500
_PUBLISHERS = 100
_WARM_UP = 50
_PUBLISHED_AT_ONCE = 5_000
_LOOK = 0.01
_LOOKS = 100
"""Looking costs the database something, so the time is measured to a hundredth."""


class EngineFigures(msgspec.Struct, frozen=True):
    """What one round of the engine came to."""

    messages_per_second: float
    one_worker_per_second: float
    """The same by one worker process, where the first is by several."""
    published_per_second: float
    published_singly_per_second: float
    hot_key_per_second: float
    """Messages of one saga that are handled, each on the state that the one before left."""
    latencies: list[float]
    """Seconds from the call of publish to its effect committed."""
    peak_rss_mb: float
    costs: Costs
    """Of a message that is handled from a full queue: of this process, or of its workers."""


async def measure(url: str, sagas: int, token: str, workers: int) -> EngineFigures:
    """One round: publish one by one, handle these as a warm-up, and probe at low load. Then publish by many and handle
    these, and last as many messages for one key.

    Several workers have so many times the messages, and one of them alone works the same off once more.
    """
    singly = await _publish_singly(url, token)
    latencies = await _probe(url, token)
    published = await _publish_by_many(url, token, sagas)
    if workers > 1:
        handled, costs = await _worked_off_by_crew(url, _orders(f"{token}-crew", sagas * workers), workers)
        await _publish_by_many(url, f"{token}-warm", sagas)
        alone, _ = await _worked_off_by_crew(url, _orders(f"{token}-alone", sagas * workers), 1)
    else:
        handled, costs = await _worked_off(url, sagas * STEPS)
        alone = handled
    hot = await _one_hot_key(url, token, sagas * workers, workers)
    return EngineFigures(handled, alone, published, singly, hot, latencies, peak_rss_mb(), costs)


def _orders(token: str, sagas: int) -> list[object]:
    return [Submitted(order_id=f"{token}-{number}", amount=number) for number in range(sagas)]


async def serve(url: str) -> None:
    """One worker of several: begins when a line comes in, ends with the input, and says what it used in between."""
    bus = Bus(url, *WORKED)  # all is imported by now, as in the process that works alone
    own_process()
    print("ready", flush=True)  # to the half that waits for it
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.readline)
    async with bus:
        meter = Meter()
        print("open", flush=True)
        await loop.run_in_executor(None, sys.stdin.read)
        used = meter.per_message(1)
    print(msgspec.json.encode(used).decode(), flush=True)


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


class _Watch:
    """Notes what a worker's commits have stored, without asking the database."""

    def __init__(self, store: Store) -> None:
        self._commit, self._stored, self._awaited = store.commit, 0, 0
        self._done = asyncio.Event()
        self.at = 0.0
        """When the latest commit returned."""
        store.commit = self._watched  # type: ignore[method-assign]  # of this one object

    def expect(self, outcomes: int) -> None:
        """Begin to count: `done` waits for so many."""
        self._stored, self._awaited = 0, outcomes
        self._done.clear()

    async def done(self) -> None:
        """Wait until they are stored."""
        await self._done.wait()

    async def _watched(self, batch: Batch) -> Sequence[Settled]:
        answers = await self._commit(batch)
        self.at = time.perf_counter()
        self._stored += sum([answer.verdict is Verdict.COMMITTED for answer in answers])
        if self._stored >= self._awaited:
            self._done.set()
        return answers


def _watch_transactions(store: Store) -> list[float]:
    """When the commit of each transaction of the publisher's began."""
    commits: list[float] = []
    transaction = store.transaction

    @asynccontextmanager
    async def watched() -> AsyncGenerator[Unit, None]:
        async with transaction() as unit:
            commit = unit.commit

            async def noted(batch: Batch | None = None) -> Sequence[Settled]:
                commits.append(time.perf_counter())
                return await commit(batch)

            unit.commit = noted  # type: ignore[method-assign]  # of this one object
            yield unit

    store.transaction = watched  # type: ignore[method-assign]  # of this one object
    return commits


async def _probe(url: str, token: str) -> list[float]:
    latencies: list[float] = []
    bus = Bus(url, *EVERYTHING)
    watch = _Watch(bus.store)
    async with bus:
        await bus.idle()  # the warm-up: what was published singly
        for number in range(PROBES):
            await asyncio.sleep(PAUSE)
            watch.expect(1)
            began = time.perf_counter()
            await bus.publish(Probed(order_id=f"{token}-p{number}", amount=number))
            await watch.done()
            latencies.append(watch.at - began)
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


async def _worked_off(url: str, messages: int) -> tuple[float, Costs]:
    """Messages per second until nothing is due, and what each cost."""
    bus = Bus(url, *WORKED)
    watch = _Watch(bus.store)
    watch.expect(messages)
    meter, began = Meter(), time.perf_counter()
    await bus.open()
    await watch.done()
    await _until_nothing_is_due(bus)
    elapsed, costs = time.perf_counter() - began, meter.per_message(messages)
    await bus.close()
    return messages / elapsed, costs


async def _worked_off_by_crew(
    url: str, messages: Sequence[object], workers: int, steps: int = STEPS
) -> tuple[float, Costs]:
    """The same for messages that come all at once to running workers. These have shared the lanes, and have handled
    together what was there before. The loop by hand has had its warm-up as well.
    """
    bus = Bus(url, *WORKED)
    commits = _watch_transactions(bus.store)
    await bus.open(worker=False)
    crew = [await _hire(url) for _ in range(workers)]
    for worker in crew:
        _input(worker).write(b"go\n")
    for worker in crew:
        await _heard(worker, b"open\n")
    await _until_nothing_is_due(bus)
    async with bus.transaction() as tx:
        for message in messages:
            tx.publish(message)
    began = commits[-1]  # no worker has seen any of them before
    await _until_nothing_is_due(bus)
    elapsed = time.perf_counter() - began
    used = [await _dismiss(worker) for worker in crew]
    await bus.close()
    return len(messages) * steps / elapsed, together(used, len(messages) * steps)


async def _hire(url: str) -> asyncio.subprocess.Process:
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "sagabus.cli.benchmark.half", "worker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    _input(worker).write(given(url))
    await _heard(worker, b"ready\n")
    return worker


async def _dismiss(worker: asyncio.subprocess.Process) -> Costs:
    """What it used, from its first lease on."""
    _input(worker).close()
    said, _ = await worker.communicate()
    return msgspec.json.decode(said, type=Costs)


async def _heard(worker: asyncio.subprocess.Process, line: bytes) -> None:
    if worker.stdout is None or await worker.stdout.readline() != line:
        raise RuntimeError("a worker process did not begin")


def _input(worker: asyncio.subprocess.Process) -> asyncio.StreamWriter:
    if worker.stdin is None:
        raise RuntimeError("a worker process without an input")
    return worker.stdin


async def _one_hot_key(url: str, token: str, messages: int, workers: int) -> float:
    ticks = [Ticked(clock_id=token, number=number) for number in range(messages)]
    bus = Bus(url, *WORKED)
    await bus.open(worker=False)
    if workers > 1:
        await _publish_by_many(url, f"{token}-hot", messages // workers)
        handled, _ = await _worked_off_by_crew(url, ticks, workers, 1)
    else:
        for first in range(0, messages, _PUBLISHED_AT_ONCE):
            await bus.publish_many(ticks[first : first + _PUBLISHED_AT_ONCE])
        handled, _ = await _worked_off(url, messages)
    if await bus.dead_letters.list():
        raise RuntimeError("messages of the hot key are dead")
    await bus.close()
    return handled


async def _until_nothing_is_due(bus: Bus) -> None:
    # Not `bus.idle()`, which would wait for the ledger that is away. What is no longer due has been committed.
    began = time.perf_counter()
    while await bus.store.inspect.due(CHANNELS):  # noqa: ASYNC110  # the database is watched, as by any other process
        await asyncio.sleep(max(_LOOK, (time.perf_counter() - began) / _LOOKS))


def peak_rss_mb() -> float:
    """The most memory this process ever had, in megabytes."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
