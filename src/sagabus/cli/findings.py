"""Problems and notes of a topology: each rule is a function, and each finding a sentence with the way out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sagabus.cli.analysis import Place, SagaShape, Topology
from sagabus.definitions.saga import STUCK

Level = Literal["problem", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found, and where. A problem fails the check, a note does not."""

    level: Level
    kind: str
    where: str
    text: str


def findings(topology: Topology, external: Collection[str] = ()) -> list[Finding]:
    """All findings, problems first. `external`: messages that other processes handle."""
    found = [finding for saga in topology.sagas for finding in _of_saga(saga)]
    found += [*_unhandled(topology, external), *_from_outside(topology), *_unresolved(topology), *_brokers(topology)]
    return sorted(found, key=lambda finding: finding.level != "problem")


def _of_saga(saga: SagaShape) -> Iterator[Finding]:
    where = f"saga {saga.name}"
    yield from _statuses_never_reached(saga, where)
    yield from _statuses_never_left(saga, where)
    yield from _timers(saga, where)


def _statuses_never_reached(saga: SagaShape, where: str) -> Iterator[Finding]:
    waited_for = [status for step in saga.steps for status in sorted(step.when or ())]
    if saga.unresolved:
        names = ", ".join(saga.unresolved)
        text = f"{names} computes a status at run time, so this check could not tell which statuses are reached"
        yield Finding("note", "unresolved-status", where, text)
        return
    reached = {move.status for move in saga.moves}
    assigned = {ending.status for step in saga.steps for ending in step.endings}
    for status in dict.fromkeys((*saga.statuses, *waited_for)):
        if status in reached:
            continue
        if status in assigned:
            text = f"status {status!r} is unreachable: no path from the start leads to the method that sets it"
            yield Finding("problem", "unreachable-status", where, text)
        else:
            text = f"status {status!r} is unreachable: nothing assigns it"
            yield Finding("problem", "unassigned-status", where, text)


def _statuses_never_left(saga: SagaShape, where: str) -> Iterator[Finding]:
    ways: dict[Place, list[Place | None]] = {}
    for move in saga.moves:
        if move.source is not None:
            ways.setdefault(move.source, []).append(move.target)
    stuck: dict[str, bool] = {}
    for place in saga.places:
        if place.status and not _can_leave(saga, place, ways):
            stuck[place.status] = stuck.get(place.status, True) and any(step.runs_at(place) for step in saga.steps)
    for status, lasting in stuck.items():
        if lasting:
            text = f"no handler leaves status {status!r}: its handlers neither set another status nor complete the saga"
            yield Finding("note", "lasting-status", where, text)
        else:
            text = f"status {status!r} is a dead end: handle a message there, or call ctx.complete() where it is set"
            yield Finding("problem", "dead-end-status", where, text)


def _can_leave(saga: SagaShape, start: Place, ways: Mapping[Place, Sequence[Place | None]]) -> bool:
    """Whether any path leads from here to another status or to the end."""
    if any(step.name in saga.unresolved and step.runs_at(start) for step in saga.steps):
        return True
    seen: set[Place] = set()
    waiting = [start]
    while waiting:
        place = waiting.pop()
        for target in ways.get(place, ()) if place not in seen else ():
            if target is None or target.status != start.status:
                return True
            waiting.append(target)
        seen.add(place)
    return False


def _timers(saga: SagaShape, where: str) -> Iterator[Finding]:
    handled = {step.timer for step in saga.steps if step.timer is not None}
    for step in saga.steps:
        for name in step.facts.timers:
            if name not in handled:
                text = f"method {step.name} sets timer {name!r}, which no @timer({name!r}) handles"
                yield Finding("problem", "unhandled-timer", where, text)
    unresolved = any(step.facts.unresolved for step in saga.steps)
    set_somewhere = {name for step in saga.steps for name in step.facts.timers}
    for name in sorted(handled - set_somewhere - {STUCK}) if not unresolved else ():
        yield Finding("note", "timer-never-set", where, f"nothing sets timer {name!r}")


def _unhandled(topology: Topology, external: Collection[str]) -> Iterator[Finding]:
    receivers = topology.receivers()
    for message, senders in sorted(topology.senders().items()):
        if message not in receivers and message not in external and message not in topology.leaving:
            text = f"no subscription handles {message}, which {', '.join(senders)} sends"
            yield Finding("problem", "unhandled-message", message, text)


def _from_outside(topology: Topology) -> Iterator[Finding]:
    senders = topology.senders()
    for message, receivers in sorted(topology.receivers().items()):
        if message not in senders:
            where = f"by the broker {topology.coming[message]}, or " if message in topology.coming else ""
            handles = f"{', '.join(receivers)} handles it, and no subscription sends it"
            text = f"{message} must come {where}from outside: {handles}"
            yield Finding("note", "message-from-outside", message, text)


def _unresolved(topology: Topology) -> Iterator[Finding]:
    for text in topology.unresolved():
        yield Finding(
            "note", "unresolved-message", text.partition(":")[0], f"the message is computed at run time: {text}"
        )


def _brokers(topology: Topology) -> Iterator[Finding]:
    for message, place in sorted(topology.leaving.items()):
        yield Finding("note", "message-leaves", message, f"{message} leaves the service by the broker {place}")
    for message in topology.private:
        yield Finding("note", "message-stays", message, f"{message} stays in the service")
    for place in topology.unstamped:
        text = (
            "foreign messages have no time, so a copy that comes after more than the retention takes effect again: "
            "add Foreign(time_from=...) if they say one"
        )
        yield Finding("note", "foreign-without-time", f"broker {place}", text)
