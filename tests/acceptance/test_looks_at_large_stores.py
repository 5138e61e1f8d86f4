"""What is stored must not make a look dearer: each goes by an index, and stops after so many rows.

The database itself counts what a look reads, of one store and of the same store with twice as many rows.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from tests.conftest import Take
from tests.support.databases import Database

from sagabus import Bus, RetryPolicy, Settings, event, handler
from sagabus.bus.mending.letter_filter import LetterFilter
from sagabus.store import Running
from sagabus.store.examination import FaultKind
from sagabus.store.survey import COUNTED
from sagabus.stores.sqlite import looking

LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
Look = Callable[[Bus], Awaitable[Any]]

SEED = 400
"""Messages of each subscription that the bus itself stores, before their rows are doubled."""
READ = 40 * COUNTED
"""Rows and entries of indexes that one look may read, however much is stored. A server counts some rows several times:
in an index, in the table, and once more where they are counted. A status counts in each subscription.
"""
STEPS = 200
"""Of SQLite's machine: that is what its side of a row costs at most."""

DOUBLE = """INSERT INTO {envelope} (channel, lane, due_at, message_id, message_type, partition_key, body, headers,
    correlation_id, causation_id, sent_at, attempt, failed_at, timer, stashed, hops)
SELECT channel, lane, {due_at}, {message_id}, message_type, {key}, body, headers,
    correlation_id, causation_id, sent_at, attempt, failed_at, {timer}, stashed, hops FROM {envelope}"""
DOUBLE_LETTERS = """INSERT INTO {letter} (channel, message_id, fingerprint, status, envelope, body, reason, attempts,
    last_failed_at, parked, cause) SELECT channel, {message_id}, fingerprint, status, envelope, body, reason, attempts,
    last_failed_at, parked, cause FROM {letter}"""

DOUBLE_JOURNAL = """INSERT INTO {journal} (correlation_id, handled_at, subscription, message_id, message_type, {key},
    sent_at, attempt, outcome, duration, worker) SELECT {talk}, handled_at + position, subscription, {message_id},
    message_type, {key}, sent_at, attempt, outcome, duration, worker FROM {journal}"""

DOUBLE_AUDIT = """INSERT INTO {audit} (made_at, made_by, verb, channel, target, reason, was, became)
SELECT made_at, made_by, verb, channel, {target}, reason, was, became FROM {audit}"""

LOOKS: dict[str, Look] = {
    "status": lambda bus: bus.inspect.status(),
    "workers": lambda bus: bus.inspect.workers(),
    "messages": lambda bus: bus.inspect.messages(),
    "messages of one": lambda bus: bus.inspect.messages("cleaning"),
    "messages far on": lambda bus: bus.inspect.messages("cleaning", after="0.20000"),
    "messages by key": lambda bus: bus.inspect.messages(key="r7"),
    "messages by correlation": lambda bus: bus.inspect.messages(correlation_id="nowhere"),
    "messages retrying": lambda bus: bus.inspect.messages("cleaning", kind="retrying"),
    "messages running": lambda bus: bus.inspect.messages(kind="running"),
    "messages ready": lambda bus: bus.inspect.messages(kind="ready"),
    "timers": lambda bus: bus.inspect.timers("cleaning"),
    "timers due before": lambda bus: bus.inspect.timers(due_before=LONG_AGO),
    "conversation": lambda bus: bus.inspect.conversation("long"),
    "conversation far on": lambda bus: bus.inspect.conversation("long", after="1900000000000000.1.20000"),
    "conversation of nothing": lambda bus: bus.inspect.conversation("nowhere"),
    "conversation with dead letters": lambda bus: bus.inspect.conversation("dead7"),
    "audit": lambda bus: bus.inspect.audit(),
    "audit of one": lambda bus: bus.inspect.audit("cleaning"),
    "audit far on": lambda bus: bus.inspect.audit("cleaning", after=20_000),
    "audit by target": lambda bus: bus.inspect.audit(target="nowhere"),
    "audit of one by target": lambda bus: bus.inspect.audit("cleaning", target="nowhere"),
    "audit by time": lambda bus: bus.inspect.audit(until=LONG_AGO),
    "audit of one by time": lambda bus: bus.inspect.audit("cleaning", until=LONG_AGO),
    "audit of one by name": lambda bus: bus.inspect.audit("cleaning", by="nobody"),
    "why": lambda bus: bus.inspect.why("cleaning", "r7"),
    "dead letters by subscription": lambda bus: bus.dead_letters.page(LetterFilter(subscription="billing")),
    "dead letters by time": lambda bus: bus.dead_letters.page(LetterFilter(until=LONG_AGO), status=None),
    "dead letters by key": lambda bus: bus.dead_letters.page(LetterFilter(key="nowhere")),
    "groups by time": lambda bus: bus.dead_letters.groups(until=LONG_AGO),
    "dead letters of late": lambda bus: bus.store.inspect.recent_letters(1 << 60),
    **{f"faults: {kind.value}": partial(lambda kind, bus: bus.store.inspect.faults(kind), kind) for kind in FaultKind},
}


