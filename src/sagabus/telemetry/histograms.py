"""Histograms for OpenTelemetry that are gathered here and leave with what the SDK exports.

The SDK takes each value of a histogram by itself, which costs more than many handlers. So with this exporter around
yours, `Metering` gathers them as for Prometheus, and they are added to each export.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from sagabus.clock import Clock, SystemClock
from sagabus.errors import ConfigurationError
from sagabus.telemetry.series import Gathered, Series

try:
    from opentelemetry.sdk.metrics import Histogram as Instrument
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        Histogram,
        HistogramDataPoint,
        Metric,
        MetricExporter,
        MetricExportResult,
        MetricsData,
        ResourceMetrics,
        ScopeMetrics,
    )
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
except ImportError as error:
    raise ConfigurationError(
        f"an exporter needs the SDK of OpenTelemetry: pip install opentelemetry-sdk ({error})"
    ) from error

__all__ = ["HistogramExporter"]

_SCOPE = "sagabus"


class HistogramExporter(MetricExporter):
    """Exports with `exporter`, and with each export the histograms of the `Metering` that was given this one."""

    def __init__(self, exporter: MetricExporter, *, clock: Clock | None = None) -> None:
        temporality: dict[type, AggregationTemporality] = getattr(exporter, "_preferred_temporality", None) or {}
        super().__init__(temporality, getattr(exporter, "_preferred_aggregation", None))
        self._exporter: Any = exporter
        self._is_delta = temporality.get(Instrument) is AggregationTemporality.DELTA
        self._source: Callable[[], Iterable[Gathered]] | None = None
        self._clock = clock or SystemClock()
        self._begin = self._clock.now() * 1_000
        self._last: dict[tuple[str, frozenset[tuple[str, str]]], Series] = {}

    def reads(self, source: Callable[[], Iterable[Gathered]]) -> None:
        """Ask this function, in the thread that exports, for histograms to add. ValueError for a second one."""
        if self._source is not None:
            raise ValueError("one HistogramExporter takes one Metering, for equal series of two would collide")
        self._source = source

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """See `MetricExporter`."""
        if metrics_data.resource_metrics:
            metrics_data = self._with_ours(metrics_data)
        result: MetricExportResult = self._exporter.export(metrics_data, timeout_millis, **kwargs)
        return result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """See `MetricExporter`."""
        return bool(self._exporter.force_flush(timeout_millis))

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """See `MetricExporter`."""
        self._exporter.shutdown(timeout_millis, **kwargs)

    def _with_ours(self, data: MetricsData) -> MetricsData:
        now = self._clock.now() * 1_000
        found = [self._metric(each, now) for each in (self._source() if self._source else ())]
        ours = [each for each in found if each.data.data_points]
        if self._is_delta:
            self._begin = now
        first, *others = data.resource_metrics
        return replace(data, resource_metrics=[_extended(first, ours), *others])

    def _metric(self, gathered: Gathered, now: int) -> Metric:
        flat = [each for series in gathered.series for each in (series, *series.others.values())]
        points = [self._point(gathered.name, each, now) for each in flat if sum(each.classes)]
        kind = AggregationTemporality.DELTA if self._is_delta else AggregationTemporality.CUMULATIVE
        found = [each for each in points if each.count]
        return Metric(gathered.name, gathered.text, gathered.unit, Histogram(found, kind))

    def _point(self, name: str, series: Series, now: int) -> HistogramDataPoint:
        classes, total = series.classes, series.total
        # Optional in the protocol. Of an interval nothing but the sums is known.
        lowest: Any = None if self._is_delta else series.lowest
        highest: Any = None if self._is_delta else series.highest
        if self._is_delta:
            place = name, frozenset(series.attributes.items())
            last = self._last.get(place)
            self._last[place] = series
            if last is not None:
                classes = [new - old for new, old in zip(classes, last.classes, strict=True)]
                total -= last.total
        return HistogramDataPoint(
            attributes=series.attributes,
            start_time_unix_nano=self._begin,
            time_unix_nano=now,
            count=sum(classes),
            sum=total,
            bucket_counts=classes,
            explicit_bounds=series.bounds,
            min=lowest,
            max=highest,
        )


def _extended(resource: ResourceMetrics, ours: Sequence[Metric]) -> ResourceMetrics:
    scopes = [*resource.scope_metrics]
    for place, each in enumerate(scopes):
        if each.scope.name == _SCOPE:
            scopes[place] = replace(each, metrics=[*each.metrics, *ours])
            break
    else:
        scopes.append(ScopeMetrics(InstrumentationScope(_SCOPE), ours, ""))
    return replace(resource, scope_metrics=scopes)
