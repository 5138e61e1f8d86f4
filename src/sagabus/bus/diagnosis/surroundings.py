"""What the bus stands on: the database with its clock and its settings, and the brokers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

from sagabus.bus.bridging import Way
from sagabus.bus.diagnosis.records import Finding
from sagabus.bus.diagnosis.subject import Looks, Subject
from sagabus.clock import micros
from sagabus.errors import TransportError
from sagabus.store.examination import SMALLEST_ROOM, Conditions
from sagabus.text import discreet, hidden, size_text, span_text
from sagabus.transport import Overseen, Topology
from sagabus.transports.wire import feeds_another_store

OFF = timedelta(seconds=5)
"""So far may the clock of this machine and that of the database be apart."""
OLD_TRANSACTION = timedelta(minutes=15)
"""While it is open, the database keeps every row that was deleted since, so that fetches and looks take longer."""
_PATIENCE = 5.0
"""Seconds for one broker."""


def no_room_text(conditions: Conditions) -> str | None:
    """What keeps a store from taking work: a full disk. None where there is room, or where that is not known."""
    if conditions.room is None or conditions.room >= SMALLEST_ROOM:
        return None
    left = f"the disk of the store has only {size_text(conditions.room)} left"
    return f"{left}: a full one accepts and commits nothing, and costs workers their lanes. Make room"


async def _clock(subject: Subject) -> AsyncIterator[Finding]:
    before = subject.clock.now()
    asked = (await subject.store.inspect.conditions()).now
    after = subject.clock.now()
    ahead = before - asked if before > asked else asked - after
    if ahead > micros(OFF):
        which = "ahead of" if before > asked else "behind"
        apart = span_text(timedelta(microseconds=ahead))
        text = f"the clock of this machine is {apart} {which} that of the store: set both by the same time server"
        yield subject.finding("clock", "warning", "clock", text, "timedatectl status")


async def _room(subject: Subject) -> AsyncIterator[Finding]:
    conditions = await subject.store.inspect.conditions()
    if (text := no_room_text(conditions)) is not None:
        yield subject.finding("disk-full", "error", "store", text, conditions.room_command)


async def _pooler(subject: Subject) -> AsyncIterator[Finding]:
    if (await subject.store.inspect.conditions()).is_pooled:
        text = "a transaction pooler stands before the database, so no statement stays prepared and notify=1 is refused"
        yield subject.finding("pooler", "note", "store", text)


async def _transactions(subject: Subject) -> AsyncIterator[Finding]:
    conditions = await subject.store.inspect.conditions()
    age = conditions.oldest_transaction
    if age is not None and age > micros(OLD_TRANSACTION):
        since = span_text(timedelta(microseconds=age))
        text = f"a transaction in the database has been open for {since}, and keeps what is deleted: find and end it"
        yield subject.finding("old-transaction", "warning", "store", text, conditions.transactions_command)


async def _schema(subject: Subject) -> AsyncIterator[Finding]:
    versions, newest = await subject.store.versions(), subject.store.newest_version()
    if versions and newest is not None and max(versions) != newest:
        text = f"the schema has version {max(versions)}, and this release works with {newest}"
        way_out = "run this release's migration" if max(versions) < newest else "upgrade sagabus here"
        yield subject.finding("schema", "error", "store", f"{text}: {way_out}", subject.command("migrate"))


async def _durability(subject: Subject) -> AsyncIterator[Finding]:
    for risk in await subject.store.durability_risks():
        yield subject.finding("durability", "warning", "store", f"a crash may lose commits: {hidden(risk)}")


async def _brokers(subject: Subject) -> AsyncIterator[Finding]:
    for way in subject.bridging.ways:
        place = way.transport.place
        topology = await subject.bridging.wanted(way, subject.store, keeps=False)
        try:
            async with asyncio.timeout(_PATIENCE):
                found = await _of_broker(subject, way, topology)
        except (TransportError, TimeoutError) as error:
            why = discreet(str(error)) or f"nothing for {_PATIENCE:g} s"
            text = f"the broker {place} does not answer ({why}), so what leaves by it waits: bring it back"
            found = [subject.finding("broker-away", "error", place, text)]
        for finding in found:
            yield finding


async def _of_broker(subject: Subject, way: Way, topology: Topology) -> list[Finding]:
    place = way.transport.place
    link = await way.transport.connect()
    try:
        problems = await link.examine(topology)
        risks = await link.durability_risks()
    finally:
        await link.close()
    fed = feeds_another_store(topology.service)
    declare = subject.command("topology", options="--declare")
    move = subject.command("topology", options="--move")
    return [
        *(subject.finding("other-store", "error", place, f"{place}: {each}", move) for each in problems if each == fed),
        *(
            subject.finding("topology", "error", place, f"{place}: {hidden(each)}", declare)
            for each in problems
            if each != fed
        ),
        *(subject.finding("durability", "warning", place, f"the broker {place} {hidden(each)}") for each in risks),
    ]


async def _policies(subject: Subject) -> AsyncIterator[Finding | str]:
    """All brokers at once: one that does not answer costs the others no time."""
    for found in await asyncio.gather(*(_policies_of(subject, way) for way in subject.bridging.ways)):
        for each in found:
            yield each


async def _policies_of(subject: Subject, way: Way) -> list[Finding | str]:
    transport, place = way.transport, way.transport.place
    topology = await subject.bridging.wanted(way, subject.store, keeps=False)
    if not isinstance(transport, Overseen) or not topology.receives:
        return []
    if transport.unseen:
        return [subject.finding("unseen-policies", "note", place, f"{place}: {transport.unseen}")]
    try:
        async with asyncio.timeout(_PATIENCE):
            found = await transport.hazards(topology)
    except TransportError as error:
        return [f"{place}: {error}"]
    except TimeoutError:
        return [f"{place}: no answer for {_PATIENCE:g} s"]
    return [
        subject.finding("policy", each.severity, place, f"{place}: {hidden(each.text)}", each.command) for each in found
    ]


LOOKS: Looks = [
    ("the clock of the store", _clock),
    ("the disk of the store", _room),
    ("the pooler", _pooler),
    ("open transactions", _transactions),
    ("the schema", _schema),
    ("what a crash may lose", _durability),
    ("the brokers", _brokers),
    ("the policies of brokers", _policies),
]
