"""OpenTelemetry's own SDK exports the metrics of a bus, by the conventions where they have one, to a real receiver."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import Histogram as Instrument
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from tests.scenarios.conftest import MakeHarness, until
from tests.scenarios.shop import Ended, Noted
from tests.support.otlp import Receiver

from sagabus import Bus, Context, RetryPolicy, StoreUnavailable, handler
from sagabus.observer import Unheard
from sagabus.telemetry.conventions import LABELS, UNCONFIRMED
from sagabus.telemetry.facts import COUNTED, OF_HEALTH, OF_STORE, STORE_UP
from sagabus.telemetry.histograms import HistogramExporter
from sagabus.telemetry.metering import Metering
from sagabus.telemetry.tracing import Tracing
from sagabus.testing import Harness, ManualClock
from sagabus.transports.memory import MemoryBroker, MemoryTransport

TWICE = RetryPolicy(attempts=2)
SENT, CONSUMED = "messaging.client.sent.messages", "messaging.client.consumed.messages"
PROCESS, OPERATION = "messaging.process.duration", "messaging.client.operation.duration"


@handler("notes", key="key", retry=TWICE)
def notes(message: Noted, ctx: Context) -> None:
    ctx.publish(Ended(key=message.key))
    if message.number:
        raise ValueError("no such number")


@handler("ends")
def ends(message: Ended) -> None: ...


@handler("also")
def also(message: Ended) -> None: ...


DELTA: dict[type, AggregationTemporality] = {Instrument: AggregationTemporality.DELTA}


class Exported:
    """What an application brings: an SDK, and where it exports to."""

    def __init__(self, receiver: Receiver, *, gathers: bool = False, is_delta: bool = False) -> None:
        self.receiver = receiver
        own = OTLPMetricExporter(f"{receiver.url}/v1/metrics", preferred_temporality=DELTA if is_delta else None)
        self.histograms = HistogramExporter(own) if gathers else None
        reader = PeriodicExportingMetricReader(self.histograms or own, export_interval_millis=float("inf"))
        self.provider = MeterProvider([reader], shutdown_on_exit=False)

    def metering(self, **options: Any) -> Metering:
        return Metering(self.provider, histograms=self.histograms, **options)

    async def now(self) -> Receiver:
        """Everything as it is, exported by another thread, as by the reader's own."""
        await asyncio.to_thread(self.provider.force_flush)
        return self.receiver


@pytest.fixture(params=[False, True], ids=["by-the-sdk", "gathered"])
def exported(request: pytest.FixtureRequest) -> Iterator[Exported]:
    """Histograms leave by the SDK's own instruments, or gathered by us: it makes no difference to who receives them."""
    with Receiver() as receiver:
        exported = Exported(receiver, gathers=request.param)
        yield exported
        exported.provider.shutdown()


async def test_metrics_of_the_conventions_have_their_names_and_attributes(
    harness: MakeHarness, exported: Exported
) -> None:
    async with harness(notes, ends, also, observers=[exported.metering()]) as bus:
        await bus.publish(Noted(key="A"))
        await bus.publish(Noted(key="B", number=1))
        await bus.advance(timedelta(minutes=1))
        found = await exported.now()

    create = {"messaging.operation.name": "create", "messaging.operation.type": "create"}
    assert {point.attributes["messaging.destination.name"]: point.value for point in found.points(SENT)} == {
        "shop.noted": 2,
        "shop.ended": 1,
    }, "one for two receivers is one, and what a failed run sent never left"
    assert all(point.attributes.items() >= create.items() for point in found.points(SENT))
    process = {"messaging.operation.name": "process", "messaging.operation.type": "process"}
    consumed = {point.attributes["messaging.destination.subscription.name"]: point for point in found.points(CONSUMED)}
    assert {name: point.value for name, point in consumed.items()} == {"notes": 3, "ends": 1, "also": 1}
    assert consumed["notes"].attributes == {
        "messaging.system": "sagabus",
        **process,
        "messaging.destination.name": "shop.noted",
        "messaging.destination.subscription.name": "notes",
    }
    runs = {
        point.attributes.get("error.type"): point.count
        for point in found.points(PROCESS)
        if point.attributes["messaging.destination.subscription.name"] == "notes"
    }
    assert runs == {None: 1, "ValueError": 2}
    assert all(point.attributes.items() >= process.items() for point in found.points(PROCESS))
    units = {name: metric.unit for name, metric in found.metrics.items()}
    assert (units[SENT], units[CONSUMED], units[PROCESS]) == ("{message}", "{message}", "s")


