"""Rounds of engine and loop in turn, each in a process of its own, and what they come to together.

The machine under a benchmark changes speed while it runs; taking turns lets both halves see the same weather.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TypeVar

import msgspec

from sagabus.cli.benchmark.engine import EngineFigures
from sagabus.cli.benchmark.halves import half_of
from sagabus.cli.benchmark.loops.work import LoopFigures
from sagabus.cli.benchmark.venues import Venue
from sagabus.cli.process import given

T = TypeVar("T")

ROUNDS = 8
"""By default. The machine changes speed by half within minutes: fewer pairs say little."""
_PATIENCE = 120.0
_SLOWEST = 50.0
"""Sagas per second below which a half is taken to be stuck."""


@dataclass(slots=True)
class Figures:
    """All rounds."""

    engine: list[EngineFigures] = field(default_factory=list)
    loop: list[LoopFigures] = field(default_factory=list)

    def summary(self) -> dict[str, float | None]:
        """The medians over all rounds; of latencies, the percentiles over all of them; of memory, the most."""
        return {**self._speeds(), **self._costs()}

    def ratios(self) -> list[float]:
        """The engine against the loop, of each round, in order of size."""
        pairs = zip(self.engine, self.loop, strict=True)
        return sorted(engine.messages_per_second / loop.batched_per_second for engine, loop in pairs)

    def _costs(self) -> dict[str, float | None]:
        engine, loop = [each.costs for each in self.engine], [each.costs for each in self.loop]
        found: dict[str, float | None] = {
            "cpu_us_per_message": round(median(each.cpu_us for each in engine), 2),
            "baseline_cpu_us_per_message": round(median(each.cpu_us for each in loop), 2),
            "cpu_ratio": round(median(mine.cpu_us / its.cpu_us for mine, its in zip(engine, loop, strict=True)), 4),
        }
        for name, costs in (("written_bytes_per_message", engine), ("baseline_written_bytes_per_message", loop)):
            written = [each.written_bytes for each in costs if each.written_bytes is not None]
            found[name] = round(median(written)) if written else None
        return found

    def _speeds(self) -> dict[str, float | None]:
        handled = median(figures.messages_per_second for figures in self.engine)
        alone = median(figures.one_worker_per_second for figures in self.engine)
        batched = median(figures.batched_per_second for figures in self.loop)
        latencies = sorted(latency for figures in self.engine for latency in figures.latencies)
        ratios = self.ratios()
        singles = sorted(latency for figures in self.loop for latency in figures.single_latencies)
        return {
            "messages_per_second": round(handled, 1),
            "one_worker_per_second": round(alone, 1),
            "scaling": round(handled / alone, 4),
            "published_per_second": round(median(figures.published_per_second for figures in self.engine), 1),
            "published_singly_per_second": round(
                median(figures.published_singly_per_second for figures in self.engine), 1
            ),
            "hot_key_per_second": round(median(figures.hot_key_per_second for figures in self.engine), 1),
            "p50_ms": round(percentile(latencies, 0.50) * 1000, 3),
            "p99_ms": round(percentile(latencies, 0.99) * 1000, 3),
            "peak_rss_mb": round(max(figures.peak_rss_mb for figures in self.engine), 1),
            "baseline_batched_per_second": round(batched, 1),
            "baseline_single_p50_ms": round(percentile(singles, 0.50) * 1000, 3),
            "baseline_single_per_second": round(median(figures.single_per_second for figures in self.loop), 1),
            "ratio": round(percentile(ratios, 0.5), 4),
            "ratio_lower_quartile": round(percentile(ratios, 0.25), 4),
            "ratio_upper_quartile": round(percentile(ratios, 0.75), 4),
        }


def percentile(ordered: Sequence[float], fraction: float) -> float:
    """The smallest value that so large a fraction of the values does not exceed."""
    return ordered[max(math.ceil(len(ordered) * fraction) - 1, 0)]


def run_rounds(venue: Venue, sagas: int, workers: int, rounds: int, done: Callable[[str], None]) -> Figures:
    """Engine, loop, loop, engine…, so that neither always comes first; `done` hears of each half."""
    figures = Figures()
    token = f"{time.time_ns() // 1_000_000:x}"
    by = "one worker" if workers == 1 else f"{workers} workers"

    def engine(number: int) -> None:
        found = _half("engine", venue.engine(number), sagas, f"{token}-{number}", str(workers), weight=2 * workers)
        figures.engine.append(msgspec.json.decode(found, type=EngineFigures))
        done(f"round {number + 1}: sagabus, {by}: {figures.engine[-1].messages_per_second:,.0f} messages/s")

    def loop(number: int) -> None:
        found = _half(f"loop-{venue.kind}", venue.loop(number), sagas)
        figures.loop.append(msgspec.json.decode(found, type=LoopFigures))
        done(f"round {number + 1}: hand-written loop {figures.loop[-1].batched_per_second:,.0f} messages/s")

    for number in range(rounds):
        for half in (loop, engine) if number % 2 else (engine, loop):
            half(number)
    return figures


def _half(name: str, place: str, sagas: int, *options: str, weight: int = 1) -> bytes:
    patience = _PATIENCE + sagas * weight / _SLOWEST
    return half_of("half", name, str(sagas), *options, lines=given(place), patience=patience)
