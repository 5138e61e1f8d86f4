"""Stores of every released schema, opened and worked off by this release; and this one's by a release to come."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.recorded.future import NEXT, OF_BUS, next_one, release_to_come, upgrade
from tests.recorded.record import HERE, ddl, load, recording
from tests.recorded.workload import DEFINITIONS, EXPECTED, RECORDED, finish
from tests.support.databases import Database, SqliteDatabase, server_database
from tests.support.fork_server import ForkServer

from sagabus import Bus, SchemaTooNew, StoreCorrupt
from sagabus.envelope import Cause, Envelope
from sagabus.failpoint import NAMES
from sagabus.outcome import Completed, DeadLettered, Effects, Save
from sagabus.store import Batch, Subscription
from sagabus.testing import Harness, ManualClock

KINDS = ["sqlite", "postgres", "mysql"]
VERSIONS = sorted(int(folder.name.removeprefix("schema_")) for folder in HERE.glob("schema_*"))
ALL = list(range(1, NEXT + 1))
"""The schema versions up to that of the release to come."""
LETTER, STORED = [
    Envelope(message_id=name, message_type="t", body=b"{}", channel="later") for name in ("letter", "stored")
]
SAVE = Save(saga="later", key="k", base=0, state=b"{}", status=None, timers={}, completed=False)
LATER = Subscription(message_type="recorded.later", channel="later", kind="event")
UPGRADE = "tests.recorded.future:upgrade"

pytestmark = pytest.mark.acceptance


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A place that nobody has used."""
    if request.param == "sqlite":
        yield SqliteDatabase(tmp_path / "bus.db")
        return
    server = server_database(request.param)
    yield server
    server.close()


@pytest.fixture
def recorded(database: Database) -> Database:
    """A store as the latest schema leaves it."""
    load(database, recording(VERSIONS[-1], database.kind).read_text(encoding="utf-8"))
    return database


def harness_at(database: Database, clock: ManualClock | None = None) -> Harness:
    return Harness(*DEFINITIONS, store=database.url, clock=clock or ManualClock(RECORDED), patience=60.0)


def applied(database: Database) -> list[int]:
    return sorted(row[0] for row in database.of_bus("schema_version", "version"))


def rows(database: Database) -> dict[str, Sequence[Any]]:
    return {table: sorted(database.of_bus(table), key=repr) for table in [*OF_BUS, "schema_version"]}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recorded_store_is_brought_up_to_date_and_worked_off(version: int, database: Database) -> None:
    load(database, recording(version, database.kind).read_text(encoding="utf-8"))

    assert asyncio.run(finish(harness_at(database))) == EXPECTED


def test_what_an_older_release_scheduled_before_1970_runs_now(database: Database) -> None:
    load(database, recording(3, database.kind).read_text(encoding="utf-8"))
    scheduled = "due_at > 0 AND attempt = 0 AND timer IS NULL AND stashed = 0"
    database.run(f"UPDATE {database.own('envelope')} SET due_at = -1 WHERE {scheduled}")

    assert asyncio.run(finish(harness_at(database)))["journal"]["notes of K0"] == [100, 0, 3, 6]


def test_the_schema_of_this_release_is_recorded(database: Database) -> None:
    schema = ddl(database).strip()
    latest = max(int(number) for number in re.findall(r"^-- migration (\d+),", schema, flags=re.MULTILINE))

    kept = recording(latest, database.kind)

    assert kept.exists(), "there is a new migration: run tests/recorded/record.py"
    assert kept.read_text(encoding="utf-8").startswith(schema), (
        "a migration was changed: never, once it is released; until then run tests/recorded/record.py"
    )


def test_a_recording_has_something_of_everything(recorded: Database) -> None:
    envelopes = recorded.of_bus("envelope", "due_at > 0, attempt > 0, timer IS NOT NULL, stashed = 1")
    kinds = {tuple(map(bool, row)) for row in envelopes}
    ready, scheduled, retried = (False,) * 4, (True, False, False, False), (True, True, False, False)
    timer, stashed = (True, False, True, False), (True, False, False, True)

    assert kinds == {ready, scheduled, retried, timer, stashed}
    assert {row[0] > 0 for row in recorded.of_bus("held_key", "position")} == {True, False}
    assert len(set(recorded.of_bus("dead_letter", "status"))) == 3
    assert {bool(row[0]) for row in recorded.of_bus("instance", "completed_at IS NULL")} == {True, False}
    assert {bool(row[0]) for row in recorded.of_bus("horizon", "stamp > 0")} == {True}
    assert {bool(row[0]) for row in recorded.of_bus("lane", "owner IS NOT NULL")} == {True}
    assert all(recorded.of_bus(table) for table in ("inbox", "worker", "subscription", "history"))


def test_the_journal_of_an_older_release_is_read(database: Database) -> None:
    load(database, recording(5, database.kind).read_text(encoding="utf-8"))

    async def told() -> list[tuple[str, str, str, str | None]]:
        async with Bus(database.url) as bus:
            found = (await bus.inspect.conversation("opened-A1")).entries
            return [(each.kind, each.what, each.subscription, each.status) for each in found]

    assert asyncio.run(told()) == [
        ("run", "completed", "accounts", "open"),
        ("waiting", "timer", "accounts", None),
    ]


def test_a_release_to_come_adds_to_it(recorded: Database) -> None:
    before = rows(recorded)

    asyncio.run(upgrade(recorded.url))

    assert applied(recorded) == ALL
    for table in OF_BUS:
        # The timeline is noted by whoever opens the store.
        found = [row for row in recorded.of_bus(table) if row[0] != "timeline"]
        kept = [(*row, 7) for row in before[table] if row[0] != "timeline"]
        assert sorted(found, key=repr) == sorted(kept, key=repr)
    with release_to_come():
        assert asyncio.run(finish(harness_at(recorded))) == EXPECTED


