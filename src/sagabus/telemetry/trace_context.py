"""The context of a trace in the headers of a message, as the application's propagators write and read it.

With a sampler of the SDK, every message passes here, traced or not. So the one header of the W3C, `traceparent`, is
written and read without the propagators. That is done only where the default ones would do the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import cast

from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PARENT, _STATE, _BAGGAGE = "traceparent", "tracestate", "baggage"
_form = re.compile("00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})", re.ASCII).fullmatch
_FLAGS = {f"{flags:02x}": TraceFlags(flags) for flags in range(256)}
(SPAN,) = trace.set_span_in_context(trace.INVALID_SPAN, contexts.Context())
"""Under which name a context holds its span."""


class Remote(NonRecordingSpan):
    """A span of the process that sent a message, and the header that has said so."""

    def __init__(self, context: SpanContext, header: str) -> None:
        super().__init__(context)
        self.header = header


class Headers:
    """Of the messages of one bus. The propagators are the global ones, of whatever moment."""

    def __init__(self) -> None:
        self._propagators: TextMapPropagator | None = None
        self._are_default = False

    def read(self, headers: Mapping[str, str]) -> contexts.Context:
        """The context that a message has brought; an empty one without any."""
        if self._are_of_w3c() and not (_STATE in headers or _BAGGAGE in headers):
            found = _form(header := headers.get(_PARENT, ""))
            if found is not None:
                trace_id, span_id, flags = found.groups()
                place = SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=_FLAGS[flags])
                return contexts.Context({SPAN: Remote(place, header)})
        return propagate.extract(headers, contexts.Context())

    def write(self, headers: dict[str, str], context: contexts.Context) -> None:
        """Let a message bring that context."""
        if len(context) == 1 and self._are_of_w3c():
            span = context.get(SPAN)
            if type(span) is Remote:
                headers[_PARENT] = span.header
                return
            if isinstance(span, Span):
                place = span.get_span_context()
                if place.is_valid and not place.trace_state:
                    headers[_PARENT] = f"00-{place.trace_id:032x}-{place.span_id:016x}-{place.trace_flags:02x}"
                    return
        propagate.inject(headers, context)

    def _are_of_w3c(self) -> bool:
        propagators = propagate.get_global_textmap()
        if propagators is not self._propagators:
            self._propagators, self._are_default = propagators, _are_default(propagators)
        return self._are_default


def _are_default(propagators: TextMapPropagator) -> bool:
    # The API does not tell the parts of a composite. If it names them in another way one day, nothing is the default.
    parts: object = getattr(propagators, "_propagators", None) if type(propagators) is CompositePropagator else None
    if not isinstance(parts, list | tuple):
        return False
    return [*map(type, cast("Sequence[object]", parts))] == [TraceContextTextMapPropagator, W3CBaggagePropagator]