async def test_facts_without_a_convention_are_those_of_prometheus(harness: MakeHarness, exported: Exported) -> None:
    metering = exported.metering()
    async with harness(notes, ends, observers=[metering]) as bus:
        metering.look_at(bus.bus)
        for _ in range(2):
            await bus.publish(Noted(key="A"), message_id="one")
        await bus.publish(Noted(key="B", number=1))
        await bus.advance(timedelta(minutes=1))
        await bus.publish(Noted(key="A"), delay=timedelta(hours=1))
        found = await exported.now()

    of = {"messaging__destination__subscription__name": "notes"}
    assert found.value("sagabus.failed_runs", **of) == 2
    assert found.value("sagabus.handled_messages", **of, sagabus__result="retried") == 1
    assert found.value("sagabus.dead_letters", **of, sagabus__cause="failed") == 1
    assert found.value("sagabus.refused_messages", **of, sagabus__answer="duplicate", sagabus__reaction="skip") == 1
    assert found.value("sagabus.flush_size") == 4
    assert found.value("sagabus.store_up") == 1
    assert found.value("sagabus.open_dead_letters", **of) == 1
    assert found.value("sagabus.backlog_messages", **of, sagabus__kind="scheduled") == 1
    assert found.value("sagabus.part_healthy", sagabus__part="worker") == 1
    # What nothing happened to has no points, and so does not leave.
    silent = {"sagabus.lost_runs", "sagabus.unheard_events", "sagabus.stuck_sagas", "sagabus.long_runs"}
    silent |= {"sagabus.orphan_timers", "sagabus.recent_dead_letters"}
    assert {fact.name for fact in (*COUNTED, *OF_HEALTH, *OF_STORE, STORE_UP)} - silent <= found.metrics.keys()


def test_every_label_has_an_attribute() -> None:
    assert {label for fact in (*COUNTED, *OF_HEALTH, *OF_STORE) for label in fact.labels} == LABELS.keys()


async def test_critical_time_is_that_from_sending_to_the_commit(exported: Exported) -> None:
    clock = ManualClock()

    @handler("slow")
    async def slow(message: Noted) -> None:
        clock.advance(timedelta(seconds=2))

    async with Harness(slow, observers=[exported.metering(clock=clock)], clock=clock) as bus:
        await bus.publish(Noted(key="A"))
        await bus.idle()
        found = await exported.now()

    assert found.value("sagabus.critical_time") == found.value(PROCESS) == 2


async def test_what_passes_a_bridge_is_sent_and_consumed_at_its_broker(exported: Exported) -> None:
    broker, quiet = MemoryBroker(), exported.metering()
    shop = Bus("memory:", notes, transport=MemoryTransport(broker), service="shop", observers=[quiet])
    books = Bus("memory:", ends, transport=MemoryTransport(broker), service="books", observers=[quiet])
    async with books, shop:
        await shop.publish(Noted(key="A"))
        await until(lambda: "settle" in {step for step, _, _ in quiet._passed})
        broker.refused["shop.noted"] = "too large"
        await shop.publish(Noted(key="B"))
        await until(lambda: quiet._passed["settle", "memory://", None] == 2)
        await until(lambda: quiet._passed["send", "memory://", UNCONFIRMED] == 1)
        found = await exported.now()

    at = {"messaging__system": "sagabus", "sagabus__broker": "memory://"}
    sends = [each for each in found.points(SENT) if each.attributes["messaging.operation.name"] == "send"]
    assert {each.attributes.get("error.type"): each.value for each in sends} == {None: 3, "unconfirmed": 1}, (
        "that no other service wants an event is no error, and that the broker does not take it is one"
    )
    assert all(each.attributes["sagabus.broker"] == "memory://" for each in sends)
    assert found.value(CONSUMED, **at, messaging__operation__name="receive") == 2
    steps = {point.attributes["messaging.operation.type"] for point in found.points(OPERATION)}
    assert steps == {"send", "receive", "settle"}


