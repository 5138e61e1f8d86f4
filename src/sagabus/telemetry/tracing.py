"""Traces for OpenTelemetry: `Bus(..., observers=[Tracing()])`.

Each message that is sent gets a create span, and each run a process span. Their context travels in the headers of
stored messages and timers, and so through stores, schedules and brokers. A process span is linked to the message's
creation, as the conventions want it; with `parent=True` it is its child.

Which conversations are traced is decided once, by their correlation id. Of all others nothing is made.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import TypeAlias, cast
from zlib import crc32

from sagabus.clock import Clock, SystemClock
from sagabus.context import Context
from sagabus.envelope import Envelope
from sagabus.errors import ConfigurationError
from sagabus.observer import Bridged, Commit, Departure, Observer
from sagabus.telemetry import conventions as names
from sagabus.text import printable

try:
    from opentelemetry import context as contexts
    from opentelemetry import trace
    from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, TracerProvider

    from sagabus.telemetry.trace_context import SPAN, Headers, Remote
except ImportError as error:
    raise ConfigurationError(f"traces need the API of OpenTelemetry: pip install 'sagabus[otel]' ({error})") from error

__all__ = ["Tracing"]

_Value: TypeAlias = str | int
_ALL = 1 << 32
_MOST_RUNS = 10_000
"""Messages whose runs wait for their commit; the oldest are forgotten."""
_MOST_LINKS = 128
_message_id = attrgetter("message_id")


class Tracing(Observer):
    """Makes the spans of one bus.

    `provider`: the global one by default. `sample`: which share of the conversations to trace, from 0 to 1; one that a
    traced caller began is always traced. `keys=False` leaves the keys of messages out of the spans. ConfigurationError
    for a share that is none.
    """

    def __init__(
        self,
        provider: TracerProvider | None = None,
        *,
        parent: bool = False,
        sample: float = 1.0,
        keys: bool = True,
        clock: Clock | None = None,
    ) -> None:
        if not 0 <= sample <= 1:
            raise ConfigurationError(f"Tracing(sample=...) takes a share from 0 to 1, not {sample!r}")
        self._tracer = trace.get_tracer("sagabus", tracer_provider=provider)
        self._parent, self._keys, self._below = parent, keys, int(sample * _ALL)
        self._clock = clock or SystemClock()
        self._headers = Headers()
        self._runs: OrderedDict[str, dict[str, SpanContext]] = OrderedDict()
        """Spans of runs that wait for their commit, by the id of their message and by subscription."""

    # --- see `Observer` -----------------------------------------------------------------------------------------------

    def watches(self, envelope: Envelope) -> bool:
        """See `Observer`: whether the conversation is chosen, or was begun by one that may be traced."""
        if envelope.headers is not None:
            return True
        if crc32((envelope.correlation_id or envelope.message_id).encode()) < self._below:
            return True
        return bool(contexts.get_current())

    def departing(self, departure: Departure) -> None:
        """See `Observer`."""
        here = contexts.get_current()
        if not here:
            if crc32(departure.correlation_id.encode()) >= self._below:
                return
        elif type(here.get(SPAN)) is Remote:  # a run of a conversation that is not traced
            self._headers.write(departure.headers, here)
            return
        current = trace.get_current_span(here)
        if not current.get_span_context().is_valid:
            if departure.timer is not None or not self._is_chosen(departure.correlation_id):
                return
        elif departure.timer is not None or not current.is_recording():
            self._headers.write(departure.headers, here)
            return
        span = self._tracer.start_span(
            f"create {departure.message_type}", here, SpanKind.PRODUCER, attributes=_created(departure)
        )
        self._headers.write(departure.headers, trace.set_span_in_context(span, here))
        span.end()

    def enter(self, ctx: Context) -> object:
        """See `Observer`."""
        if ctx.headers:
            found = self._headers.read(ctx.headers)
            span = found.get(SPAN)
            creation = (span if type(span) is Remote else trace.get_current_span(found)).get_span_context()
            if creation.is_valid:
                return self._continued(ctx, found, creation)
        if crc32(ctx.correlation_id.encode()) < self._below:
            return self._begun(ctx, contexts.Context(), ())
        if contexts.get_current():  # of the task that opened the bus: no part of this conversation
            contexts.attach(contexts.Context())
        return None

    def exit(self, entered: object, ctx: Context, error: BaseException | None) -> None:
        """See `Observer`."""
        if entered is None:
            return
        span = cast(Span, entered)
        if error is not None:
            # Its text may be personal, and is in the log.
            span.set_attribute(names.ERROR, type(error).__qualname__)
            span.set_status(Status(StatusCode.ERROR, type(error).__qualname__))
        elif (status := ctx.saga_status) is not None:
            span.set_attribute(names.STATUS_END, status)
        span.end()
        self._runs.setdefault(ctx.message_id, {})[ctx.subscription] = span.get_span_context()
        if len(self._runs) > _MOST_RUNS:
            self._runs.popitem(last=False)

    def committed(self, commit: Commit) -> None:
        """See `Observer`."""
        runs = self._runs
        if not runs:
            return
        envelopes = commit.envelopes
        # By id alone at first: of most messages, nothing is there, and a commit has thousands of them.
        here = [at for at, message_id in enumerate(map(_message_id, envelopes)) if message_id in runs]
        results = commit.results if here else ()
        links = [
            Link(found, {names.RESULT: results[at]})
            for at in here
            if (found := self._ended(envelopes[at].channel, envelopes[at].message_id)) is not None
        ]
        links += [
            Link(found, {names.VERDICT: lost.verdict})
            for lost in commit.lost
            if (found := self._ended(lost.subscription, lost.message_id)) is not None
        ]
        if links:
            size = len(envelopes) + len(commit.lost)
            attributes: dict[str, _Value] = {names.SYSTEM: names.OURS, names.BATCH: size}
            attributes[names.LOST] = len(commit.lost)
            self._past("flush", SpanKind.INTERNAL, links, attributes, commit.seconds)

    def bridged(self, bridged: Bridged) -> None:
        """See `Observer`."""
        links = [*self._links(message.headers for message in bridged.messages)]
        if not links:
            return
        attributes: dict[str, _Value] = {
            names.SYSTEM: names.OURS,
            names.OPERATION: bridged.step,
            names.TYPE: bridged.step,
            names.BROKER: bridged.place,
            names.BATCH: len(bridged.messages),
        }
        if len(types := {message.type for message in bridged.messages}) == 1:
            attributes[names.DESTINATION] = types.pop()
        if bridged.refused:
            attributes[names.REFUSED] = bridged.refused
        if bridged.error is not None:
            attributes[names.ERROR] = type(bridged.error).__qualname__
        name = f"{bridged.step} {bridged.place}"
        self._past(name, SpanKind.CLIENT, links, attributes, bridged.seconds, failed=bridged.error is not None)

    def _ended(self, subscription: str, message_id: str) -> SpanContext | None:
        """The span of a run that is committed or lost."""
        spans = self._runs.get(message_id)
        if spans is None:
            return None
        span = spans.pop(subscription, None)
        if not spans:
            del self._runs[message_id]
        return span

    # --- spans --------------------------------------------------------------------------------------------------------

    def _is_chosen(self, correlation_id: str) -> bool:
        """The same in every process, so that a conversation is traced as a whole or not at all."""
        return crc32(correlation_id.encode()) < self._below

    def _continued(self, ctx: Context, found: contexts.Context, creation: SpanContext) -> Span | None:
        if not creation.trace_flags.sampled:
            contexts.attach(found)  # the one that began it has decided; what the run sends says so, too
            return None
        if self._parent:
            return self._begun(ctx, found, ())
        return self._begun(ctx, trace.set_span_in_context(trace.INVALID_SPAN, found), [Link(creation)])

    def _begun(self, ctx: Context, within: contexts.Context, links: Sequence[Link]) -> Span | None:
        destination = ctx.message_type if ctx.timer is None else f"{ctx.subscription} {ctx.timer}"
        span = self._tracer.start_span(
            f"process {destination}",
            context=within,
            kind=SpanKind.CONSUMER,
            attributes=self._processed(ctx, destination),
            links=links,
        )
        contexts.attach(trace.set_span_in_context(span, within))
        return span if span.is_recording() else None  # a sampler may have refused it

    def _processed(self, ctx: Context, destination: str) -> dict[str, _Value]:
        found: dict[str, _Value] = {
            names.SYSTEM: names.OURS,
            names.OPERATION: "process",
            names.TYPE: "process",
            names.DESTINATION: destination,
            names.SUBSCRIPTION: ctx.subscription,
            names.MESSAGE_ID: ctx.message_id,
            names.CONVERSATION: ctx.correlation_id,
            names.ATTEMPT: ctx.attempt,
        }
        if ctx.saga is not None:
            found[names.SAGA] = ctx.saga
        if ctx.timer is not None:
            found[names.TIMER] = ctx.timer
        if (status := ctx.saga_status) is not None:
            found[names.STATUS_BEGIN] = status
        if self._keys and ctx.key is not None:
            found[names.KEY] = printable(ctx.key)
        return found

    def _links(self, carriers: Iterable[Mapping[str, str]]) -> Iterable[Link]:
        """The creations of those messages that are traced."""
        for headers in carriers:
            if headers:
                found = trace.get_current_span(self._headers.read(headers)).get_span_context()
                if found.is_valid and found.trace_flags.sampled:
                    yield Link(found)

    def _past(
        self,
        name: str,
        kind: SpanKind,
        links: Sequence[Link],
        attributes: dict[str, _Value],
        seconds: float,
        *,
        failed: bool = False,
    ) -> None:
        """A span of what has just ended, in a trace of its own."""
        end = self._clock.now() * 1_000
        span = self._tracer.start_span(
            name,
            context=contexts.Context(),
            kind=kind,
            attributes=attributes,
            links=links[:_MOST_LINKS],
            start_time=end - int(seconds * 1_000_000_000),
        )
        if failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end(end_time=end)


def _created(departure: Departure) -> dict[str, _Value]:
    return {
        names.SYSTEM: names.OURS,
        names.OPERATION: "create",
        names.TYPE: "create",
        names.DESTINATION: departure.message_type,
        names.MESSAGE_ID: departure.message_id,
        names.CONVERSATION: departure.correlation_id,
    }
