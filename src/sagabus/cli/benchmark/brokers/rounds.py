"""Rounds of engine and bare client in turn, each with names of its own at the broker, which are removed afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

import msgspec

from sagabus.cli.benchmark.brokers.clients import bare
from sagabus.cli.benchmark.brokers.engine import TOPOLOGIES
from sagabus.cli.benchmark.brokers.work import BrokerFigures
from sagabus.cli.benchmark.halves import half_of
from sagabus.cli.benchmark.rounds import percentile
from sagabus.cli.benchmark.venues import Venue
from sagabus.cli.process import given
from sagabus.transports import transport_from_url
from sagabus.url import with_option

_PATIENCE = 120.0
_SLOWEST = 50.0
"""Messages per second below which a half is taken to be stuck."""


@dataclass(slots=True)
class Figures:
    """All rounds."""

    engine: list[BrokerFigures] = field(default_factory=list[BrokerFigures])
    loop: list[BrokerFigures] = field(default_factory=list[BrokerFigures])

    def summary(self) -> dict[str, float]:
        """The medians over all rounds; of latencies, the percentiles over all of them."""
        ratios = sorted(a.messages_per_second / b.messages_per_second for a, b in self._pairs())
        latencies = sorted(each for figures in self.engine for each in figures.latencies)
        return {
            "messages_per_second": round(median(each.messages_per_second for each in self.engine), 1),
            "baseline_per_second": round(median(each.messages_per_second for each in self.loop), 1),
            "ratio": round(percentile(ratios, 0.5), 4),
            "ratio_lower_quartile": round(percentile(ratios, 0.25), 4),
            "ratio_upper_quartile": round(percentile(ratios, 0.75), 4),
            "cpu_us_per_message": round(median(each.costs.cpu_us for each in self.engine), 2),
            "baseline_cpu_us_per_message": round(median(each.costs.cpu_us for each in self.loop), 2),
            "p50_ms": round(percentile(latencies, 0.50) * 1000, 3),
            "p99_ms": round(percentile(latencies, 0.99) * 1000, 3),
        }

    def _pairs(self) -> zip[tuple[BrokerFigures, BrokerFigures]]:
        return zip(self.engine, self.loop, strict=True)


def run_rounds(venue: Venue, transport: str, messages: int, rounds: int, done: Callable[[str], None]) -> Figures:
    """Engine, loop, loop, engine…, so that neither always comes first; `done` hears of each half."""
    figures, token = Figures(), f"{time.time_ns() // 1_000_000:x}"

    def half(name: str, number: int) -> None:
        url = with_option(transport, "prefix", f"sb{token}{name[0]}{number}")
        try:
            raw = half_of(
                "brokers.half",
                name,
                str(messages),
                lines=given(venue.engine(number)) + given(url),
                patience=_PATIENCE + messages / _SLOWEST,
            )
        finally:
            parts = [part for each in TOPOLOGIES for part in transport_from_url(url).parts(each)]
            asyncio.run(bare(url).tidy(url, parts))
        found = msgspec.json.decode(raw, type=BrokerFigures)
        (figures.engine if name == "engine" else figures.loop).append(found)
        done(f"round {number + 1}: {name}: {found.messages_per_second:,.0f} messages/s")

    for number in range(rounds):
        for name in ("loop", "engine") if number % 2 else ("engine", "loop"):
            half(name, number)
    return figures
