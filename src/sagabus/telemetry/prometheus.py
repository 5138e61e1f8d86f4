"""Metrics for Prometheus: `Bus(..., observers=[Metrics()])`, and `HealthApp(bus, metrics=...)` serves them.

What happens in this process is counted as it happens. What waits in the store is looked at when Prometheus asks, by
looks that are bounded. Every process of a store shows the same of the store: take the maximum of them, not the sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import accumulate

from sagabus.clock import Clock, SystemClock
from sagabus.errors import ConfigurationError
from sagabus.observer import Commit, Observer, Refused, Unheard
from sagabus.telemetry.facts import (
    COUNTED,
    HISTOGRAMS,
    OF_HEALTH,
    OF_STORE,
    OLDEST_TRANSACTION,
    STORE_UP,
    Fact,
    Samples,
    Waiting,
)
from sagabus.telemetry.look import Look, Watched
from sagabus.telemetry.tally import Distribution, Tally

try:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector
except ImportError as error:
    raise ConfigurationError(
        f"metrics for Prometheus need prometheus-client: pip install 'sagabus[prometheus]' ({error})"
    ) from error

__all__ = ["Metrics"]


class Metrics(Observer, Collector):
    """The metrics of one bus in this process, in a registry of their own or in yours.

    Raises ValueError where the registry has them already: one registry takes one bus.
    """

    times_runs = True

    def __init__(self, registry: CollectorRegistry | None = None, *, clock: Clock | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self._clock = clock or SystemClock()
        self._tally, self._look = Tally(_empty), Look(self._clock)
        self.registry.register(self)

    # --- see `Observer` -----------------------------------------------------------------------------------------------

    def committed(self, commit: Commit) -> None:
        """See `Observer`."""
        self._tally.committed(commit, self._clock.now())

    def refused(self, refused: Refused) -> None:
        """See `Observer`."""
        self._tally.refuse(refused)

    def unheard(self, unheard: Unheard) -> None:
        """See `Observer`."""
        self._tally.not_heard(unheard)

    # --- what Prometheus asks -----------------------------------------------------------------------------------------

    async def look(self, bus: Watched) -> None:
        """Look at what waits in the store, at most every 5 seconds, and at the parts of the bus.

        A store that does not answer in time makes `sagabus_store_up` 0 and leaves its gauges out; nothing is raised for
        it. WrongEventLoop in another loop than that of the bus. Cancelled, the gauges stay as they were.
        """
        await self._look.at(bus)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics of the registry as text, and its content type; in the format that the header `accept` prefers."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`; in any thread."""
        look = self._look
        yield from self._counted([each.name for each in look.waiting or ()])
        if look.health is not None:
            yield from (_family(fact, samples(look.health)) for fact, samples in OF_HEALTH.items())
        if look.has_looked:
            yield from _of_store(look.waiting, look.oldest_transaction)

    def describe(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`: every metric, without asking anything."""
        yield from self._counted(())
        yield from (_family(fact, ()) for fact in OF_HEALTH)
        yield from _of_store(None, None)

    def _counted(self, names: Iterable[str]) -> Iterator[Metric]:
        tally = self._tally
        known = {name for name, _ in tally.results()}.union(names)
        yield from (_family(fact, samples(tally, known)) for fact, samples in COUNTED.items())
        for fact in HISTOGRAMS:
            family = HistogramMetricFamily(_name(fact), fact.text, labels=fact.labels)
            for labels, distribution in tally.durations(fact).items():
                family.add_metric(labels, _buckets(distribution), distribution.total)
            yield family


def _empty(fact: Fact, labels: tuple[str, ...]) -> Distribution:
    return Distribution(fact.bounds)


def _name(fact: Fact) -> str:
    """As OpenTelemetry's exporter for Prometheus writes it; the client adds `_total`."""
    return fact.name.replace(".", "_") + ("_seconds" if fact.unit == "s" else "")


def _of_store(waiting: Sequence[Waiting] | None, oldest: timedelta | None) -> Iterator[Metric]:
    yield _family(STORE_UP, [((), int(waiting is not None))])
    yield _family(OLDEST_TRANSACTION, [] if oldest is None else [((), oldest.total_seconds())])
    yield from (_family(fact, samples(waiting or ())) for fact, samples in OF_STORE.items())


def _family(fact: Fact, samples: Samples) -> Metric:
    kind = CounterMetricFamily if fact.kind == "counter" else GaugeMetricFamily
    family = kind(_name(fact), fact.text, labels=fact.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def _buckets(distribution: Distribution) -> Sequence[tuple[str, float]]:
    bounds = (*map(str, distribution.bounds), "+Inf")
    return list(zip(bounds, accumulate(distribution.classes), strict=True))
