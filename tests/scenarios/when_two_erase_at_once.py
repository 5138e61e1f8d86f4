"""Two erasures that cross: together they erase each row once, both end, and neither says done before it is."""

import asyncio
from collections import Counter
from collections.abc import Mapping

import pytest
from tests.conftest import Take
from tests.scenarios.when_a_subject_is_erased import ALL, EVERYTHING, MARK, OTHER, WHY, note, plant, traces
from tests.support.databases import SERVERS, Database, ServerDatabase
from tests.support.interrupted import arranged

from sagabus import Bus

FIRST_WRITES = ["remove", "drop_instance", "drop_history", "blank_audit", "drop_letters", "drop_journal", "set_runs"]
"""Of each step."""


async def fill(database: Database) -> None:
    async with Bus(database.url, *EVERYTHING, settings=ALL) as bus:
        for mark in (MARK, OTHER):
            await plant(bus, mark)
    async with Bus(database.url) as bus:
        await note(bus, MARK, OTHER)


async def erase(bus: Bus, mark: str) -> Mapping[str, int]:
    return (await bus.mend.erase(key=mark, correlation_ids=[f"{mark}-talk"], live=True, **WHY)).counts


async def there_is(bus: Bus, mark: str) -> Mapping[str, int]:
    return (await bus.mend.erase(key=mark, correlation_ids=[f"{mark}-talk"], dry_run=True)).counts


async def written(bus: Bus) -> Counter[str]:
    """What the audit log says of all erasures."""
    total: Counter[str] = Counter()
    for entry in (await bus.inspect.audit()).entries:
        if entry.verb == "subject.erase":
            total.update(entry.after["erased"])
    return total


@pytest.mark.parametrize("name", FIRST_WRITES)
@pytest.mark.parametrize("kind", SERVERS)
async def test_each_row_is_erased_and_counted_once(
    kind: str, name: str, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = take(kind)
    assert isinstance(database, ServerDatabase)
    await fill(database)
    async with Bus(database.url) as one, Bus(database.url) as other:
        there, found = await there_is(one, MARK), list[Mapping[str, int]]()

        async def also() -> None:
            found.append(await erase(other, MARK))

        arranged(database, monkeypatch)(name, also)
        mine = await erase(one, MARK)

        assert Counter(mine) + Counter(found[0]) == await written(one) == Counter(there)
        assert traces(database, MARK) == {}


@pytest.mark.parametrize("marks", [(MARK, MARK), (MARK, OTHER)])
async def test_both_end_and_nothing_is_left(database: Database, marks: tuple[str, str]) -> None:
    await fill(database)
    async with Bus(database.url) as one, Bus(database.url) as other:
        there = Counter[str]()
        for mark in set(marks):
            there.update(await there_is(one, mark))

        done = await asyncio.gather(erase(one, marks[0]), erase(other, marks[1]))

        assert Counter(done[0]) + Counter(done[1]) == await written(one) == there
        assert {mark: traces(database, mark) for mark in marks} == {mark: {} for mark in marks}
