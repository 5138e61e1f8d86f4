"""The header of a trace is read and written as the propagators of OpenTelemetry do it."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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


def almost(text: str) -> st.SearchStrategy[str]:
    """A text, or one that differs from it in a few places, as headers of strangers do."""
    alien = st.text(max_size=3) | st.sampled_from(["", " ", "\t", "\n", "-", ",", "=", ";", "%", "\u0661", "\uff10"])
    cuts = st.lists(st.tuples(st.integers(0, len(text)), st.integers(0, 3), alien), max_size=3)

    def changed(places: list[tuple[int, int, str]]) -> str:
        found = text
        for at, width, new in places:
            found = found[:at] + new + found[at + width :]
        return found

    return cuts.map(changed)


def hexes(*, at_least: int, at_most: int | None = None) -> st.SearchStrategy[str]:
    return st.text("0123456789abcdef", min_size=at_least, max_size=at_most or at_least)


parts = {
    "version": (st.just("00"), st.sampled_from(["01", "cc", "ff", "0", "0g", "000"]) | hexes(at_least=2)),
    "trace": (hexes(at_least=32), st.sampled_from(["0" * 32, TRACE.upper()]) | hexes(at_least=31, at_most=33)),
    "span": (hexes(at_least=16), st.sampled_from(["0" * 16, SPAN.upper()]) | hexes(at_least=15, at_most=17)),
    "flags": (hexes(at_least=2), st.text("0123456789abcdefAF\u0661", max_size=3)),
    "end": (st.just(""), st.sampled_from(["-", "-more", " ", "\n", "\0", "0"])),
}
"""Of the header: as it should be, and as it may be instead."""


@st.composite
def parents(draw: st.DrawFn) -> str:
    """A header with at most one part that is wrong."""
    wrong = draw(st.sampled_from([None, *parts]))
    version, trace_id, span, flags, end = (draw(parts[name][name == wrong]) for name in parts)
    return f"{version}-{trace_id}-{span}-{flags}{end}"


states = (
    almost("shop=1,other@vendor=a:b , x=y")
    | st.just("shop=1")
    | almost(",".join(f"k{n}=v" for n in range(33)))
    | st.text()
)
baggages = almost("customer=C1;how=sure,shop=a%20b , x=%ff") | st.text()
parent = {"traceparent": parents() | almost(f"00-{TRACE}-{SPAN}-01") | st.text()}
others = {"tracestate": states, "baggage": baggages, "x": st.text()}


@settings(max_examples=500)
@given(st.fixed_dictionaries(parent, optional=others) | st.fixed_dictionaries(parent) | st.fixed_dictionaries(others))
def test_it_reads_what_the_propagators_read_of_all_headers_there_are(headers: dict[str, str]) -> None:
    found, expected = Headers().read(headers), propagate.extract(headers, contexts.Context())
    ours, theirs = dict[str, str](), dict[str, str]()
    Headers().write(ours, found)
    propagate.inject(theirs, expected)

    assert told(found) == told(expected)
    assert ours == theirs  # what is passed on


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
