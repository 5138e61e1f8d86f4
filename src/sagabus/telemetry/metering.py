"""Metrics for OpenTelemetry: `Bus(..., observers=[Metering()])`, with the API alone; your application brings the SDK.

Where the conventions for messaging have a metric, it is theirs; all others are the facts that Prometheus gets, too.
What waits in the store is looked at when a reader collects: its thread waits for the look, and the loop never does.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol, TypeAlias

from sagabus.clock import Clock, SystemClock
from sagabus.envelope import Envelope
from sagabus.errors import ConfigurationError
from sagabus.observer import Bridged, Commit, Departure, Observer, Refused, Unheard
from sagabus.telemetry import conventions as names
from sagabus.telemetry.facts import (
    COUNTED,
    HISTOGRAMS,
    OF_HEALTH,
    OF_STORE,
    OLDEST_TRANSACTION,
    RUN_DURATION,
    STORE_UP,
    Counted,
    Fact,
    Samples,
)
from sagabus.telemetry.look import FRESH, PATIENCE, Look, Watched
from sagabus.telemetry.series import MOST_ERRORS, Gathered, Series
from sagabus.telemetry.tally import MOST_TYPES, OTHER, Tally

try:
    from opentelemetry import metrics
    from opentelemetry.metrics import CallbackOptions, Histogram, MeterProvider, Observation
except ImportError as error:
    raise ConfigurationError(f"metrics need the API of OpenTelemetry: pip install 'sagabus[otel]' ({error})") from error

__all__ = ["Metering"]

_Attributes: TypeAlias = Mapping[str, str]
_Callback: TypeAlias = Callable[[CallbackOptions], Iterable[Observation]]


class _Recorder:
    """A histogram for some values of its labels."""

    __slots__ = ("_attributes", "_erring", "_histogram")

    def __init__(self, histogram: Histogram, attributes: _Attributes) -> None:
        self._histogram, self._attributes = histogram, attributes
        self._erring: dict[str, _Recorder] = {}

    def add(self, value: float) -> None:
        self._histogram.record(value, self._attributes)

    def add_all(self, values: list[float]) -> None:
        for value in values:
            self._histogram.record(value, self._attributes)

    def erring(self, error_type: str) -> _Recorder:
        if error_type not in self._erring and len(self._erring) >= MOST_ERRORS:
            error_type = names.OTHER_ERROR
        found = self._erring.get(error_type)
        if found is None:
            found = _Recorder(self._histogram, {**self._attributes, names.ERROR: error_type})
            self._erring[error_type] = found
        return found

    def copy(self) -> _Recorder:
        return self


class Histograms(Protocol):
    """As `sagabus.telemetry.histograms.HistogramExporter`."""

    def reads(self, source: Callable[[], Iterable[Gathered]]) -> None: ...


class Metering(Observer):
    """The metrics of one bus in this process. `provider`: the global one by default.

    `histograms` is the `HistogramExporter` that the provider exports with. Then histograms are gathered here, for a
    fraction of the time that the SDK takes.
    """

    times_runs = True

    def __init__(
        self,
        provider: MeterProvider | None = None,
        *,
        histograms: Histograms | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._meter = metrics.get_meter("sagabus", meter_provider=provider)
        self._clock = clock or SystemClock()
        self._look = Look(self._clock)
        self._bus: Watched | None = None
        self._asked: float | None = None
        self._histograms: dict[Fact, Histogram] = {}
        self._tally: Tally[_Recorder] | Tally[Series]
        if histograms is None:
            self._tally = Tally(self._recorder)
        else:
            self._tally = gathering = Tally(self._series)
            histograms.reads(partial(_gathered, gathering))
        self._sent: Counter[str] = Counter()
        self._passed: Counter[tuple[str, str, str | None]] = Counter()
        """What passed bridges, by the step, the broker and the error."""
        self._operations = self._histogram(names.OPERATION_DURATION, "s", "How long bridges took.", names.DURATIONS)
        self._counters()
        self._gauges()

    def look_at(self, bus: Watched) -> None:
        """Have the gauges look at this bus whenever a reader collects. Call it in the loop of the bus: RuntimeError
        outside of any. Twice is harmless. `sagabus run` calls it.
        """
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._bus = bus

    # --- see `Observer` -----------------------------------------------------------------------------------------------

    def watches(self, envelope: Envelope) -> bool:
        """See `Observer`: what a run sends is counted once it is committed."""
        return False

    def departing(self, departure: Departure) -> None:
        """See `Observer`."""
        if departure.causation_id is None and departure.timer is None:
            self._count_sent(departure.message_type, 1)

    def committed(self, commit: Commit) -> None:
        """See `Observer`."""
        self._tally.committed(commit, self._clock.now())
        for name, count in commit.sent.items():
            self._count_sent(name, count)

    def refused(self, refused: Refused) -> None:
        """See `Observer`."""
        self._tally.refuse(refused)

    def unheard(self, unheard: Unheard) -> None:
        """See `Observer`."""
        self._tally.not_heard(unheard)

    def bridged(self, bridged: Bridged) -> None:
        """See `Observer`."""
        step, place, count = bridged.step, bridged.place, len(bridged.messages)
        error = None if bridged.error is None else type(bridged.error).__qualname__
        self._operations.record(bridged.seconds, _of_bridge(step, place, error))
        if bridged.refused and error is None:
            self._passed[step, place, names.UNCONFIRMED] += bridged.refused
            count -= bridged.refused
        if count and (step == "send" or error is None):
            self._passed[step, place, error] += count

    # --- instruments --------------------------------------------------------------------------------------------------

    def _count_sent(self, name: str, count: int) -> None:
        self._sent[name if name in self._sent or len(self._sent) < MOST_TYPES else OTHER] += count

    def _recorder(self, fact: Fact, labels: tuple[str, ...]) -> _Recorder:
        if fact not in self._histograms:
            self._histograms[fact] = self._histogram(_name(fact), fact.unit, fact.text, _bounds(fact))
        return _Recorder(self._histograms[fact], _of_histogram(fact, labels))

    def _series(self, fact: Fact, labels: tuple[str, ...]) -> Series:
        return Series(_bounds(fact), _of_histogram(fact, labels))

    def _histogram(self, name: str, unit: str, text: str, bounds: Sequence[float]) -> Histogram:
        return self._meter.create_histogram(name, unit, text, explicit_bucket_boundaries_advisory=bounds)

    def _counters(self) -> None:
        for fact, samples in COUNTED.items():
            self._meter.create_observable_counter(
                fact.name,
                [_callback(partial(self._observe_counted, fact, samples))],
                fact.unit,
                fact.text,
            )
        for name, text, observed in (
            (names.SENT, "Messages that were sent, to the store or by a bridge to a broker.", self._observe_sent),
            (names.CONSUMED, "Messages that handlers got, or a bridge from a broker.", self._observe_consumed),
        ):
            self._meter.create_observable_counter(name, [_callback(observed)], "{message}", text)

    def _observe_counted(
        self, fact: Fact, samples: Callable[[Counted, Iterable[str]], Samples]
    ) -> Iterable[Observation]:
        return _observed(fact, samples(self._tally, ()))

    def _observe_sent(self) -> Iterable[Observation]:
        for name, count in self._sent.copy().items():
            yield Observation(count, {**names.CREATED, names.DESTINATION: name})
        yield from self._observe_passed("send")

    def _observe_consumed(self) -> Iterable[Observation]:
        for (subscription, name), found in self._tally.results().items():
            attributes = {names.DESTINATION: name, names.SUBSCRIPTION: subscription}
            yield Observation(sum(found.values()), {**names.PROCESSED, **attributes})
        yield from self._observe_passed("receive")

    def _observe_passed(self, step: str) -> Iterable[Observation]:
        for (its, place, error), count in self._passed.copy().items():
            if its == step:
                yield Observation(count, _of_bridge(step, place, error))

    def _gauges(self) -> None:
        def of_health(fact: Fact) -> Iterable[Observation]:
            health = self._fresh().health
            return () if health is None else _observed(fact, OF_HEALTH[fact](health))

        def of_store(fact: Fact) -> Iterable[Observation]:
            look = self._fresh()
            if fact is OLDEST_TRANSACTION:
                age = look.oldest_transaction
                return _observed(fact, [] if age is None else [((), age.total_seconds())])
            if fact is not STORE_UP:
                return _observed(fact, OF_STORE[fact](look.waiting or ()))
            return _observed(fact, [((), int(look.waiting is not None))] if look.has_looked else ())

        for observed, facts in ((of_health, OF_HEALTH), (of_store, (STORE_UP, OLDEST_TRANSACTION, *OF_STORE))):
            for fact in facts:
                self._meter.create_observable_gauge(
                    fact.name, [_callback(partial(observed, fact))], fact.unit, fact.text
                )

    def _fresh(self) -> Look:
        """A look that is not old, unless the loop does not answer; or else the last one."""
        now = time.monotonic()
        is_old = self._asked is None or now - self._asked >= FRESH
        # In the loop's own thread, to wait for the look would be to wait for ever.
        if self._bus is None or not is_old or threading.get_ident() == self._thread or not self._loop.is_running():
            return self._look
        looking = self._look.at(self._bus)
        try:
            asked = asyncio.run_coroutine_threadsafe(looking, self._loop)
        except RuntimeError:  # the loop was closed a moment ago
            looking.close()
            return self._look
        with suppress(Exception):
            asked.result(PATIENCE + 1.0)
        asked.cancel()
        self._asked = time.monotonic()
        return self._look


def _name(fact: Fact) -> str:
    return names.PROCESS_DURATION if fact is RUN_DURATION else fact.name


def _bounds(fact: Fact) -> Sequence[float]:
    return names.DURATIONS if fact is RUN_DURATION else fact.bounds


def _of_histogram(fact: Fact, labels: Sequence[str]) -> dict[str, str]:
    attributes = _attributes(fact, labels)
    return {**names.PROCESSED, **attributes} if fact is RUN_DURATION else attributes


def _gathered(tally: Tally[Series]) -> Iterable[Gathered]:
    """Read in the thread that exports."""
    return [Gathered(_name(fact), fact.unit, fact.text, [*tally.durations(fact).values()]) for fact in HISTOGRAMS]


def _callback(observed: Callable[[], Iterable[Observation]]) -> _Callback:
    return lambda options: observed()


def _observed(fact: Fact, samples: Samples) -> Iterable[Observation]:
    return [Observation(value, _attributes(fact, labels)) for labels, value in samples]


def _attributes(fact: Fact, labels: Sequence[str]) -> dict[str, str]:
    """An empty label says nothing, and Prometheus alone must have it."""
    return {names.LABELS[label]: value for label, value in zip(fact.labels, labels, strict=True) if value}


def _of_bridge(step: str, place: str, error: str | None) -> dict[str, str]:
    found = {names.SYSTEM: names.OURS, names.OPERATION: step, names.TYPE: step, names.BROKER: place}
    return found if error is None else {**found, names.ERROR: error}