def test_workers_of_the_release_before_continue_side_by_side_with_those_of_the_next(recorded: Database) -> None:
    async def both() -> dict[str, Any]:
        clock = ManualClock(RECORDED)
        old, new = harness_at(recorded, clock), harness_at(recorded, clock)
        await old.bus.open(worker=False)
        with release_to_come():
            await new.bus.open()
        try:
            await old.bus.store.register([LATER])
            await old.bus.store.divide(20)
            await old.bus._start_worker()
            return await finish(old)
        finally:
            worked.extend([sum(harness.bus.statistics.values()) for harness in (old, new)])
            await new.bus.close()

    worked: list[int] = []
    assert asyncio.run(both()) == EXPECTED | {"waiting": EXPECTED["waiting"] | {"later": 0}}
    assert min(worked) > 0
    assert applied(recorded) == ALL


SAVED_BY_SCHEMA_2 = "UPDATE {instance} SET version = version + 1, read_version = version, state = '{{}}'"
BURIED_BY_SCHEMA_2 = """
UPDATE {dead_letter} SET reason = 'failed', envelope = '["c", 1, "m", "t", "k", null, null, null, 1, 0, null, null, 0]'
"""


def test_what_a_worker_of_schema_2_writes_side_by_side_with_this_release_says_no_shape_and_no_cause(
    database: Database,
) -> None:
    async def both() -> tuple[list[str | None], list[Cause]]:
        async with Bus(database.url) as bus:
            store = bus.store
            await store.append([LETTER, STORED], (await store.register([LATER])).version)
            first, second = sorted(await store.inspect.envelopes("later"), key=attrgetter("message_id"))
            died = DeadLettered(envelope=first, cause=Cause.TOO_OLD, reason="too old: by the new")
            begun = Completed(second, Effects(save=msgspec.structs.replace(SAVE, shape="new")))
            await store.commit(Batch([died, begun], (await store.routing()).version, {}))
            names = {table: database.own(table) for table in OF_BUS}
            await database.change(SAVED_BY_SCHEMA_2.format_map(names))
            await database.change(BURIED_BY_SCHEMA_2.format_map(names))
            letters, loaded = await store.inspect.dead_letters(), await store.load("later", ["k"])
            return [each.instance.shape for each in loaded if each.instance], [each.cause for each in letters]

    assert asyncio.run(both()) == ([None], [Cause.UNRECORDED])


def test_letters_of_releases_without_causes_say_what_was_quarantined(database: Database) -> None:
    load(database, recording(2, database.kind).read_text(encoding="utf-8"))

    async def causes() -> dict[str, Cause]:
        async with Bus(database.url) as bus:
            found = await bus.dead_letters.list(status=None)
            return {each.envelope.channel: each.cause for each in found}

    unrecorded = dict.fromkeys(("fragile", "parking"), Cause.UNRECORDED)
    assert asyncio.run(causes()) == {"accounts": Cause.TOO_OLD, **unrecorded}


def test_several_processes_upgrade_at_once(recorded: Database, fork_server: ForkServer) -> None:
    children = [fork_server.start(UPGRADE, recorded.url) for _ in range(5)]

    for child in children:
        end = fork_server.wait(child)
        assert end.code == 0, end.log
    assert applied(recorded) == ALL


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("migrate.")])
def test_killed_while_upgrading_the_next_one_does_it(name: str, recorded: Database, fork_server: ForkServer) -> None:
    assert fork_server.run(UPGRADE, recorded.url, failpoints=f"{name}=kill9").killed
    assert applied(recorded) == (ALL if name == "migrate.after_commit" else ALL[:-1])

    asyncio.run(upgrade(recorded.url))
    assert applied(recorded) == ALL
    assert {row[-1] for table in OF_BUS for row in recorded.of_bus(table)} == {7}


@pytest.mark.parametrize("database", ["mysql"], indirect=True)
@pytest.mark.parametrize("done", [1, len(OF_BUS), len(next_one())])
def test_cut_short_where_each_statement_commits_it_is_finished(done: int, recorded: Database) -> None:
    names = {table: recorded.own(table) for table in OF_BUS}
    for statement in next_one()[:done]:
        recorded.run(statement.format_map(names))
    assert asyncio.run(worked_for_a_moment(recorded)) == 16

    with release_to_come():
        assert asyncio.run(finish(harness_at(recorded))) == EXPECTED
    assert applied(recorded) == ALL


async def worked_for_a_moment(database: Database) -> int:
    """The release before, on a schema that is half of the next one; its lanes."""
    async with Bus(database.url) as bus:
        return (await bus.store.routing()).lanes


def test_the_release_before_is_refused_once_it_starts_again(recorded: Database) -> None:
    asyncio.run(upgrade(recorded.url))
    before = rows(recorded)

    with pytest.raises(SchemaTooNew) as refused:
        asyncio.run(worked_for_a_moment(recorded))

    assert (refused.value.found, refused.value.supported) == (NEXT, NEXT - 1)
    assert rows(recorded) == before


def test_a_migration_that_was_tampered_with_is_refused(recorded: Database) -> None:
    recorded.run(f"UPDATE {recorded.own('schema_version')} SET checksum = 'another'")
    before = rows(recorded)

    with pytest.raises(StoreCorrupt, match="schema migration 1 is not the one that this release ships"):
        asyncio.run(upgrade(recorded.url))

    assert rows(recorded) == before
