"""Faults planted in a store behind the back of the bus: the doctor finds each, mends what is safe, and invents none."""

import asyncio
import json
import shlex
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from tests.conftest import Take
from tests.support.databases import Database, stranger
from tests.support.waiting import until

from sagabus import Bus, Context, RetryPolicy, Saga, Settings, event, handler, handles, starts, timer
from sagabus.bus.diagnosis import surroundings
from sagabus.bus.diagnosis.records import Diagnosis, Finding
from sagabus.clock import moment
from sagabus.errors import StoreUnavailable
from sagabus.store.examination import Conditions
from sagabus.stores.memory.tables import InboxRow, Tables
from sagabus.telemetry.metering import Metering
from sagabus.telemetry.prometheus import Metrics
from sagabus.testing.clock import ManualClock
from sagabus.transports.memory import MemoryBroker, MemoryTransport

KINDS = ("memory", "sqlite", "postgres", "mysql")
every_store = pytest.mark.parametrize("kind", KINDS)
ORPHANS = 'sagabus_orphan_timers{saga="orders"} '
LATER = 2**61
"""Later than any clock of a test."""


@event("orders.submitted")
class Submitted:
    order_id: str


@event("orders.paid")
class Paid:
    order_id: str


class Orders(Saga, name="orders", key="order_id", history=True):
    order_id: str

    @starts
    def submitted(self, message: Submitted, ctx: Context) -> None:
        ctx.set_timer("payment", after=timedelta(days=1))

    @handles
    def paid(self, message: Paid, ctx: Context) -> None: ...

    @timer("payment")
    def unpaid(self, ctx: Context) -> None: ...


@handler("audit", key="order_id")
def audit(message: Paid, ctx: Context) -> None: ...


