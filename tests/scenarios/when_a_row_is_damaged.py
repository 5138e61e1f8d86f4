"""A row that nobody can read costs itself: it is held with its bytes, and everything beside it goes on."""

import json
from datetime import timedelta
from typing import Any

import pytest
from tests.conftest import Take
from tests.scenarios.conftest import MakeHarness
from tests.support.databases import SERVERS, Database

from sagabus import Bus, Cause, DeadLetter, ReplayResult, RetryPolicy, Saga, event, handler, handles, starts

_LONG = timedelta(days=1)
NOT_TEXT = {"sqlite": "CAST(x'6dff6d' AS TEXT)", "mysql": "x'6dff6d'"}
"""Bytes that are no UTF-8, as a statement writes them where the database keeps such."""
ANYWHERE = [("headers", "'{not json'"), ("headers", "'[1]'"), ("headers", "'{\"a\":1}'")]
DAMAGES = [
    *((kind, column, value) for kind in ("sqlite", *SERVERS) for column, value in ANYWHERE),
    *(("sqlite", column, NOT_TEXT["sqlite"]) for column in ("body", "headers", "correlation_id", "causation_id")),
    *(
        (kind, column, text)
        for kind, text in NOT_TEXT.items()
        for column in ("message_id", "message_type", "partition_key")
    ),
    ("mysql", "correlation_id", NOT_TEXT["mysql"]),
]


@event("damaged.noted")
class Noted:
    key: str
    number: int


@event("damaged.opened")
class Opened:
    key: str


class Account(Saga, name="accounts", key="key"):
    key: str
    status: str = "open"

    @starts
    def opened(self, message: Opened) -> None: ...

    @handles
    def noted(self, message: Noted) -> None:
        self.status = f"noted {message.number}"


def notes(seen: list[tuple[str, int]]) -> Any:
    @handler("notes", key="key")
    def note(message: Noted) -> None:
        seen.append((message.key, message.number))

    return note


async def worked_off(database: Database, column: str, value: str) -> tuple[list[tuple[str, int]], list[DeadLetter]]:
    """Publish messages of two keys, damage the first, and handle them."""
    seen: list[tuple[str, int]] = []
    bus = Bus(database.url, notes(seen))
    await bus.open(worker=False)
    try:
        for number, key in enumerate(("A", "A", "B")):
            await bus.publish(Noted(key=key, number=number), message_id=f"m{number}", headers={"trace": "x"})
        await database.change(f"UPDATE {database.own('envelope')} SET {column} = {value} WHERE message_id = 'm0'")
        await bus._start_worker()
        await bus.idle(20)
        return sorted(seen), list(await bus.dead_letters.list())
    finally:
        await bus.close()


@pytest.mark.parametrize(("kind", "column", "value"), DAMAGES)
async def test_a_damaged_message_is_held_with_its_bytes_and_the_others_go_on(
    kind: str, column: str, value: str, take: Take
) -> None:
    seen, (letter,) = await worked_off(take(kind), column, value)

    assert seen == [("A", 1), ("B", 2)]
    assert (letter.cause, letter.envelope.channel, letter.attempts) == (Cause.DAMAGED, "notes", 0)
    assert column in letter.reason
    whole = json.loads(letter.envelope.body)
    assert set(whole) >= {"body", "headers", column}
    if "6dff6d" in value:
        assert whole[column] == {"hex": "6dff6d"}
    if column != "body":
        assert json.loads(whole["body"]) == {"key": "A", "number": 0}


async def test_a_damaged_message_cannot_be_replayed_even_by_force_and_can_be_discarded(database: Database) -> None:
    _, (letter,) = await worked_off(database, "headers", "'{'")

    async with Bus(database.url) as bus:
        assert await bus.dead_letters.replay(letter.id, reason="a test") is ReplayResult.DAMAGED
        assert await bus.dead_letters.replay(letter.id, force=True, reason="a test") is ReplayResult.DAMAGED
        assert await bus.dead_letters.discard(letter.id, reason="a test") is ReplayResult.DONE


@pytest.mark.parametrize(("kind", "column", "value"), DAMAGES)
async def test_whatever_looks_at_all_messages_passes_a_damaged_one(
    kind: str, column: str, value: str, take: Take
) -> None:
    database = take(kind)
    async with Bus(database.url, notes([])) as bus:
        await bus._worker.stop(1.0)  # type: ignore[union-attr]  # it is open
        for delay in (None, timedelta(hours=1)):
            await bus.publish(Noted(key="A", number=0), delay=delay)
        await database.change(f"UPDATE {database.own('envelope')} SET {column} = {value}")

        assert (await bus.store.divide(7)).lanes == 7
        assert [(each.ready, each.scheduled) for each in await bus.counts()] == [(1, 1)]
        assert [each.damage is not None for each in await bus.store.inspect.envelopes("notes")] == [True, True]
        assert (await bus.store.inspect.due(["notes"])) is True


