"""Whatever is stuck is seen by all who look: as a gauge of both exporters, as a signal of health, and by the doctor."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client.parser import text_string_to_metric_families
from tests.conftest import Take
from tests.support.databases import Database
from tests.support.waiting import until
from tests.unit.test_asgi import ask

from sagabus import Bus, Context, Health, RetryPolicy, Saga, Settings, event, handler, starts, timer
from sagabus.integrations.asgi import HealthApp
from sagabus.store import Subscription
from sagabus.telemetry.metering import Metering
from sagabus.telemetry.prometheus import Metrics
from sagabus.transports.memory import MemoryBroker, MemoryTransport

SOON = timedelta(milliseconds=20)
SETTINGS = Settings(durability="accept", warn_after=SOON, purge_every=SOON, stuck_every=SOON)


class Condition(NamedTuple):
    """Something that the people on call must hear of, and where they do."""

    gauges: tuple[str, ...]
    """The first one, less the others."""
    signal: str
    """The field of `Health`."""
    kind: str
    """Of a finding of the doctor."""
    where: str
    """The saga or the subscription: what all three name."""


CONDITIONS = {
    "a saga beyond its limit": Condition(("stuck_sagas",), "stuck", "stuck", "trips"),
    "an old message": Condition(("backlog_oldest_age",), "oldest_messages", "old-backlog", "slow"),
    "lanes without a worker": Condition(("lanes", "owned_lanes"), "unowned_lanes", "no-worker", "absent"),
    "what does not leave": Condition(("backlog_oldest_age",), "oldest_messages", "outbound-backlog", "broker:out"),
    "timers without an instance": Condition(("orphan_timers",), "orphan_timers", "orphan-timer", "trips"),
    "dead letters that grow": Condition(("recent_dead_letters",), "recent_dead_letters", "dead-letters-grow", "broken"),
    "a run that lasts": Condition(("long_runs",), "long_runs", "long-runs", "slow"),
}


@event("trips.booked")
class Booked:
    trip: str


@event("trips.slowed")
class Slowed:
    trip: str


@event("trips.broken")
class Broken:
    trip: str


class Trips(Saga, name="trips", key="trip", stuck_after=SOON):
    trip: str

    @starts
    def booked(self, message: Booked, ctx: Context) -> None:
        ctx.set_timer("end", after=timedelta(days=1))

    @timer("end")
    def end(self) -> None: ...


@handler("broken", key="trip", retry=RetryPolicy(attempts=1))
def broken(message: Broken) -> None:
    raise ValueError(message.trip)


@dataclass
class Place:
    """A bus that all watch."""

    bus: Bus
    metrics: Metrics
    reader: InMemoryMetricReader

    async def shown(self) -> dict[str, set[str]]:
        """Where each condition is shown now."""
        await self.metrics.look(self.bus)
        exposed, exported = self._exposed(), await asyncio.to_thread(self._exported)
        health, http = self.bus.health(), (await ask(HealthApp(self.bus, details=True), "/health/live")).json
        found = {(each.kind, each.where) for each in (await self.bus.doctor(max_age=timedelta(0))).findings}
        return {
            name: {
                *(["prometheus"] if _value(exposed, each) > 0 else []),
                *(["opentelemetry"] if _value(exported, each) > 0 else []),
                *(["health"] if getattr(health, each.signal).get(each.where) else []),
                *(["http"] if http[each.signal].get(each.where) else []),
                *(["doctor"] if (each.kind, each.where) in found else []),
            }
            for name, each in CONDITIONS.items()
        }

    def _exposed(self) -> dict[tuple[str, str], float]:
        text = self.metrics.exposition()[0].decode()
        return {
            (sample.name.removeprefix("sagabus_").removesuffix("_seconds"), where): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if family.type == "gauge"
            for where in sample.labels.values()
        }

    def _exported(self) -> dict[tuple[str, str], float]:
        found = self.reader.get_metrics_data()
        assert found is not None
        (scope,) = json.loads(found.to_json())["resource_metrics"][0]["scope_metrics"]
        return {
            (metric["name"].removeprefix("sagabus."), where): point["value"]
            for metric in scope["metrics"]
            for point in metric["data"]["data_points"]
            if "value" in point
            for where in point["attributes"].values()
        }


def _value(gauges: Mapping[tuple[str, str], float], each: Condition) -> float:
    first, *others = (gauges.get((name, each.where), 0.0) for name in each.gauges)
    return first - sum(others)


async def plant(bus: Bus, broker: MemoryBroker, database: Database | None) -> None:
    """All of the conditions, by what causes them."""
    await bus.publish_many([Booked(trip="lasts"), Booked(trip="gone")])
    await bus.publish_many([Broken(trip=f"T{number}") for number in range(21)])
    await bus.idle()
    broker.stop()
    await bus.publish_many([Slowed(trip="T1"), Slowed(trip="T1")])  # the second one waits behind the first
    await bus.store.register([Subscription(channel="absent", message_type="trips.ended", kind="event")])
    if database is None:
        store: Any = bus.store
        del store._tables.instances["trips", "gone"]
    else:
        key = "`key`" if database.kind == "mysql" else "key"
        await database.change(f"DELETE FROM {database.own('instance')} WHERE {key} = 'gone'")


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgres", "mysql"])
async def test_each_condition_is_a_gauge_a_signal_of_health_and_a_line_of_the_doctor(
    kind: str, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sagabus.telemetry.look.FRESH", 0.0)
    monkeypatch.setattr("sagabus.telemetry.metering.FRESH", 0.0)
    going, broker, database = asyncio.Event(), MemoryBroker(), None if kind == "memory" else take(kind)

    @handler("slow", key="trip")
    async def slow(message: Slowed) -> None:
        await going.wait()

    metrics, reader = Metrics(), InMemoryMetricReader()
    metering = Metering(MeterProvider([reader], shutdown_on_exit=False))
    options: Any = {"transport": MemoryTransport(broker), "service": "trips", "settings": SETTINGS}
    url = "memory:" if database is None else database.url
    async with Bus(url, Trips, slow, broken, observers=[metrics, metering], **options) as bus:
        metering.look_at(bus)
        place = Place(bus, metrics, reader)
        await until(lambda: "slow" in bus.health().oldest_messages)
        before = await place.shown()
        await plant(bus, broker, database)
        everywhere = {"prometheus", "opentelemetry", "health", "http", "doctor"}
        after: dict[str, set[str]] = {}

        async def is_seen_by_all() -> bool:
            after.update(await place.shown())
            return all(seen == everywhere for seen in after.values())

        with suppress(TimeoutError):  # what is missing is seen below
            await until(is_seen_by_all)
        going.set()

    assert before == {name: set() for name in CONDITIONS}
    assert after == dict.fromkeys(CONDITIONS, everywhere)


def test_every_signal_of_health_is_one_of_these_conditions() -> None:
    signals = {each.name for each in fields(Health) if str(each.type).startswith("Mapping")}

    assert signals - {"parts"} == {each.signal for each in CONDITIONS.values()}
