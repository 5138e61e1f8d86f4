"""Each message has a create span and each run a process span, and their context travels as far as messages do."""

import asyncio
from datetime import timedelta
from typing import Any, Literal

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as contexts
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Decision, Sampler, SamplingResult
from opentelemetry.trace import SpanKind, StatusCode
from tests.scenarios.conftest import MakeHarness, until
from tests.scenarios.shop import Ended, Noted

from sagabus import Bus, ConfigurationError, Context, Envelope, Observer, RetryPolicy, Saga, handler, starts, timer
from sagabus.observer import Bridged
from sagabus.telemetry.tracing import Tracing
from sagabus.testing import Harness
from sagabus.transport import WireMessage
from sagabus.transports.memory import MemoryBroker, MemoryTransport

Names = dict[str, list[ReadableSpan]]


class Collected:
    """A provider of the application's, and what it collects."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider() if sampler is None else TracerProvider(sampler=sampler)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("tests")

    def spans(self) -> Names:
        found: Names = {}
        for span in self.exporter.get_finished_spans():
            found.setdefault(span.name, []).append(span)
        return found

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.spans()[name]
        return span


@pytest.fixture
def collected() -> Collected:
    return Collected()


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def linked(span: ReadableSpan) -> set[int]:
    return {link.context.span_id for link in span.links}


def identity(span: ReadableSpan) -> int:
    return span.get_span_context().span_id


def trace_of(span: ReadableSpan) -> int:
    return span.get_span_context().trace_id


class Orders(Saga, name="orders", key="key"):
    key: str
    status: Literal["new", "old"] = "new"

    @starts
    def noted(self, message: Noted, ctx: Context) -> None:
        ctx.set_timer("tick", after=timedelta(minutes=1))
        ctx.publish(Ended(key=self.key))

    @timer("tick")
    def tick(self, ctx: Context) -> None:
        self.status = "old"
        ctx.complete()


@handler("ends", key="key", retry=RetryPolicy(attempts=1))
async def ends(message: Ended) -> None:
    await asyncio.sleep(0)
    if message.key == "bad":
        raise ValueError("the card 4111 was refused")


async def test_creations_are_linked_from_runs_by_the_conventions(harness: MakeHarness, collected: Collected) -> None:
    async with harness(Orders, ends, observers=[Tracing(collected.provider)]) as bus:
        await bus.publish(Noted(key="A"), message_id="m1", correlation_id="c1")
        await bus.advance(timedelta(minutes=1))

    created, process = collected.one("create shop.noted"), collected.one("process shop.noted")
    sent, ended = collected.one("create shop.ended"), collected.one("process shop.ended")
    tick = collected.one("process orders tick")
    assert (created.kind, process.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert (linked(process), process.parent) == ({identity(created)}, None)
    assert sent.parent is not None
    assert sent.parent.span_id == identity(process)
    assert linked(ended) == {identity(sent)}
    assert linked(tick) == {identity(process)}, "a timer carries the context of the run that set it"
    assert attributes(process) == {
        "messaging.system": "sagabus",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "shop.noted",
        "messaging.destination.subscription.name": "orders",
        "messaging.message.id": "m1",
        "messaging.message.conversation_id": "c1",
        "sagabus.attempt": 1,
        "sagabus.saga": "orders",
        "sagabus.key": "A",
        "sagabus.saga.status.begin": "new",
        "sagabus.saga.status.end": "new",
    }
    assert attributes(tick)["sagabus.timer"] == "tick"
    assert attributes(tick)["sagabus.saga.status.end"] == "old"
    assert attributes(created)["messaging.operation.type"] == "create"


async def test_with_parent_a_conversation_is_one_trace(harness: MakeHarness, collected: Collected) -> None:
    async with harness(Orders, ends, observers=[Tracing(collected.provider, parent=True)]) as bus:
        await bus.publish(Noted(key="A"))
        await bus.advance(timedelta(minutes=1))

    spans = [each for name, found in collected.spans().items() if name != "flush" for each in found]
    assert len({trace_of(span) for span in spans}) == 1
    assert {span.name for span in spans} == {
        *("create shop.noted", "process shop.noted", "create shop.ended", "process shop.ended"),
        "process orders tick",
    }
    process = collected.one("process shop.noted")
    assert process.parent is not None
    assert process.parent.span_id == identity(collected.one("create shop.noted"))
    assert not process.links


async def test_a_flush_is_one_span_with_a_link_to_each_run(harness: MakeHarness, collected: Collected) -> None:
    async with harness(Orders, ends, observers=[Tracing(collected.provider)]) as bus:
        for key in "ABC":
            await bus.publish(Noted(key=key))
        await bus.idle()

    runs = {identity(span): span for name, found in collected.spans().items() if "process" in name for span in found}
    flushes = collected.spans()["flush"]
    assert sum(len(span.links) for span in flushes) == len(runs) == 6
    assert set().union(*map(linked, flushes)) == set(runs)
    assert {link.attributes["sagabus.result"] for span in flushes for link in span.links if link.attributes} == {
        "completed"
    }
    assert all(span.kind is SpanKind.INTERNAL and span.parent is None for span in flushes)
    assert all((span.start_time or 0) <= (span.end_time or 0) for span in flushes)


async def test_a_run_that_fails_says_its_error_and_not_its_text(harness: MakeHarness, collected: Collected) -> None:
    async with harness(ends, observers=[Tracing(collected.provider)]) as bus:
        await bus.publish(Ended(key="bad"))

    span = collected.one("process shop.ended")
    assert span.status.status_code is StatusCode.ERROR
    assert attributes(span)["error.type"] == "ValueError"
    assert "4111" not in span.to_json()
    (flush,) = collected.spans()["flush"]
    assert flush.links[0].attributes == {"sagabus.result": "dead-lettered"}


async def test_keys_may_be_left_out(collected: Collected) -> None:
    async with Harness(Orders, ends, observers=[Tracing(collected.provider, keys=False)]) as bus:
        await bus.publish(Noted(key="somebody@example.org"))

    assert not any("example.org" in span.to_json() for found in collected.spans().values() for span in found)


async def test_spans_of_the_handler_are_within_its_run(collected: Collected) -> None:
    @handler("threaded", thread=True)
    def threaded(message: Noted) -> None:
        with collected.tracer.start_as_current_span("query"):
            pass

    @handler("waits")
    async def waits(message: Ended) -> None:
        await asyncio.sleep(0)
        with collected.tracer.start_as_current_span("call"):
            pass

    async with Harness(threaded, waits, observers=[Tracing(collected.provider)]) as bus:
        await bus.publish(Noted(key="A"))
        await bus.publish(Ended(key="A"))

    for inner, outer in (("query", "process shop.noted"), ("call", "process shop.ended")):
        span = collected.one(inner)
        assert span.parent is not None
        assert span.parent.span_id == identity(collected.one(outer))
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_a_publisher_that_is_traced_is_continued_with_its_baggage(
    harness: MakeHarness, collected: Collected
) -> None:
    seen = list[object]()

    @handler("notes")
    def notes(message: Noted) -> None:
        seen.append(baggage.get_baggage("customer"))

    async with harness(notes, observers=[Tracing(collected.provider, parent=True, sample=0)]) as bus:
        with collected.tracer.start_as_current_span("request"):
            token = contexts.attach(baggage.set_baggage("customer", "C1"))
            await bus.publish(Noted(key="A"))
            contexts.detach(token)
        await bus.publish(Noted(key="B"))
        await bus.idle()

    request, process = collected.one("request"), collected.one("process shop.noted")
    assert trace_of(process) == trace_of(request)
    assert seen == ["C1", None]


async def test_a_caller_that_is_not_sampled_has_decided_for_all(harness: MakeHarness) -> None:
    quiet, collected, flags = Collected(ALWAYS_OFF), Collected(), list[bool]()

    @handler("ends")
    def noting(message: Ended, ctx: Context) -> None:
        flags.append(int(ctx.headers["traceparent"][-2:], 16) % 2 == 0)

    async with harness(Orders, noting, observers=[Tracing(collected.provider)]) as bus:
        with quiet.tracer.start_as_current_span("request"):
            await bus.publish(Noted(key="A"))
        await bus.idle()

    assert collected.spans() == {}
    assert flags == [True]


async def test_what_a_sampler_refuses_is_refused_for_the_whole_conversation(harness: MakeHarness) -> None:
    quiet, seen, traces = Collected(ALWAYS_OFF), list[tuple[str, str]](), set[int]()

    @handler("ends")
    def noting(message: Ended, ctx: Context) -> None:
        here = trace.get_current_span().get_span_context()
        with quiet.tracer.start_as_current_span("inner") as inner:
            traces.add(inner.get_span_context().trace_id)
        traces.add(here.trace_id)
        seen.append((ctx.headers["traceparent"], f"00-{here.trace_id:032x}-{here.span_id:016x}-{here.trace_flags:02x}"))

    async with harness(Orders, noting, observers=[Tracing(quiet.provider)]) as bus:
        await bus.publish(Noted(key="A"))
        await bus.idle()

    assert quiet.spans() == {}
    ((header, current),) = seen
    assert header == current, "user code and what it sends are in the context that the message has brought"
    assert len(traces) == 1


async def test_a_run_that_a_sampler_refuses_is_in_no_flush(harness: MakeHarness) -> None:
    class NoRuns(Sampler):
        def should_sample(self, parent_context: Any, trace_id: int, name: str, *_: Any, **__: Any) -> SamplingResult:
            return SamplingResult(Decision.DROP if name.startswith("process") else Decision.RECORD_AND_SAMPLE)

        def get_description(self) -> str:
            return "no runs"

    collected = Collected(NoRuns())
    async with harness(ends, observers=[Tracing(collected.provider)]) as bus:
        await bus.publish(Ended(key="A"))
        await bus.idle()

    assert set(collected.spans()) == {"create shop.ended"}


async def test_an_event_is_linked_once_for_each_subscription(harness: MakeHarness, collected: Collected) -> None:
    @handler("notes")
    def notes(message: Ended) -> None:
        pass

    tracing = Tracing(collected.provider)
    async with harness(ends, notes, observers=[tracing]) as bus:
        await bus.publish(Ended(key="A"))
        await bus.idle()

    runs = {identity(span) for span in collected.spans()["process shop.ended"]}
    links = [link.context.span_id for span in collected.spans()["flush"] for link in span.links]
    assert len(runs) == 2
    assert sorted(links) == sorted(runs)
    assert not tracing._runs


def chosen(share: float) -> tuple[str, str]:
    """A correlation id that is traced, and one that is not."""
    tracing = Tracing(Collected().provider, sample=share)
    ids = [f"c{number}" for number in range(1000)]
    found = {tracing.watches(Envelope("m", "t", b"", correlation_id=each)): each for each in ids}
    return found[True], found[False]


async def test_a_share_of_the_conversations_is_traced_and_of_the_others_nothing_is_made(
    harness: MakeHarness, collected: Collected
) -> None:
    traced, quiet = chosen(0.1)
    headers = dict[str, bool]()

    @handler("ends")
    def noting(message: Ended, ctx: Context) -> None:
        headers[ctx.correlation_id] = "traceparent" in ctx.headers

    async with harness(Orders, noting, observers=[Tracing(collected.provider, sample=0.1)]) as bus:
        await bus.publish(Noted(key="A"), correlation_id=traced)
        await bus.publish(Noted(key="B"), correlation_id=quiet)
        await bus.advance(timedelta(minutes=1))

    conversations = [
        attributes(span)["messaging.message.conversation_id"]
        for name, found in collected.spans().items()
        if name != "flush"
        for span in found
    ]
    assert set(conversations) == {traced}
    assert len(conversations) == 5
    assert headers == {traced: True, quiet: False}


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_the_share_is_kept(share: float) -> None:
    tracing = Tracing(Collected().provider, sample=share)

    found = sum(tracing.watches(Envelope("m", "t", b"", correlation_id=f"id-{number}")) for number in range(20_000))

    assert found / 20_000 == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_what_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(ConfigurationError, match="takes a share from 0 to 1"):
        Tracing(sample=share)


async def test_a_span_around_the_opening_of_the_bus_is_no_part_of_conversations(collected: Collected) -> None:
    @handler("notes")
    def notes(message: Noted) -> None:
        with collected.tracer.start_as_current_span("inner"):
            pass

    with collected.tracer.start_as_current_span("startup"):
        bus = Harness(notes, observers=[Tracing(collected.provider, sample=0)])
        await bus.__aenter__()
    await bus.publish(Noted(key="A"))
    await bus.__aexit__(None, None, None)

    assert collected.one("inner").parent is None


async def test_other_observers_hear_every_run_whatever_is_traced(collected: Collected) -> None:
    entered = list[str]()

    class All(Observer):
        def enter(self, ctx: Context) -> object:
            entered.append(ctx.key or "")
            return None

    async with Harness(Orders, ends, observers=[Tracing(collected.provider, sample=0), All()]) as bus:
        for key in "AB":
            await bus.publish(Noted(key=key))

    assert sorted(entered) == ["A", "A", "B", "B"]
    assert collected.spans() == {}


async def test_a_trace_passes_from_service_to_service(collected: Collected) -> None:
    broker = MemoryBroker()

    @handler("notes")
    def notes(message: Noted, ctx: Context) -> None:
        ctx.publish(Ended(key=message.key))

    tracing = {name: Tracing(collected.provider, parent=True) for name in ("shop", "books")}
    shop = Bus("memory:", notes, transport=MemoryTransport(broker), service="shop", observers=[tracing["shop"]])
    books = Bus("memory:", ends, transport=MemoryTransport(broker), service="books", observers=[tracing["books"]])
    async with books, shop:
        await shop.publish(Noted(key="A"))
        await until(lambda: "process shop.ended" in collected.spans() and "settle memory://" in collected.spans())

    created, process = collected.one("create shop.ended"), collected.one("process shop.ended")
    send, receive = sent_with(collected, created), collected.one("receive memory://")
    settle = collected.one("settle memory://")
    assert trace_of(process) == trace_of(created)
    assert process.parent is not None
    assert process.parent.span_id == identity(created)
    assert identity(created) in linked(receive) & linked(settle)
    assert {send.kind, receive.kind, settle.kind} == {SpanKind.CLIENT}
    assert attributes(send)["messaging.operation.type"] == "send"
    assert attributes(send)["messaging.batch.message_count"] >= 1
    assert attributes(receive)["messaging.destination.name"] == "shop.ended"


def test_a_batch_has_a_destination_if_all_of_it_has_the_same(collected: Collected) -> None:
    tracing = Tracing(collected.provider)
    traced = {"traceparent": f"00-{1:032x}-{1:016x}-01"}

    for types in (("shop.ended", "shop.ended"), ("shop.ended", "shop.noted")):
        messages = [WireMessage(id="m", source="shop", type=name, body=b"", headers=traced) for name in types]
        tracing.bridged(Bridged(step="send", place="broker", messages=messages, seconds=0.0))

    found = [attributes(span).get("messaging.destination.name") for span in collected.spans()["send broker"]]
    assert found == ["shop.ended", None]


def sent_with(collected: Collected, created: ReadableSpan) -> ReadableSpan:
    (span,) = [span for span in collected.spans()["send memory://"] if identity(created) in linked(span)]
    return span


async def test_runs_that_never_commit_are_forgotten(collected: Collected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sagabus.telemetry.tracing._MOST_RUNS", 3)
    tracing = Tracing(collected.provider)
    outbound: Any = None  # it sends nothing
    for number in range(10):
        ctx = Context(Envelope(f"m{number}", "t", b"{}", "c"), outbound, 0)
        tracing.exit(tracing.enter(ctx), ctx, None)

    assert len(tracing._runs) == 3