@event("rooms.booked")
class Booked:
    room: str


@handler("cleaning", key="room", retry=RetryPolicy(attempts=1))
def clean(message: Booked) -> None:
    if message.room != "r7":
        raise ValueError("no broom")


@handler("billing", key="room")
def bill(message: Booked) -> None:
    """Nothing."""


async def seed(url: str) -> None:
    """Dead letters first, and then messages that wait."""
    async with Bus(url, clean, settings=Settings(journal="all")) as bus:
        await bus.publish(Booked(room="r7"), correlation_id="long")
        await bus.publish_many([(Booked(room=f"r{n}"), f"dead{n}") for n in range(SEED)])
        await bus.idle()
    bus = Bus(url, clean, bill)
    await bus.open(worker=False)
    await bus.publish_many([(Booked(room=f"r{n}"), f"m{n}") for n in range(SEED)])
    for _ in range(2):
        await bus.mend.pause("cleaning", reason="no broom", by="ann")
        await bus.mend.resume("cleaning", reason="a broom", by="ann")
    await bus.close()


def fill(database: Database, rows: int) -> None:
    """Double what is stored until there is so much: some copies become timers of the far future."""
    envelope, letter = database.own("envelope"), database.own("dead_letter")
    ((there,),) = database.run(f"SELECT count(*) FROM {envelope}")
    while there < rows:
        longer = [f"CONCAT({each}, '-{there}')" for each in ("message_id", "partition_key")]
        if database.kind == "sqlite":
            longer = [f"{each} || '-{there}'" for each in ("message_id", "partition_key")]
        some = "MOD(position, 16) = 1" if database.kind == "mysql" else "position % 16 = 1"
        database.run(
            DOUBLE.format(
                envelope=envelope,
                due_at=f"CASE WHEN {some} THEN 4000000000000000 ELSE due_at END",
                message_id=longer[0],
                key=longer[1],
                timer=f"CASE WHEN {some} THEN 'late' ELSE timer END",
            )
        )
        database.run(DOUBLE_LETTERS.format(letter=letter, message_id=longer[0]))
        there *= 2
    fill_journal(database, rows)
    fill_audit(database, rows)


def fill_audit(database: Database, rows: int) -> None:
    """Double the audit log until there is so much."""
    audit = database.own("audit")
    ((there,),) = database.run(f"SELECT count(*) FROM {audit}")
    while there < rows:
        database.run(DOUBLE_AUDIT.format(audit=audit, target=f"'{there}'"))
        there *= 2


def fill_journal(database: Database, rows: int) -> None:
    """Double the journal until there is so much: half of the copies are of one long conversation."""
    journal = database.own("journal")
    ((there,),) = database.run(f"SELECT count(*) FROM {journal}")
    while there < rows:
        half = "MOD(position, 2)" if database.kind == "mysql" else "position % 2"
        longer = [f"CONCAT({each}, '-{there}')" for each in ("message_id", "correlation_id")]
        if database.kind == "sqlite":
            longer = [f"{each} || '-{there}'" for each in ("message_id", "correlation_id")]
        talk = f"CASE WHEN {half} = 0 THEN 'long' ELSE {longer[1]} END"
        key = "`key`" if database.kind == "mysql" else "key"
        database.run(DOUBLE_JOURNAL.format(journal=journal, message_id=longer[0], talk=talk, key=key))
        there *= 2