@pytest.mark.parametrize("kind", ["postgres", "mysql"])
async def test_a_transaction_that_stays_open_is_found_whoever_opened_it(
    kind: str, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, metrics = take(kind), Metrics()
    async with Bus(database.url, audit, observers=[metrics]) as bus:
        with closing(stranger(database.url)) as other:
            other.cursor().execute("BEGIN")
            other.cursor().execute(f"SELECT * FROM {database.own('meta')} WHERE value < 0 FOR UPDATE")
            quiet = await bus.doctor()
            monkeypatch.setattr(surroundings, "OLD_TRANSACTION", timedelta(0))
            found = await bus.doctor()
            age = await bus.inspect.oldest_transaction()
            listed = other_sees(database, found)
            await metrics.look(bus)
        text = metrics.exposition()[0].decode()

    assert "old-transaction" not in {each.kind for each in quiet.findings}
    (finding,) = [each for each in found.findings if each.kind == "old-transaction"]
    assert "keeps what is deleted: find and end it" in finding.text
    assert listed
    assert age is not None
    assert age > timedelta(0)
    assert "\nsagabus_oldest_transaction_seconds " in text


def other_sees(database: Database, found: Diagnosis) -> list[tuple[Any, ...]]:
    """What the command of the finding lists."""
    (command,) = [each.command for each in found.findings if each.kind == "old-transaction"]
    assert command is not None
    program, _, statement = shlex.split(command)
    assert program == ("psql" if database.kind == "postgres" else "mysql")
    return database.run(statement)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_store_that_cannot_say_so_has_no_gauge_of_open_transactions(kind: str, take: Take) -> None:
    metrics = Metrics()
    async with Bus("memory:" if kind == "memory" else take(kind).url, audit, observers=[metrics]) as bus:
        await metrics.look(bus)
        assert await bus.inspect.oldest_transaction() is None

    assert "\nsagabus_oldest_transaction_seconds " not in metrics.exposition()[0].decode()


class Patient:
    """A store with one order, and a worker at it."""

    def __init__(self, bus: Bus, database: Database | None) -> None:
        self.bus, self._database = bus, database

    @property
    def tables(self) -> Tables:
        """Of a memory store."""
        store: Any = self.bus.store
        tables: Tables = store._tables
        return tables

    async def run(self, sql: str, *parameters: object) -> None:
        """Change a table of the bus by other means."""
        assert self._database is not None
        key = "`key`" if self._database.kind == "mysql" else "key"
        names = {table: self._database.own(table) for table in ("envelope", "instance", "held_key", "inbox")}
        names |= {table: self._database.own(table) for table in ("horizon", "history", "subscription", "lane")}
        await self._database.change(sql.format(**names, key=key), parameters)

    async def find(self, *, fix: bool = False, **options: Any) -> Diagnosis:
        """What the doctor says, without what a store of tests may lose."""
        found = await self.bus.doctor(fix=fix, **options)
        assert found.unknown == ()
        return found


@asynccontextmanager
async def patient(kind: str, take: Take, **options: Any) -> AsyncIterator[Patient]:
    database = None if kind == "memory" else take(kind)
    url = "memory:" if database is None else database.url
    settings = Settings(durability="accept")
    async with Bus(url, Orders, audit, settings=settings, **options) as bus:
        await bus.publish(Submitted(order_id="A1"))
        await bus.publish(Paid(order_id="A1"))
        await bus.idle()
        yield Patient(bus, database)


def wrong(found: Diagnosis) -> list[Finding]:
    """All but what the databases of tests are set to."""
    return [each for each in found.findings if each.kind != "durability"]


@every_store
async def test_nothing_is_wrong_with_a_store_at_work(kind: str, take: Take) -> None:
    async with patient(kind, take) as subject:
        found = await subject.find()

    assert wrong(found) == []


@every_store
async def test_timers_without_an_instance_are_counted_for_who_watches_until_they_are_gone(
    kind: str, take: Take, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sagabus.telemetry.metering.FRESH", 0.0)
    metrics, reader = Metrics(clock=clock), InMemoryMetricReader()
    metering = Metering(MeterProvider([reader], shutdown_on_exit=False), clock=clock)
    async with patient(kind, take, observers=[metrics, metering], clock=clock) as subject:
        bus = subject.bus
        metering.look_at(bus)

        async def gauge(wanted: int) -> tuple[str, object]:
            async def is_so() -> bool:
                clock.advance(bus.settings.purge_every)
                return bus.health().orphan_timers == {"orders": wanted}

            await until(is_so)
            await metrics.look(bus)
            exported = json.loads((await asyncio.to_thread(reader.get_metrics_data)).to_json())
            (scope,) = exported["resource_metrics"][0]["scope_metrics"]
            (ours,) = [each for each in scope["metrics"] if each["name"] == "sagabus.orphan_timers"]
            (point,) = ours["data"]["data_points"]
            (line,) = [each for each in metrics.exposition()[0].decode().splitlines() if each.startswith(ORPHANS)]
            return line.removeprefix(ORPHANS), point["value"]

        before = await gauge(0)
        await orphan_timer(subject, memory=kind == "memory")
        found = await gauge(1)
        await bus.mend.cancel_timer("orders", "A1", "payment", reason="its instance is gone")
        after = await gauge(0)

    assert (before, found, after) == (("0.0", 0), ("1.0", 1), ("0.0", 0))


# --- faults among the rows --------------------------------------------------------------------------------------------


async def orphan_timer(it: Patient, *, memory: bool) -> None:
    if memory:
        del it.tables.instances["orders", "A1"]
    else:
        await it.run("DELETE FROM {instance}")


async def idle_timer(it: Patient, *, memory: bool) -> None:
    if memory:
        row = it.tables.instances["orders", "A1"]
        it.tables.instances["orders", "A1"] = replace(
            row, instance=replace(row.instance, completed=True), completed_at=1
        )
    else:
        await it.run("UPDATE {instance} SET completed_at = 1")


async def lost_timer(it: Patient, *, memory: bool) -> None:
    if memory:
        (stored,) = it.tables.queue.timers("orders", "A1")
        it.tables.queue.remove(stored.position)
    else:
        await it.run("DELETE FROM {envelope}")


async def dangling_hold(it: Patient, *, memory: bool) -> None:
    if memory:
        it.tables.holds["audit", "A1"] = 999
    else:
        await it.run("INSERT INTO {held_key} (channel, partition_key, position) VALUES ('audit', 'A1', 999)")


async def dangling_park(it: Patient, *, memory: bool) -> None:
    if memory:
        it.tables.holds["audit", "A1"] = 0
    else:
        await it.run("INSERT INTO {held_key} (channel, partition_key, position) VALUES ('audit', 'A1', 0)")


async def expired_record(it: Patient, *, memory: bool) -> None:
    if memory:
        it.tables.inbox["audit", "old"] = InboxRow(b"", -5)
        it.tables.horizons["audit"] = 1
    else:
        await it.run("INSERT INTO {inbox} (channel, message_id, fingerprint, stamp) VALUES ('audit', 'old', '', -5)")


async def future_horizon(it: Patient, *, memory: bool) -> None:
    if memory:
        it.tables.horizons["orders"] = LATER
        it.tables.inbox.clear()
    else:
        await it.run("DELETE FROM {inbox}")
        await it.run("UPDATE {horizon} SET stamp = ? WHERE channel = 'orders'", LATER)


async def history_gap(it: Patient, *, memory: bool) -> None:
    if memory:
        last = max(it.tables.history)
        it.tables.history[last] = replace(it.tables.history[last], version=5)
    else:
        await it.run("UPDATE {history} SET version = 5 WHERE version = 2")


async def unknown_lane(it: Patient, *, memory: bool) -> None:
    if memory:
        (stored,) = it.tables.queue.timers("orders", "A1")
        it.tables.queue.envelopes[stored.position] = replace(stored, lane=99)
    else:
        await it.run("UPDATE {envelope} SET lane = 99")


async def missing_lane(it: Patient, *, memory: bool) -> None:
    if memory:
        del it.tables.lanes["audit", 3]
    else:
        await it.run("DELETE FROM {lane} WHERE channel = 'audit' AND lane = 3")


async def unknown_channel(it: Patient, *, memory: bool) -> None:
    if memory:
        for name in [each for each in it.tables.subscriptions if each[1] == "orders"]:
            del it.tables.subscriptions[name]
    else:
        await it.run("DELETE FROM {subscription} WHERE channel = 'orders'")


FAULTS: dict[str, Callable[..., Awaitable[None]]] = {
    "orphan-timer": orphan_timer,
    "idle-timer": idle_timer,
    "lost-timer": lost_timer,
    "dangling-hold": dangling_hold,
    "dangling-park": dangling_park,
    "expired-record": expired_record,
    "future-horizon": future_horizon,
    "history-gap": history_gap,
    "unknown-lane": unknown_lane,
    "missing-lane": missing_lane,
    "unknown-channel": unknown_channel,
}
MENDED = {"idle-timer", "dangling-hold", "dangling-park", "expired-record"}


@every_store
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_planted_fault_is_found_and_mended_only_when_that_is_safe(fault: str, kind: str, take: Take) -> None:
    async with patient(kind, take) as subject:
        await FAULTS[fault](subject, memory=kind == "memory")

        first, second = [wrong(await subject.find()) for _ in range(2)]
        mending = wrong(await subject.find(fix=True))
        after = wrong(await subject.find())

    (found,) = [each for each in first if each.kind == fault]
    assert first == second  # a look changes nothing
    assert (found.can_fix, found.fixed) == (fault in MENDED, False)
    assert found.command is not None
    assert [each.kind for each in mending if each.fixed] == [fault] * (fault in MENDED)
    assert (fault in [each.kind for each in after]) == (fault not in MENDED)


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mysql"])
async def test_a_column_that_compares_otherwise_is_found(kind: str, take: Take) -> None:
    changes = {
        "sqlite": "CREATE TABLE sagabus_other (id TEXT COLLATE NOCASE)",
        "postgres": 'ALTER TABLE {inbox} ALTER COLUMN message_id TYPE text COLLATE "default"',
        "mysql": "ALTER TABLE {inbox} MODIFY message_id VARCHAR(200) CHARACTER SET utf8mb4 NOT NULL",
    }
    back = {
        "postgres": 'ALTER TABLE {inbox} ALTER COLUMN message_id TYPE text COLLATE "C"',
        "mysql": "ALTER TABLE {inbox} MODIFY message_id VARBINARY(2004) NOT NULL",
    }
    async with patient(kind, take) as subject:
        await subject.run(changes[kind])
        try:
            found = wrong(await subject.find())
        finally:
            if kind in back:
                await subject.run(back[kind])

    assert [(each.kind, each.severity) for each in found] == [("collation", "error")]


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mysql"])
async def test_an_index_that_is_missing_is_found(kind: str, take: Take) -> None:
    database = take(kind)
    table, index = database.own("audit"), database.own("audit_made")
    on = f" ON {table}" if kind == "mysql" else ""
    bus = Bus(database.url, audit, settings=Settings(durability="accept"))
    await bus.open(worker=False)
    await database.change(f"DROP INDEX {index}{on}")
    try:
        found = await bus.doctor()
    finally:
        await database.change(f"CREATE INDEX {index.rpartition('.')[2]} ON {table} (channel, made_at)")
    mended = await bus.doctor()
    await bus.close()

    (fault,) = [each for each in found.findings if each.kind == "missing-index"]
    assert fault.severity == "error"
    assert f"the index {index.rpartition('.')[2]} is missing" in fault.text
    assert "missing-index" not in {each.kind for each in mended.findings}


# --- what works on it, and what it stands on --------------------------------------------------------------------------


@every_store
async def test_a_clock_that_is_off_is_found(kind: str, take: Take) -> None:
    async with patient(kind, take) as subject:
        now = (await subject.bus.store.inspect.conditions()).now
        for seconds, words in ((90, "s ahead of"), (-90, "behind")):
            subject.bus.doctor._clock = clock = ManualClock()
            clock.set(moment(now) + timedelta(seconds=seconds))
            (found,) = wrong(await subject.find())
            assert found.kind == "clock"
            assert words in found.text


@every_store
async def test_what_no_worker_takes_is_found(kind: str, take: Take) -> None:
    database = None if kind == "memory" else take(kind)
    bus = Bus("memory:" if database is None else database.url, audit, settings=Settings(durability="accept"))
    await bus.open(worker=False)
    try:
        empty = wrong(await bus.doctor())
        await bus.publish(Paid(order_id="A1"))
        waiting = wrong(await bus.doctor(max_age=timedelta(0)))
    finally:
        await bus.close()

    assert [(each.kind, each.severity) for each in empty] == [("no-worker", "warning")]
    assert [(each.kind, each.severity) for each in waiting] == [("no-worker", "error"), ("old-backlog", "warning")]
    assert "1 message waits" in waiting[0].text


@every_store
async def test_lanes_without_a_worker_are_found(kind: str, take: Take) -> None:
    async with patient(kind, take) as subject:
        if kind == "memory":
            for place, row in subject.tables.lanes.items():
                subject.tables.lanes[place] = replace(row, expires_at=1) if place[1] == 3 else row
        else:
            await subject.run("UPDATE {lane} SET expires_at = 1 WHERE lane = 3")
        found = wrong(await subject.find())

    assert {each.kind for each in found} == {"orphan-lanes"}
    assert found[0].text.startswith("1 of 16 lanes of ")


@every_store
async def test_a_paused_subscription_is_found_with_who_why_and_the_way_out(kind: str, take: Take) -> None:
    async with patient(kind, take) as subject:
        await subject.bus.mend.pause("audit", reason="the ledger moves", by="ann")
        await subject.bus.publish(Paid(order_id="A2"))
        everything = wrong(await subject.find(max_age=timedelta(0)))

    (found,) = [each for each in everything if each.where == "audit"]
    assert (found.kind, found.severity) == ("paused", "warning")
    assert found.text.startswith("audit has been paused by ann for ")
    assert found.text.endswith(" (the ledger moves), and 1 message waits: resume it")
    assert found.command is not None
    assert found.command.startswith("sagabus resume ")
    assert found.command.endswith(" audit --reason TEXT")


@handler("broken", key="order_id", retry=RetryPolicy(attempts=1))
def broken(message: Paid, ctx: Context) -> None:
    raise ValueError(message.order_id)


@every_store
async def test_dead_letters_are_found_and_their_growth_is_worse(kind: str, take: Take) -> None:
    database = None if kind == "memory" else take(kind)
    url = "memory:" if database is None else database.url
    async with Bus(url, broken, settings=Settings(durability="accept")) as bus:
        await bus.publish_many([Paid(order_id=f"A{number}") for number in range(21)])
        await bus.idle()
        found = wrong(await bus.doctor())

    kinds = [(each.kind, each.severity) for each in found]
    assert kinds == [("dead-letters-grow", "error"), ("dead-letters", "warning")]


async def test_a_queue_that_feeds_another_store_is_found_and_nothing_is_written_for_it(tmp_path: Path) -> None:
    broker = MemoryBroker()

    def bus(name: str) -> Bus:
        transport, settings = MemoryTransport(broker), Settings(durability="accept")
        return Bus(f"sqlite:///{tmp_path / name}", audit, transport=transport, service="shop", settings=settings)

    second = bus("second.db")
    async with bus("first.db") as first:
        await first.idle()
        well = await first.doctor()
        await second.open(worker=False)
        found, again = [await second.doctor() for _ in range(2)]
        await second.close()

    assert well.findings == ()
    (other,) = [each for each in found.findings if each.kind == "other-store"]
    assert (other.severity, other.command) == ("error", "sagabus topology MODULE:BUS --move")
    assert "the queue of service 'shop' feeds another store" in other.text
    assert again.findings == found.findings
    with closing(sqlite3.connect(tmp_path / "second.db")) as file:
        assert file.execute("SELECT * FROM sagabus_meta WHERE name = 'identity'").fetchall() == []


async def test_what_is_missing_at_a_broker_is_found_and_a_bridge_that_does_not_run() -> None:
    broker = MemoryBroker()

    def bus() -> Bus:
        transport = MemoryTransport(broker)
        return Bus("memory:", audit, transport=transport, service="shop", settings=Settings(durability="accept"))

    looker = bus()
    await looker.open(worker=False)
    missing = {each.kind for each in (await looker.doctor()).findings}
    broker.is_down = True
    away = {each.kind for each in (await looker.doctor()).findings}
    await looker.close()
    broker.is_down = False
    async with bus() as running:
        await running.idle()
        well = await running.doctor()

    assert missing == {"topology", "no-worker", "stopped-bridge"}
    assert away == {"broker-away", "no-worker", "stopped-bridge"}
    assert well.findings == ()


async def test_a_pooler_is_a_note_and_no_reason_for_an_alarm(take: Take) -> None:
    async with patient("memory", take) as subject:

        async def conditions() -> Conditions:
            return Conditions(subject.bus._clock.now(), is_pooled=True)

        subject.bus.store.inspect.conditions = conditions  # type: ignore[method-assign]  # as behind a pooler
        found = await subject.find()

    assert [(each.kind, each.severity) for each in found.findings] == [("pooler", "note")]
    assert found.is_well


async def test_what_cannot_be_looked_at_is_said_and_costs_nothing_else(take: Take) -> None:
    async with patient("memory", take) as subject:
        await dangling_hold(subject, memory=True)

        async def letter_counts() -> None:
            raise StoreUnavailable("no answer within 5 s, postgresql://me:secret@db/shop")

        subject.bus.store.inspect.letter_counts = letter_counts  # type: ignore[method-assign, assignment]
        found = await subject.bus.doctor()

    assert [each.kind for each in found.findings] == ["dangling-hold"]
    (unknown,) = found.unknown
    assert unknown.startswith("dead letters: no answer within 5 s")
    assert "secret" not in unknown
