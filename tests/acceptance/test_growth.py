"""What a store has seen must not slow down what it does next: finished sagas, de-duplication records, a long backlog.

Each figure is a ratio of two rates from one run on one machine; the bounds leave room for a noisy one.
"""

import asyncio
import resource
import time
from pathlib import Path
from statistics import median

import apsw
import pytest

from sagabus import Bus, Context, Saga, Settings, event, handles, starts

pytestmark = [pytest.mark.slow, pytest.mark.acceptance, pytest.mark.timeout(600)]


@event("growth.opened")
class Opened:
    case: str


@event("growth.closed")
class Closed:
    case: str


class CaseSaga(Saga, name="cases", key="case"):
    case: str

    @starts
    def opened(self, message: Opened, ctx: Context) -> None:
        ctx.publish(Closed(case=message.case))

    @handles
    def closed(self, message: Closed, ctx: Context) -> None:
        ctx.complete()


async def work(path: Path, name: str, cases: int) -> float:
    """Messages handled in a second of processor time, from a full queue."""
    publisher = Bus(f"sqlite:///{path}", CaseSaga)
    await publisher.open(worker=False)
    for start in range(0, cases, 1_000):
        await publisher.publish_many([Opened(case=f"{name}-{n}") for n in range(start, min(start + 1_000, cases))])
    await publisher.close()
    began = time.process_time()
    async with Bus(f"sqlite:///{path}", CaseSaga) as bus:
        await bus.idle()
        return bus.statistics["cases", "completed"] / (time.process_time() - began)


async def publish(path: Path, name: str, count: int) -> float:
    """Messages accepted a second, in batches of 500."""
    bus = Bus(f"sqlite:///{path}", CaseSaga)
    await bus.open(worker=False)
    began = time.perf_counter()
    for start in range(0, count, 500):
        await bus.publish_many([(Opened(case=f"{name}-{n}"), f"{name}-{n}") for n in range(start, start + 500)])
    elapsed = time.perf_counter() - began
    await bus.close()
    return count / elapsed


def fill(path: Path, sql: str, rows: int) -> None:
    connection = apsw.Connection(str(path))
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})"
    connection.execute(f"{numbers} {sql}")
    connection.close()


def test_finished_sagas_cost_the_next_ones_nothing(tmp_path: Path) -> None:
    async def scenario() -> tuple[float, float]:
        await work(tmp_path / "bus.db", "warm", 500)
        before = await work(tmp_path / "bus.db", "before", 3_000)
        fill(
            tmp_path / "bus.db",
            "INSERT INTO sagabus_instance "
            "(saga, key, version, read_version, state, status, timers, completed_at, created_at, updated_at) "
            "SELECT 'cases', 'old-' || i, 2, 1, '{\"case\":\"old\"}', NULL, NULL, i, i, i FROM n",
            100_000,
        )
        return before, await work(tmp_path / "bus.db", "after", 3_000)

    before, after = asyncio.run(scenario())

    assert after > 0.7 * before, (before, after)


def test_a_million_ids_cost_the_next_publish_nothing(tmp_path: Path) -> None:
    async def scenario() -> tuple[float, float]:
        await publish(tmp_path / "bus.db", "warm", 500)
        before = await publish(tmp_path / "bus.db", "before", 5_000)
        fill(
            tmp_path / "bus.db",
            "INSERT INTO sagabus_inbox SELECT 'cases', 'seen-' || i, '00', i FROM n",
            1_000_000,
        )
        return before, await publish(tmp_path / "bus.db", "later", 5_000)

    before, after = asyncio.run(scenario())

    assert after > 0.7 * before, (before, after)


def test_a_long_backlog_is_worked_off_as_fast_as_a_short_one_in_bounded_memory(tmp_path: Path) -> None:
    async def scenario() -> tuple[list[float], int]:
        await work(tmp_path / "warm.db", "warm", 5_000)
        ratios, grown = list[float](), 0
        for turn in range(3):
            # Long enough to meet what the long one pays for: the collector, checkpoints and idle mailboxes.
            short = await work(tmp_path / f"short{turn}.db", "short", 20_000)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            long = await work(tmp_path / f"long{turn}.db", "long", 100_000)
            grown = max(grown, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak)
            ratios.append(long / short)
        return ratios, grown

    ratios, grown = asyncio.run(scenario())

    assert median(ratios) > 0.8, ratios
    assert grown * 1024 < Settings().state_bytes, f"{grown} KiB more for 5 times the backlog"
