"""What a store stands on may be wrong, too: its schema, its settings, what stands before it and what is registered."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.conformance.pooler import Pooler
from tests.conftest import Take
from tests.scenarios.when_something_is_wrong_with_a_store import KINDS, Paid, Patient, audit, every_store, patient
from tests.support.databases import POSTGRES, Database, PostgresDatabase
from tests.support.waiting import until

from sagabus import Bus, Settings
from sagabus.store.examination import NAMED

ACCEPT = Settings(durability="accept")
on_disk = pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "memory"])


async def kinds(subject: Patient, **options: Any) -> dict[str, str]:
    """The text of each finding, by its kind."""
    return {each.kind: each.text for each in (await subject.find(**options)).findings}


@on_disk
async def test_a_schema_of_another_release_is_found_and_left_alone(kind: str, take: Take) -> None:
    database = take(kind)
    table = database.own("schema_version")
    async with patient(kind, take) as subject:
        newest = subject.bus.store.newest_version()
        assert newest is not None
        found: list[dict[str, str]] = []
        for other in (newest + 1_000, newest - 1_000):
            await database.change(f"UPDATE {table} SET version = ? WHERE version = ?", (other, newest))
            try:
                found.append(await kinds(subject))
            finally:
                await database.change(f"UPDATE {table} SET version = ? WHERE version = ?", (newest, other))
        again = await kinds(subject)

    newer, older = found
    assert newer["schema"].endswith(f"this release works with {newest}: upgrade sagabus here")
    assert older["schema"].endswith(f"this release works with {newest}: run this release's migration")
    assert "schema" not in again


def on_sqlite(database: Database, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("sagabus.stores.sqlite.store.network_file_system", lambda path: "nfs")
    return database.url


def on_postgres(database: Database, monkeypatch: pytest.MonkeyPatch) -> str:
    assert "synchronous_commit=off" in database.url
    return database.url


def on_mysql(database: Database, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("sagabus.stores.mysql.store._DURABILITY", "SELECT 2, 'OFF'")
    return database.url


WEAK: dict[str, tuple[Callable[[Database, pytest.MonkeyPatch], str], list[str]]] = {
    "sqlite": (on_sqlite, ["lies on a network file system (nfs)"]),
    "postgres": (on_postgres, ["synchronous_commit=off: turn it on"]),
    "mysql": (on_mysql, ["innodb_flush_log_at_trx_commit=2: set it to 1", "innodb_doublewrite=OFF: turn it on"]),
}


@on_disk
async def test_a_database_that_a_crash_may_rob_is_found_with_the_setting(
    kind: str, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    weaken, texts = WEAK[kind]
    async with Bus(weaken(take(kind), monkeypatch), audit, settings=ACCEPT) as bus:
        found = await bus.doctor()

    risks = [each for each in found.findings if each.kind == "durability"]
    assert [each.severity for each in risks] == ["warning"] * len(texts)
    assert all(text in each.text for text, each in zip(texts, risks, strict=True))
    assert not found.is_well


async def test_a_pooler_before_the_database_is_seen(take: Take) -> None:
    database = take("postgres")
    assert isinstance(database, PostgresDatabase)
    with Pooler(POSTGRES) as pooler:
        async with Bus(f"{pooler.url()}?schema={database.name}", audit, settings=ACCEPT) as bus:
            found = [each for each in (await bus.doctor()).findings if each.kind == "pooler"]

    assert [each.severity for each in found] == ["note"]


@every_store
async def test_a_subscription_that_is_declared_and_not_registered_is_found(kind: str, take: Take) -> None:
    async with patient(kind, take) as subject:
        if kind == "memory":
            for place in [each for each in subject.tables.subscriptions if each[1] == "audit"]:
                del subject.tables.subscriptions[place]
        else:
            await subject.run("DELETE FROM {subscription} WHERE channel = 'audit'")
        found = [each for each in (await subject.find()).findings if each.kind == "unregistered"]

    assert [(each.where, each.severity, each.command) for each in found] == [
        ("audit", "warning", "sagabus migrate MODULE:BUS")
    ]


@on_disk
async def test_what_waits_in_lanes_that_are_not_there_is_taken_once_their_number_has_changed(
    kind: str, take: Take
) -> None:
    database = take(kind)
    looker = Bus(database.url, audit, settings=ACCEPT)
    await looker.open(worker=False)
    await database.change(f"DELETE FROM {database.own('lane')} WHERE channel = 'audit' AND lane BETWEEN 3 AND 10")
    await looker.publish_many([Paid(order_id=f"A{number}") for number in range(40)])
    async with Bus(database.url, audit, settings=ACCEPT) as bus:
        await bus.idle(20)  # no lane that it knows of has more
        (found,) = [each for each in (await looker.doctor()).findings if each.kind == "missing-lane"]
        before = bus.statistics["audit", "completed"]
        await looker.store.divide(17)
        await until(lambda: bus.statistics["audit", "completed"] == 40)
    await looker.close()

    assert before < 40
    assert (found.severity, found.command) == ("error", "sagabus lanes MODULE:BUS NUMBER")
    assert found.text.startswith("audit: 8 of its 16 lanes are missing")


@every_store
async def test_of_many_faults_of_a_kind_a_look_says_that_there_may_be_more(kind: str, take: Take) -> None:
    async with patient(kind, take) as subject:
        for number in range(NAMED):
            if kind == "memory":
                subject.tables.holds["audit", f"K{number}"] = 1_000 + number
            else:
                row = (f"K{number}", 1_000 + number)
                await subject.run(
                    "INSERT INTO {held_key} (channel, partition_key, position) VALUES ('audit', ?, ?)", *row
                )
        found = await subject.find(max_age=timedelta(hours=1))
        mending = await subject.find(fix=True)
        after = await kinds(subject)

    assert sum(each.kind == "dangling-hold" for each in found.findings) == NAMED
    assert [each.severity for each in found.findings if each.kind == "more"] == ["note"]
    assert sum(each.fixed for each in mending.findings) == NAMED
    assert not after.keys() & {"dangling-hold", "more"}
