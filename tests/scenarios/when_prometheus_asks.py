"""Prometheus gets counts of what a process did, and looks at what its store holds, in the form that its tool wants."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Ended, Noted
from tests.support.promtool import promtool
from tests.unit.test_asgi import ask

from sagabus import (
    Bus,
    Deduplication,
    DuplicateMessage,
    RetryPolicy,
    Saga,
    StoreUnavailable,
    WrongEventLoop,
    handler,
    starts,
)
from sagabus.integrations.asgi import HealthApp
from sagabus.telemetry.prometheus import Metrics
from sagabus.testing import Harness, ManualClock

TWICE = RetryPolicy(attempts=2)


@handler("notes", key="key", retry=TWICE)
def notes(message: Noted) -> None:
    if message.number:
        raise ValueError("no such number")


def shown(text: bytes) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels, in the order of their names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


async def scraped(metrics: Metrics, bus: Bus) -> dict[tuple[str, ...], float]:
    await metrics.look(bus)
    return shown(metrics.exposition()[0])


async def test_what_became_of_messages_is_counted(harness: MakeHarness) -> None:
    metrics = Metrics()
    async with harness(notes, observers=[metrics]) as bus:
        await bus.publish(Noted(key="A"))
        await bus.publish(Noted(key="B", number=1))
        await bus.publish(Ended(key="A"))
        await bus.advance(timedelta(minutes=1))
        found = await scraped(metrics, bus.bus)

    handled = "sagabus_handled_messages_total", "shop.noted"
    assert {result: found[*handled, result, "notes"] for result in ("completed", "retried", "dead-lettered")} == {
        "completed": 1,
        "retried": 1,
        "dead-lettered": 1,
    }
    assert found["sagabus_failed_runs_total", "shop.noted", "notes"] == 2
    assert found["sagabus_dead_letters_total", "failed", "notes"] == 1
    assert found["sagabus_unheard_events_total", "shop.ended"] == 1
    assert found["sagabus_run_duration_seconds_count", "shop.noted", "notes"] == 3
    assert found["sagabus_flush_size_sum",] == 3


async def test_critical_time_is_that_from_sending_to_the_commit() -> None:
    clock = ManualClock()
    metrics = Metrics(clock=clock)

    @handler("slow")
    async def slow(message: Noted) -> None:
        clock.advance(timedelta(seconds=2))

    async with Harness(slow, observers=[metrics], clock=clock) as bus:
        await bus.publish(Noted(key="A"))
        await bus.idle()
        found = await scraped(metrics, bus.bus)

    assert found["sagabus_critical_time_seconds_sum", "shop.noted", "slow"] == 2
    assert found["sagabus_run_duration_seconds_sum", "shop.noted", "slow"] == 2
    buckets = {name[1]: value for name, value in found.items() if name[0] == "sagabus_critical_time_seconds_bucket"}
    assert (buckets["1.0"], buckets["2.5"], buckets["+Inf"]) == (0, 1, 1)


async def test_duplicates_are_counted_by_what_is_done_about_them(harness: MakeHarness) -> None:
    metrics, calls = Metrics(), list[object]()

    def handlers() -> Any:
        for name, reaction in (("skips", "skip"), ("logs", "log"), ("calls", calls.append), ("raises", "raise")):
            rule = Deduplication(on_duplicate=reaction)  # type: ignore[arg-type]  # a loop over all of them

            @handler(name, deduplication=rule)
            def handle(message: Noted) -> None: ...

            yield handle

    async with harness(*handlers(), observers=[metrics]) as bus:
        await bus.publish(Noted(key="A"), message_id="one")
        with pytest.raises(DuplicateMessage):
            await bus.publish(Noted(key="A"), message_id="one")
        await bus.publish(Noted(key="B"), message_id="one")
        found = await scraped(metrics, bus.bus)

    assert found[REFUSED, "too old", "", "skips"] == 0, "an increase is seen from 0 only"
    duplicates = {name[2:]: value for name, value in found.items() if name[:2] == (REFUSED, "duplicate")}
    assert duplicates == {("skip", "skips"): 1, ("log", "logs"): 1, ("call", "calls"): 1, ("raise", "raises"): 1}
    assert found[REFUSED, "collision", "", "skips"] == 1
    assert found["sagabus_dead_letters_total", "collision", "skips"] == 1


REFUSED = "sagabus_refused_messages_total"


async def test_what_waits_in_the_store_is_looked_at(harness: MakeHarness) -> None:
    metrics = Metrics()

    @handler("waits", key="key")
    def waits(message: Noted) -> None: ...

    async with harness(notes, waits, observers=[metrics]) as bus:
        await bus.publish(Noted(key="B", number=1))
        await bus.publish(Noted(key="A"), delay=timedelta(hours=1))
        await bus.idle()
        found = await scraped(metrics, bus.bus)

    assert found["sagabus_store_up",] == 1
    assert found["sagabus_backlog_messages", "retrying", "notes"] == 1
    assert found["sagabus_backlog_messages", "scheduled", "waits"] == 1
    assert found["sagabus_backlog_oldest_age_seconds", "notes"] == 0
    assert found["sagabus_workers", "notes"] == 1
    assert found["sagabus_owned_lanes", "notes"] == found["sagabus_lanes", "notes"] > 0
    assert found["sagabus_open_dead_letters", "notes"] == 0
    assert found["sagabus_part_healthy", "worker"] == 1


async def test_the_oldest_message_has_an_age_where_no_worker_is(harness: MakeHarness) -> None:
    metrics, clock = Metrics(), ManualClock()
    async with harness(notes, observers=[metrics], clock=clock) as bus:
        await bus.idle()
        publisher = bus.bus
        await publisher.close()
        await publisher.open(worker=False)
        await publisher.publish(Noted(key="A"))
        clock.advance(timedelta(minutes=3))
        found = await scraped(metrics, publisher)

    assert found["sagabus_backlog_messages", "ready", "notes"] == 1
    assert found["sagabus_backlog_oldest_age_seconds", "notes"] == pytest.approx(180, abs=60)


async def test_a_store_that_does_not_answer_is_a_metric_and_leaves_no_old_figures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = ManualClock()
    metrics = Metrics(clock=clock)

    async def away() -> Any:
        raise StoreUnavailable("gone")

    async with Bus("memory:", notes, observers=[metrics]) as bus:
        before = await scraped(metrics, bus)
        monkeypatch.setattr(bus.inspect, "subscriptions", away)
        clock.advance(timedelta(seconds=6))
        after = await scraped(metrics, bus)

    assert before["sagabus_store_up",] == 1
    assert after["sagabus_store_up",] == 0
    assert not [name for name in after if name[0] in ("sagabus_workers", "sagabus_backlog_messages")]


async def test_many_questions_are_one_look_at_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, looks = ManualClock(), list[int]()
    metrics = Metrics(clock=clock)
    async with Bus("memory:", notes, observers=[metrics]) as bus:
        look = bus.inspect.subscriptions

        async def counted() -> Any:
            looks.append(1)
            return await look()

        monkeypatch.setattr(bus.inspect, "subscriptions", counted)
        await asyncio.gather(*(metrics.look(bus) for _ in range(10)))
        assert len(looks) == 1
        clock.advance(timedelta(seconds=6))
        await metrics.look(bus)
        assert len(looks) == 2


async def test_only_the_loop_of_the_bus_may_look() -> None:
    metrics = Metrics()
    async with Bus("memory:", notes, observers=[metrics]) as bus:
        with pytest.raises(WrongEventLoop):
            await asyncio.to_thread(lambda: asyncio.run(metrics.look(bus)))


def test_a_registry_takes_the_metrics_of_one_bus() -> None:
    registry = CollectorRegistry()
    Metrics(registry)

    with pytest.raises(ValueError, match="Duplicated timeseries"):
        Metrics(registry)


async def test_the_tool_of_prometheus_is_content_with_names_types_and_texts(harness: MakeHarness) -> None:
    metrics = Metrics()

    class Starting(Saga, name="starting", key="key"):
        key: str

        @starts
        def noted(self, message: Noted) -> None: ...

    async with harness(notes, Starting, observers=[metrics]) as bus:
        for key in ("A", 'A"\\\n{}'):
            await bus.publish(Noted(key=key), message_id=key[:1])
        await bus.publish(Noted(key="B", number=1))
        await bus.publish(Ended(key="A"))
        await bus.advance(timedelta(minutes=1))
        await metrics.look(bus.bus)
        text, content_type = metrics.exposition()

    assert promtool("check", "metrics", text=text) == ""
    assert content_type.startswith("text/plain")


def test_every_metric_has_a_text_and_a_name_of_its_kind() -> None:
    """What the tool looks for, for machines that do not have it."""
    metrics = Metrics()

    for family in metrics.describe():
        assert family.name.startswith("sagabus_")
        assert family.documentation.endswith(".")
        assert family.type in ("counter", "gauge", "histogram")
        assert not family.name.endswith(("_total", "_count", "_sum", "_bucket"))
        assert not any(unit in family.name for unit in ("milliseconds", "_ms", "minutes"))


async def test_http_serves_them_in_the_format_that_is_asked_for() -> None:
    metrics = Metrics()
    async with Bus("memory:", notes, observers=[metrics]) as bus:
        app = HealthApp(bus, metrics=metrics)
        plain = await ask(app, "/metrics")
        accept = [(b"accept", b"application/openmetrics-text;version=1.0.0")]
        openmetrics = await ask(app, "/metrics", headers=accept)
        without = await ask(HealthApp(bus), "/metrics")

    assert (plain.status, openmetrics.status, without.status) == (200, 200, 404)
    assert plain.headers["content-type"].startswith("text/plain")
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.body.rstrip().endswith(b"# EOF")
    assert shown(plain.body)["sagabus_store_up",] == 1
