"""Metrics for Prometheus: `Bus(..., observers=[Metrics()])`, and `HealthApp(bus, metrics=...)` serves them.

What happens in this process is counted as it happens. What waits in the store is looked at when Prometheus asks, by
looks that are bounded. Every process of a store shows the same of the store: take the maximum of them, not the sum.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from operator import attrgetter
from typing import Protocol

from sagabus.clock import Clock, SystemClock
from sagabus.errors import ConfigurationError, WrongEventLoop
from sagabus.observer import Commit, Observer, Refused, Unheard
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

_FRESH = 5.0
"""Seconds for which a look at the store stands for further questions."""
_PATIENCE = 4.0
"""Seconds that a look may take: Prometheus waits for ten by default."""
_RECEIVED = ("subscription", "message_type")
_KINDS = ("ready", "held", "scheduled", "timers", "retrying", "stashed")


_LIKELY = ("failed", "permanent", "worker died")
_NOT_ACCEPTED = ("collision", "too old", "damaged")


class Waiting(Protocol):
    """What waits for one subscription; as `sagabus.bus.inspection.SubscriptionStatus`."""

    @property
    def name(self) -> str: ...
    @property
    def oldest_age(self) -> timedelta | None: ...
    @property
    def dead(self) -> int: ...
    @property
    def workers(self) -> int: ...
    @property
    def lanes(self) -> int: ...
    @property
    def owned_lanes(self) -> int: ...


class Inspected(Protocol):
    """The questions that are asked of a bus."""

    async def subscriptions(self) -> Sequence[Waiting]:
        """As `bus.inspect.subscriptions()`."""
        ...


class Part(Protocol):
    """As `Health`."""

    @property
    def is_healthy(self) -> bool: ...
    @property
    def waits(self) -> tuple[str, ...]: ...


class Whole(Part, Protocol):
    """As `Health`."""

    @property
    def parts(self) -> Mapping[str, Part]: ...
    @property
    def abandoned_threads(self) -> int: ...
    @property
    def stuck(self) -> Mapping[str, int]: ...


class Watched(Protocol):
    """What the metrics ask of a bus."""

    @property
    def inspect(self) -> Inspected: ...
    def health(self) -> Whole: ...


class Metrics(Observer, Collector):
    """The metrics of one bus in this process, in a registry of their own or in yours.

    Raises ValueError where the registry has them already: one registry takes one bus.
    """

    times_runs = True

    def __init__(self, registry: CollectorRegistry | None = None, *, clock: Clock | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self._clock, self._tally = clock or SystemClock(), Tally()
        self._waiting: Sequence[Waiting] | None = None
        self._health: Whole | None = None
        self._looked: float | None = None
        self._looking = asyncio.Lock()
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
        async with self._looking:
            self._health, now = bus.health(), self._clock.monotonic()
            if self._looked is not None and now - self._looked < _FRESH:
                return
            try:
                async with asyncio.timeout(_PATIENCE):
                    self._waiting = await bus.inspect.subscriptions()
            except WrongEventLoop:
                raise
            except Exception:  # noqa: BLE001  # whatever it is, the metric is the answer, and `health` says why
                self._waiting = None
            self._looked = now

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics of the registry as text, and its content type; in the format that the header `accept` prefers."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`; in any thread."""
        yield from self._counted()
        if self._health is not None:
            yield from _of_health(self._health.parts, self._health.abandoned_threads, self._health.stuck)
        if self._looked is not None:
            yield from _of_store(self._waiting or (), is_up=self._waiting is not None)

    def describe(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`: every metric, without asking anything."""
        yield from self._counted()
        yield from _of_health({}, 0, {})
        yield from _of_store((), is_up=False)

    def _counted(self) -> Iterator[Metric]:
        yield from self._of_messages()
        yield from self._of_exceptions()
        yield _histogram(
            "sagabus_flush_size", "Messages whose outcomes went to the store together.", self._tally.flushes
        )
        yield _histogram("sagabus_commit_duration_seconds", "How long the store took for a flush.", self._tally.commits)

    def _of_messages(self) -> Iterator[Metric]:
        handled = CounterMetricFamily(
            "sagabus_handled_messages", "Runs with a committed outcome.", labels=(*_RECEIVED, "result")
        )
        runs = HistogramMetricFamily(
            "sagabus_run_duration_seconds", "How long runs of handlers took, without the commit.", labels=_RECEIVED
        )
        critical = HistogramMetricFamily(
            "sagabus_critical_time_seconds",
            "From the sending of a message to the commit of its effect.",
            labels=_RECEIVED,
        )
        failed = CounterMetricFamily("sagabus_failed_runs", "Runs that ended with an error.", labels=_RECEIVED)
        for place, row in self._tally.received().items():
            failed.add_metric(place, row.failed)
            for result, count in row.results.items():
                handled.add_metric((*place, result), count)
            _add(runs, place, row.runs)
            _add(critical, place, row.critical)
        yield from (handled, failed, runs, critical)

    def _of_exceptions(self) -> Iterator[Metric]:
        tally = self._tally
        names = {name for name, _ in tally.received()} | {each.name for each in self._waiting or ()}
        # From 0, because Prometheus sees no increase where a series begins.
        dead = {(name, cause): 0 for name in names for cause in _LIKELY} | tally.dead.copy()
        refused = {(name, answer, ""): 0 for name in names for answer in _NOT_ACCEPTED} | tally.refused.copy()
        yield _counter("sagabus_dead_letters", "New dead letters.", ("subscription", "cause"), dead.items())
        yield _counter(
            "sagabus_lost_runs",
            "Runs whose outcome a commit refused; conflicts run again.",
            ("subscription", "verdict"),
            tally.lost.copy().items(),
        )
        yield _counter(
            "sagabus_refused_messages",
            "Messages that the store did not accept, duplicates by what is done about them.",
            ("subscription", "answer", "reaction"),
            refused.items(),
        )
        unheard = [((name,), count) for name, count in tally.unheard.copy().items()]
        yield _counter("sagabus_unheard_events", "Events that no subscription receives.", ("message_type",), unheard)


def _of_health(parts: Mapping[str, Part], abandoned_threads: int, stuck: Mapping[str, int]) -> Iterator[Metric]:
    healthy = GaugeMetricFamily("sagabus_part_healthy", "Whether a part of the bus does its work.", labels=("part",))
    waiting = GaugeMetricFamily(
        "sagabus_part_waiting", "Whether a part waits for what comes back without a restart.", labels=("part",)
    )
    for name, part in parts.items():
        healthy.add_metric((name,), part.is_healthy)
        waiting.add_metric((name,), bool(part.waits))
    yield from (healthy, waiting)
    sagas = GaugeMetricFamily(
        "sagabus_stuck_sagas", "Instances that have not changed for longer than their saga allows.", labels=("saga",)
    )
    for name, count in stuck.items():
        sagas.add_metric((name,), count)
    yield sagas
    text = "Threads of handlers that reached their time limit and have not returned."
    yield GaugeMetricFamily("sagabus_abandoned_threads", text, abandoned_threads)


def _of_store(found: Sequence[Waiting], *, is_up: bool) -> Iterator[Metric]:
    yield GaugeMetricFamily("sagabus_store_up", "Whether the store answered.", is_up)
    for name, text, value_of in _GAUGES:
        family = GaugeMetricFamily(name, text, labels=("subscription",))
        for each in found:
            family.add_metric((each.name,), value_of(each))
        yield family
    waiting = GaugeMetricFamily(
        "sagabus_backlog_messages", "Messages that wait, up to 10,000 of a kind.", labels=("subscription", "kind")
    )
    for each in found:
        for kind in _KINDS:
            waiting.add_metric((each.name, kind), getattr(each, kind))
    yield waiting


_GAUGES: Sequence[tuple[str, str, Callable[[Waiting], float]]] = (
    (
        "sagabus_backlog_oldest_age_seconds",
        "Age of the oldest message that is ready to run.",
        lambda each: 0.0 if (age := each.oldest_age) is None else age.total_seconds(),
    ),
    ("sagabus_open_dead_letters", "Open dead letters, up to 10,000 in all.", attrgetter("dead")),
    ("sagabus_workers", "Live workers.", attrgetter("workers")),
    ("sagabus_lanes", "Lanes.", attrgetter("lanes")),
    ("sagabus_owned_lanes", "Lanes with a live worker.", attrgetter("owned_lanes")),
)


def _counter(name: str, text: str, labels: Sequence[str], counts: Iterable[tuple[Sequence[str], int]]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in counts:
        family.add_metric(values, count)
    return family


def _histogram(name: str, text: str, distribution: Distribution) -> Metric:
    family = HistogramMetricFamily(name, text, labels=())
    _add(family, (), distribution.copy())
    return family


def _add(family: HistogramMetricFamily, labels: Sequence[str], distribution: Distribution) -> None:
    buckets, count = list[tuple[str, float]](), 0
    for bound, here in zip((*map(str, distribution.bounds), "+Inf"), distribution.classes, strict=True):
        count += here
        buckets.append((bound, count))
    family.add_metric(labels, buckets, distribution.total)
