"""The header of a trace is read and written as the propagators of OpenTelemetry do it."""

from collections.abc import Iterator

import pytest
from opentelemetry import baggage, propagate, trace
from opentelemetry import context as contexts
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sagabus.telemetry.trace_context import Headers, Remote

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The propagators of the process."""
    before = propagate.get_global_textmap()
    yield
    propagate.set_global_textmap(before)


class Shouting(TextMapPropagator):
    """A propagator of the application's, with a header of its own."""

    def extract(
        self,
        carrier: CarrierT,
        context: contexts.Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> contexts.Context:
        return contexts.set_value("heard", getter.get(carrier, "x-shout"), context)

    def inject(
        self,
        carrier: CarrierT,
        context: contexts.Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        setter.set(carrier, "x-shout", "yes")

    @property
    def fields(self) -> set[str]:
        return {"x-shout"}


def place(flags: int = 1, state: TraceState | None = None) -> SpanContext:
    return SpanContext(int(TRACE, 16), int(SPAN, 16), is_remote=False, trace_flags=TraceFlags(flags), trace_state=state)


def told(context: contexts.Context) -> tuple[object, ...]:
    """All that a context says."""
    span = trace.get_current_span(context).get_span_context()
    return (*span, sorted(span.trace_state.items()), dict(baggage.get_all(context)))


@pytest.mark.parametrize(
    "parent",
    [
        f"00-{TRACE}-{SPAN}-00",
        f"00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-03",
        f"00-{TRACE}-{SPAN}-ff",
        f"01-{TRACE}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f" 00-{TRACE}-{SPAN}-01\t",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE[1:]}\u0661-{SPAN}-01",
        "x" * 600,
        "",
    ],
)
@pytest.mark.parametrize(
    "others", [{}, {"tracestate": "shop=1"}, {"baggage": "customer=C1"}, {"x": "y"}, {"tracestate": ""}]
)
def test_it_reads_what_the_propagators_read(parent: str, others: dict[str, str]) -> None:
    headers = {"traceparent": parent} | others

    assert told(Headers().read(headers)) == told(propagate.extract(headers, contexts.Context()))


@pytest.mark.parametrize(
    "context",
    [
        contexts.Context(),
        contexts.Context({"other": "value"}),
        trace.set_span_in_context(NonRecordingSpan(place()), contexts.Context()),
        trace.set_span_in_context(NonRecordingSpan(place(0)), contexts.Context()),
        trace.set_span_in_context(NonRecordingSpan(place(3)), contexts.Context()),
        trace.set_span_in_context(NonRecordingSpan(place(1, TraceState([("shop", "1")]))), contexts.Context()),
        trace.set_span_in_context(trace.INVALID_SPAN, contexts.Context()),
        trace.set_span_in_context(NonRecordingSpan(SpanContext(0, 5, is_remote=False)), contexts.Context()),
        baggage.set_baggage("customer", "C1", trace.set_span_in_context(NonRecordingSpan(place()), contexts.Context())),
        Headers().read({"traceparent": f"00-{TRACE}-{SPAN}-02"}),
        baggage.set_baggage("customer", "C1", Headers().read({"traceparent": f"00-{TRACE}-{SPAN}-00"})),
    ],
)
def test_it_writes_what_the_propagators_write(context: contexts.Context) -> None:
    ours, theirs = dict[str, str](), dict[str, str]()

    Headers().write(ours, context)
    propagate.inject(theirs, context)

    assert ours == theirs


def test_the_header_of_the_w3c_needs_no_propagator(monkeypatch: pytest.MonkeyPatch) -> None:
    headers, written = Headers(), dict[str, str]()
    monkeypatch.setattr(propagate, "extract", None)
    monkeypatch.setattr(propagate, "inject", None)

    found = headers.read({"traceparent": f"00-{TRACE}-{SPAN}-00"})
    headers.write(written, found)

    assert isinstance(trace.get_current_span(found), Remote)
    assert written == {"traceparent": f"00-{TRACE}-{SPAN}-00"}


@pytest.mark.parametrize(
    "propagators",
    [
        Shouting(),
        CompositePropagator([Shouting()]),
        CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator(), Shouting()]),
        CompositePropagator([]),
        TraceContextTextMapPropagator(),
    ],
)
def test_other_propagators_are_asked_from_the_moment_they_are_set(propagators: TextMapPropagator) -> None:
    headers, given = Headers(), {"traceparent": f"00-{TRACE}-{SPAN}-00", "x-shout": "no"}
    before = headers.read(given)
    propagate.set_global_textmap(propagators)
    ours, theirs = dict[str, str](), dict[str, str]()

    found, expected = headers.read(given), propagate.extract(given, contexts.Context())
    headers.write(ours, before)
    propagate.inject(theirs, before)

    assert (told(found), found.get("heard")) == (told(expected), expected.get("heard"))
    assert ours == theirs
