"""A receiver of OTLP over HTTP, as a collector is one: exporters of the SDK send it what they would send there."""

from __future__ import annotations

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Point(NamedTuple):
    """One value of a counter or gauge, or the number and the sum of a histogram's values."""

    attributes: dict[str, str]
    value: float
    count: int


class Receiver:
    """Listens while the block lasts."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.metrics: dict[str, Metric] = {}
        """The last that came of each name."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.take(self.path, gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take(self, path: str, body: bytes) -> None:
        """One export."""
        if path == "/v1/traces":
            traces = ExportTraceServiceRequest.FromString(body)
            self.spans += [span for each in traces.resource_spans for scope in each.scope_spans for span in scope.spans]
        else:
            assert path == "/v1/metrics"
            found = ExportMetricsServiceRequest.FromString(body)
            scopes = [scope for each in found.resource_metrics for scope in each.scope_metrics]
            self.metrics |= {metric.name: metric for scope in scopes for metric in scope.metrics}

    def points(self, name: str) -> list[Point]:
        """What came of one metric."""
        metric = self.metrics.get(name)
        if metric is None:
            return []
        data: Any = getattr(metric, metric.WhichOneof("data") or "")
        return [Point(texts(each.attributes), *_value(each)) for each in data.data_points]

    def value(self, name: str, **attributes: str) -> float:
        """Of the one point that has these attributes, whose dots are written as `__`."""
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}
        (point,) = [each for each in self.points(name) if wanted.items() <= each.attributes.items()]
        return point.value


def texts(attributes: Any) -> dict[str, str]:
    """Attributes, all of which are texts."""
    return {each.key: each.value.string_value for each in attributes}


def _value(point: Any) -> tuple[float, int]:
    if hasattr(point, "bucket_counts"):
        return point.sum, point.count
    return (point.as_int if point.WhichOneof("value") == "as_int" else point.as_double), 1