async def test_a_step_that_failed_has_its_error(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    broker, metering = MemoryBroker(), exported.metering()
    shop = Bus("memory:", notes, transport=MemoryTransport(broker), service="shop", observers=[metering])
    books = Bus("memory:", ends, transport=MemoryTransport(broker), service="books")
    async with books, shop:
        broker.stop()
        await shop.publish(Noted(key="A"))
        await until(lambda: any(error is not None for _, _, error in metering._passed))
        found = await exported.now()

    errors = {point.attributes.get("error.type") for point in found.points(SENT)} - {None}
    assert errors == {"TransportError"}


async def test_gauges_are_looked_at_without_holding_up_the_loop(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    metering, asked, threads = exported.metering(), asyncio.Event(), set[int]()
    async with Bus("memory:", notes, ends, observers=[metering]) as bus:
        metering.look_at(bus)
        look, going = bus.inspect.subscriptions, asyncio.Event()

        async def slow() -> Any:
            threads.add(threading.get_ident())
            asked.set()
            await going.wait()
            return await look()

        monkeypatch.setattr(bus.inspect, "subscriptions", slow)
        collecting = asyncio.create_task(exported.now())
        await asked.wait()
        await bus.publish(Noted(key="A"))  # the loop goes on while a reader waits
        going.set()
        found = await collecting

    assert threads == {threading.get_ident()}
    assert found.value("sagabus.store_up") == 1


async def test_a_reader_in_the_loop_itself_gets_what_is_known(exported: Exported) -> None:
    metering = exported.metering()
    async with Bus("memory:", notes, ends, observers=[metering]) as bus:
        metering.look_at(bus)
        exported.provider.force_flush()
        before = exported.receiver.points("sagabus.store_up")
        await exported.now()

    assert before == []
    assert exported.receiver.value("sagabus.store_up") == 1


async def test_a_store_that_does_not_answer_is_a_metric(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    metering = exported.metering()

    async def away() -> Any:
        raise StoreUnavailable("gone")

    async with Bus("memory:", notes, ends, observers=[metering]) as bus:
        metering.look_at(bus)
        monkeypatch.setattr(bus.inspect, "subscriptions", away)
        found = await exported.now()

    assert found.value("sagabus.store_up") == 0
    assert found.points("sagabus.workers") == []


def test_a_loop_that_has_ended_is_asked_nothing(exported: Exported) -> None:
    metering = exported.metering()

    async def work() -> None:
        async with Bus("memory:", notes, ends, observers=[metering]) as bus:
            metering.look_at(bus)

    asyncio.run(work())
    exported.provider.force_flush()

    assert exported.receiver.points("sagabus.store_up") == []


def test_errors_of_many_types_are_bounded(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("metering", "series"):
        monkeypatch.setattr(f"sagabus.telemetry.{module}.MOST_ERRORS", 3)
    metering = exported.metering()
    metering.unheard(Unheard("shop.noted", "m1"))
    recorder = metering._tally.flushes
    for number in range(10):
        recorder.erring(f"E{number}").add(1.0)
    exported.provider.force_flush()

    counts = {each.attributes.get("error.type"): each.count for each in exported.receiver.points("sagabus.flush_size")}
    assert counts == {"E0": 1, "E1": 1, "E2": 1, "_OTHER": 7}


async def test_spans_reach_the_same_receiver(exported: Exported) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{exported.receiver.url}/v1/traces")))
    async with Bus("memory:", ends, observers=[Tracing(provider)]) as bus:
        await bus.publish(Ended(key="A"))
        await bus.idle()
    provider.shutdown()

    spans = {span.name: span for span in exported.receiver.spans}
    assert spans.keys() == {"create shop.ended", "process shop.ended", "flush"}
    (link,) = spans["process shop.ended"].links
    assert link.span_id == spans["create shop.ended"].span_id


async def test_of_an_interval_only_what_was_new_in_it_leaves() -> None:
    with Receiver() as receiver:
        exported = Exported(receiver, gathers=True, is_delta=True)
        async with Harness(notes, ends, observers=[exported.metering()]) as bus:
            counts = []
            for published in (3, 0, 2):
                for number in range(published):
                    await bus.publish(Noted(key=f"{published}-{number}"))
                await bus.idle()
                receiver.metrics.clear()
                await exported.now()
                counts.append(sum(point.count for point in receiver.points(PROCESS)))
        exported.provider.shutdown()

    assert counts == [6, 0, 4], "each message is handled twice"


async def test_what_is_gathered_has_its_classes_and_its_limits() -> None:
    clock = ManualClock()

    @handler("slow")
    async def slow(message: Noted) -> None:
        clock.advance(timedelta(seconds=message.number))

    with Receiver() as receiver:
        exported = Exported(receiver, gathers=True)
        async with Harness(slow, observers=[exported.metering(clock=clock)], clock=clock) as bus:
            for number in (1, 3):
                await bus.publish(Noted(key="A", number=number))
                await bus.idle()
            await exported.now()
        exported.provider.shutdown()

    (point,) = receiver.metrics[PROCESS].histogram.data_points
    assert (point.count, point.sum, point.min, point.max) == (2, 4.0, 1.0, 3.0)
    held = [bound for bound, count in zip([*point.explicit_bounds, None], point.bucket_counts, strict=True) if count]
    assert held == [1.0, 5.0]


def test_one_exporter_takes_one_metering() -> None:
    with Receiver() as receiver:
        exported = Exported(receiver, gathers=True)
        exported.metering()
        with pytest.raises(ValueError, match="one Metering"):
            exported.metering()
        exported.provider.shutdown()