async def test_a_damaged_state_costs_its_key_only(on_database: MakeHarness, database: Database) -> None:
    async with on_database(Account) as bus:
        for key in ("A", "B"):
            await bus.publish(Opened(key=key))
    await database.change(
        f"UPDATE {database.own('instance')} SET timers = '[' WHERE saga = 'accounts' AND {_key(database)} = 'A'"
    )
    async with on_database(Account) as bus:
        for key in ("A", "B"):
            await bus.publish(Noted(key=key, number=1), wait=False)
        await bus.idle()
        await bus.advance(_LONG)

        assert [letter.envelope.partition_key for letter in await bus.dead_letters()] == ["A"]
        damaged, record = await bus.bus.sagas.list(Account)
        assert (record.key, record.status) == ("B", "noted 1")
        assert "'A' cannot be read: timers" in str(damaged.error)


async def test_a_damaged_letter_is_listed_with_the_others(database: Database) -> None:
    await worked_off(database, "headers", "'{'")
    await database.change(f"UPDATE {database.own('dead_letter')} SET envelope = '{{', parked = 1")

    async with Bus(database.url) as bus:
        (letter,) = await bus.dead_letters.list()
        assert (letter.cause, letter.envelope.damage is not None) == (Cause.DAMAGED, True)
        assert await bus.dead_letters.replay(letter.id, force=True, reason="a test") is ReplayResult.DAMAGED
        assert await bus.dead_letters.discard(letter.id, reason="a test") is ReplayResult.DONE


@pytest.mark.parametrize("envelope", ["{", '["notes",1,"m","damaged.noted","A"', '["notes",1,2,3,"A"]'])
async def test_a_damaged_letter_stands_in_the_way_of_no_other(
    envelope: str, on_database: MakeHarness, database: Database
) -> None:
    seen: list[int] = []

    @handler("notes", key="key", parks=True, retry=RetryPolicy(attempts=1))
    def note(message: Noted) -> None:
        if message.number < 2:
            raise ValueError(message)
        seen.append(message.number)

    async with on_database(note) as bus:
        for key, number in (("A", 0), ("B", 1), ("A", 2)):
            await bus.publish(Noted(key=key, number=number))
        parked, other = await bus.dead_letters()
        await database.change(f"UPDATE {database.own('dead_letter')} SET envelope = '{envelope}' WHERE id = {other.id}")
        before = list(seen)
        result = await bus.bus.dead_letters.discard(parked.id, reason="a test")
        await bus.advance(timedelta(minutes=1))

        assert (before, result, seen) == ([], ReplayResult.DONE, [2])


def _key(database: Database) -> str:
    return "`key`" if database.kind == "mysql" else "key"


LANES = [
    (kind, column, value)
    for kind in ("sqlite", *SERVERS)
    for column in ("loud", "suspect_keys")
    for value in ("'{'", "'7'")
]
LANES += [("sqlite", column, NOT_TEXT["sqlite"]) for column in ("loud", "suspect_keys", "owner")]


@pytest.mark.parametrize(("kind", "column", "value"), LANES)
async def test_damaged_notes_of_a_lane_stop_no_worker(kind: str, column: str, value: str, take: Take) -> None:
    database, seen = take(kind), list[tuple[str, int]]()
    bus = Bus(database.url, notes(seen))
    await bus.open(worker=False)
    await bus.publish(Noted(key="A", number=0))
    await bus.store.lease("dead", ["notes"], duration=1, window=10)
    await database.change(f"UPDATE {database.own('lane')} SET {column} = {value}")
    await bus._start_worker()
    await bus.idle(20)
    await bus.close()

    assert seen == [("A", 0)]


@pytest.mark.parametrize("column", ["made_by", "target", "reason", "was", "became"])
async def test_a_damaged_entry_of_the_audit_log_is_shown_with_the_others(column: str, take: Take) -> None:
    database = take("sqlite")
    async with Bus(database.url, notes([])) as bus:
        for act in (bus.mend.pause, bus.mend.resume):
            await act("notes", reason="a test", by="ann")
        await database.change(f"UPDATE {database.own('audit')} SET {column} = {NOT_TEXT['sqlite']} WHERE id = 1")

        verbs = [each.verb for each in (await bus.inspect.audit()).entries]
        assert verbs == ["subscription.resume", "subscription.pause"]
