"""A damaged row neither stops an erasure nor hides from it what can still be read of the subject."""

from typing import Any

import pytest
from tests.conftest import Take
from tests.scenarios.when_a_subject_is_erased import ALL, EVERYTHING, MARK, OTHER, WHY, note, plant, traces
from tests.support.databases import Database

from sagabus import Bus

TALK = [f"{MARK}-talk"]
COLUMNS: dict[str, tuple[str, ...]] = {
    "envelope": ("channel", "message_type", "body", "headers", "causation_id", "timer"),
    "instance": ("saga", "state", "status", "timers", "shape"),
    "history": ("saga", "message_id", "message_type", "timer", "status", "state", "shape"),
    "dead_letter": ("channel", "envelope", "body", "reason", "error_type", "error_text", "traceback", "cause"),
    "journal": ("subscription", "message_id", "message_type", "timer", "causation_id", "outcome", "error", "worker"),
    "audit": ("made_by", "channel", "reason", "was", "became"),
    "lane": ("loud", "suspect_keys"),
    "worker": ("running",),
}
"""What may be damaged while the key of the row can be read."""
READ = {"dead_letter": ("envelope",), "audit": ("was",), "lane": ("loud", "suspect_keys"), "worker": ("running",)}
"""Of these, an erasure reads the inside."""
BINARY = {"envelope": ("channel", "message_type", "causation_id"), "instance": ("saga",), "journal": ("message_type",)}
"""Of these, MySQL keeps what is no text."""
CUT = "SUBSTR({0}, 1, LENGTH({0}) - 1)"
NO_TEXT = {"sqlite": "CAST(CAST({0} AS BLOB) || x'ff' AS TEXT)", "mysql": "CONCAT({0}, x'ff')"}


def every(kind: str, form: str, tables: dict[str, tuple[str, ...]]) -> list[tuple[str, str, str, str]]:
    return [(kind, form, table, column) for table, columns in tables.items() for column in columns]


DAMAGES = [
    *every("sqlite", CUT, COLUMNS),
    *every("sqlite", NO_TEXT["sqlite"], COLUMNS),
    *every("postgres", CUT, READ),
    *every("mysql", CUT, READ),
    *every("mysql", NO_TEXT["mysql"], BINARY),
]


async def fill(database: Database) -> None:
    async with Bus(database.url, *EVERYTHING, settings=ALL) as bus:
        for mark in (MARK, OTHER):
            await plant(bus, mark)
    async with Bus(database.url) as bus:
        await note(bus, MARK, OTHER)
    keys = f'{{"{MARK}":7,"{OTHER}":8}}'
    await database.change(f"UPDATE {database.own('lane')} SET suspect_keys = '{keys}' WHERE loud IS NOT NULL")


def counts(found: dict[str, list[tuple[Any, ...]]]) -> dict[str, int]:
    shared = {"lane", "worker"}  # one row of these has notes about both
    return {table: len(rows) for table, rows in found.items() if table not in shared}


@pytest.mark.parametrize(("kind", "form", "table", "column"), DAMAGES)
async def test_what_can_be_read_of_a_subject_is_erased(
    kind: str, form: str, table: str, column: str, take: Take
) -> None:
    database = take(kind)
    await fill(database)
    others = counts(traces(database, OTHER))
    name = f"`{column}`" if kind == "mysql" else column
    await database.change(f"UPDATE {database.own(table)} SET {name} = {form.format(name)} WHERE {name} IS NOT NULL")

    async with Bus(database.url) as bus:
        there = await bus.mend.erase(key=MARK, correlation_ids=TALK, dry_run=True)
        erased = await bus.mend.erase(key=MARK, correlation_ids=TALK, live=True, **WHY)

        assert sum(there.counts.values()) >= sum(erased.counts.values()) > 0
        assert traces(database, MARK) == {}
        assert counts(traces(database, OTHER)) == others
        assert (await bus.mend.erase(key=MARK, correlation_ids=TALK, dry_run=True)).counts == {}