class Meter:
    """Counts what the database reads for looks."""

    def __init__(self, bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bus = bus
        self._ticks = 0
        monkeypatch.setattr(looking, "_STEPS", STEPS)
        monkeypatch.setattr(looking, "time", SimpleNamespace(monotonic=self._tick))

    def _tick(self) -> float:
        self._ticks += 1
        return 0.0

    async def read(self) -> int:
        store: Any = self.bus.store
        if hasattr(store, "_looker"):
            return self._ticks
        async with store._looks.link() as link:
            if hasattr(link, "timeline"):
                await link.query("SELECT pg_stat_force_next_flush()", ())
                await link.query("SELECT pg_stat_clear_snapshot()", ())
                found = await link.query(
                    "SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE schemaname = current_schema()) "
                    "+ (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = current_schema())",
                    (),
                )
                return int(found[0][0])
            found = await link.query("SHOW SESSION STATUS LIKE 'Handler_read%'", ())
            return sum(int(row[1]) for row in found)


async def note_runs(bus: Bus) -> None:
    """A worker whose messages all run."""
    await bus.store.lease("busy", ["cleaning"], duration=3_600_000_000, window=10)
    page = await bus.inspect.messages("cleaning", limit=100)
    runs = [Running(each.message_id, each.message_type, each.key, 1_000_000, each.position) for each in page.messages]
    await bus.store.note_running("busy", {"cleaning": runs})
    assert len((await bus.inspect.messages(kind="running")).messages) == len(runs)


async def costs(url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What each look reads. The connection that measures is the one that looks."""
    bus = Bus(url, clean, bill)
    await bus.open(worker=False)
    await note_runs(bus)
    meter, found = Meter(bus, monkeypatch), dict[str, int]()
    try:
        for name, look in LOOKS.items():
            before = await meter.read()
            await look(bus)
            found[name] = await meter.read() - before
    finally:
        await bus.close()
    return found


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mysql"])
@pytest.mark.parametrize(
    "rows", [50_000, pytest.param(500_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])], ids=["100k", "1M"]
)
@pytest.mark.share(3)
async def test_twice_as_many_rows_do_not_make_a_look_dearer(
    kind: str, rows: int, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = take(kind)
    await seed(database.url)
    await asyncio.to_thread(fill, database, rows)
    once = await costs(database.url, monkeypatch)
    await asyncio.to_thread(fill, database, 2 * rows)

    twice = await costs(database.url, monkeypatch)

    assert {name: cost for name, cost in twice.items() if cost > READ} == {}
    # A filter looks at more of what is there until it has looked at as many as it may.
    dearer = {name: (once[name], cost) for name, cost in twice.items() if cost > max(1.5 * once[name], 4 * COUNTED)}
    assert dearer == {}


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mysql"])
@pytest.mark.share(3)
async def test_what_was_not_counted_to_the_end_says_so(kind: str, take: Take) -> None:
    database = take(kind)
    await seed(database.url)
    await asyncio.to_thread(fill, database, 100_000)
    bus = Bus(database.url, clean, bill)
    await bus.open(worker=False)

    status = await bus.inspect.status()
    audit = await bus.inspect.audit("cleaning", target="nowhere")
    rest = await bus.inspect.audit("cleaning", target="nowhere", after=audit.after)
    page = await bus.inspect.messages(correlation_id="nowhere")

    await bus.close()
    assert {each.name: (each.ready, each.at_least) for each in status.subscriptions} == {
        "billing": (COUNTED, True),
        "cleaning": (COUNTED, True),
    }
    assert status.dead_letters_at_least
    assert (page.messages, page.stopped) == ((), True)
    assert (audit.entries, audit.stopped) == ((), True)
    assert audit.after is not None
    assert rest.after is not None
    assert rest.after < audit.after - COUNTED // 2
