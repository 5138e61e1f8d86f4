"""Whether work gets done: who works on what waits, since when, and what ended as a dead letter."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from operator import attrgetter
from shlex import quote

from sagabus.bus.diagnosis.records import Finding, Severity
from sagabus.bus.diagnosis.subject import Looks, Subject, agreeing, counted
from sagabus.clock import micros
from sagabus.definitions.saga import SagaDefinition
from sagabus.engine.routing import BROKER_IN, BROKER_OUT
from sagabus.engine.store_watch import RECENTLY
from sagabus.engine.stuck_watch import pages
from sagabus.store import Running, WorkerSeen
from sagabus.store.examination import Still
from sagabus.store.mending import Paused
from sagabus.store.survey import Backlog, LaneCount
from sagabus.text import span_text

GROWING = 20
"""Dead letters of one subscription within RECENTLY are a warning before; more than these are an error."""


async def _subscriptions(subject: Subject) -> AsyncIterator[Finding]:
    inspect = subject.store.inspect
    known = {each.channel for each in (await subject.store.routing()).subscriptions}
    workers = Counter(each.channel for each in await inspect.workers())
    lanes = {each.channel: each for each in await inspect.lane_counts()}
    paused = {each.channel: each for each in await inspect.paused()}
    for name in sorted(set(subject.definitions) - known):
        text = f"{name} is declared and not registered, so publishers do not know it"
        yield subject.finding("unregistered", "warning", name, text, subject.command("migrate"))
    for name in sorted({*await inspect.channels(), *known}):
        backlog = await inspect.backlog(name)
        if name not in known:
            if finding := _unknown(subject, backlog):
                yield finding
            continue
        for finding in _unserved(subject, backlog, workers[name], lanes.get(name)):
            yield finding
        if name in paused:
            yield _paused(subject, backlog, paused[name], (await inspect.conditions()).now)
        elif (finding := _old(subject, backlog)) is not None:
            yield finding


def _paused(subject: Subject, backlog: Backlog, pause: Paused, now: int) -> Finding:
    name, since = backlog.channel, span_text(timedelta(microseconds=max(now - pause.since, 0)))
    why = f" ({pause.reason})" if pause.reason else ""
    text = f"{name} has been paused by {pause.by} for {since}{why}, and {_waiting(backlog)}: resume it"
    return subject.finding("paused", "warning", name, text, subject.command("resume", name, options="--reason TEXT"))


def _unknown(subject: Subject, backlog: Backlog) -> Finding | None:
    count, name = sum(backlog.counts.values()), backlog.channel
    if not count:
        return None
    way_out = "start a worker that declares it, or cancel them for good"
    text = f"{_waiting(backlog)} in {name}, and nothing subscribes there: {way_out}"
    command = subject.command("mend cancel-all", name, options="--reason TEXT")
    return subject.finding("unknown-channel", "error", name, text, command)


def _unserved(subject: Subject, backlog: Backlog, workers: int, lanes: LaneCount | None) -> Iterator[Finding]:
    name, waits = backlog.channel, sum(backlog.counts.values())
    severity: Severity = "error" if waits else "warning"
    and_waits = f", and {_waiting(backlog)}" if waits else ""
    if not workers and name.startswith(BROKER_OUT):
        text = f"no bridge takes what leaves by {name}{and_waits}: start a worker with that transport"
        yield subject.finding("stopped-bridge", severity, name, text, _run(subject))
    elif not workers:
        yield _no_worker(subject, backlog, severity, and_waits)
    elif lanes is not None and lanes.owned < lanes.lanes:
        free = lanes.lanes - lanes.owned
        text = f"{free} of {counted(lanes.lanes, 'lane')} of {name} {agreeing(free, 'have')} no worker{and_waits}"
        text += ": restart its workers"
        yield subject.finding("orphan-lanes", severity, name, text, subject.command("workers"))


def _no_worker(subject: Subject, backlog: Backlog, severity: Severity, and_waits: str) -> Finding:
    name = backlog.channel
    text = f"no live worker serves {name}{and_waits}"
    if not subject.definitions or name in subject.definitions or name.startswith(BROKER_IN):
        text += ": start one, or remove the subscription"
        return subject.finding("no-worker", severity, name, text, _run(subject))
    # To run the bus that asks would not help.
    text += ", and this bus does not declare it: start a worker that does, or remove the subscription"
    force = "--force" if and_waits else ""
    return subject.finding(
        "no-worker", severity, name, text, subject.command("subscriptions remove", name, options=force)
    )


def _run(subject: Subject) -> str:
    """Only a bus can be run."""
    return subject.command("run") if not subject.target.startswith("--") else "sagabus run MODULE:BUS"


def _old(subject: Subject, backlog: Backlog) -> Finding | None:
    age, name = backlog.oldest_age, backlog.channel
    if age is None or age <= micros(subject.max_age):
        return None
    since = span_text(timedelta(microseconds=age))
    if name.startswith(BROKER_OUT):
        text = f"{_waiting(backlog)} to leave by {name}, the oldest for {since}: see whether its broker answers"
        return subject.finding("outbound-backlog", "error", name, text, subject.command("messages", name))
    text = f"the oldest of {_messages(backlog)} for {name} has been ready for {since}"
    command = subject.command("messages", name, options="--kind ready")
    return subject.finding("old-backlog", "warning", name, text, command)


def _messages(backlog: Backlog) -> str:
    count = sum(backlog.counts.values())
    return f"{count:,}+ messages" if backlog.more else counted(count, "message")


def _waiting(backlog: Backlog) -> str:
    return f"{_messages(backlog)} {agreeing(sum(backlog.counts.values()), 'wait')}"


async def _long_runs(subject: Subject) -> AsyncIterator[Finding]:
    """What workers of all processes have noted in the store; and what this process knows before it has noted it."""
    noted = set[str]()
    for each in await subject.store.inspect.workers():
        long = [run for run in each.runs if run.lasted >= micros(subject.warn_after)]
        if long:
            noted.add(each.channel)
            yield _long(subject, each, long)
    for name, count in sorted(subject.long_runs.items()):
        if name not in noted:
            lasting = f"{counted(count, 'run')} of {name} in this process {agreeing(count, 'last')} long"
            text = f"{lasting}: give the calls in it a time limit"
            yield subject.finding("long-runs", "warning", name, text, subject.command("workers"))


def _long(subject: Subject, seen: WorkerSeen, runs: Sequence[Running]) -> Finding:
    first, count = max(runs, key=attrgetter("lasted")), len(runs)
    of_key = "" if first.key is None else f" of key {first.key!r}"
    since = span_text(timedelta(microseconds=first.lasted))
    # The note names the longest. If all of these are long, those that it counts only may be as well.
    has_more = seen.running > len(seen.runs) == count
    many = f"{count}+ runs" if has_more else counted(count, "run")
    lasting = f"{many} of {seen.channel} in worker {seen.worker} {agreeing(count, 'last')} long"
    text = f"{lasting}, {first.message_type} {first.message_id}{of_key} for {since}: give the calls in it a time limit"
    return subject.finding("long-runs", "warning", seen.channel, text, subject.command("workers"))


async def _letters(subject: Subject) -> AsyncIterator[Finding]:
    found = await subject.store.inspect.letter_counts()
    recent = await subject.store.inspect.recent_letters(micros(RECENTLY))
    for each in found.counts:
        parked = f", and {counted(each.parked, 'key')} of them parked" if each.parked else ""
        waits = f"{agreeing(each.count, 'wait')} for a decision{parked}"
        text = f"{counted(each.count, 'dead letter')} of {each.channel} ({each.cause}) {waits}"
        command = subject.command("dead-letters list", options=f"--subscription {quote(each.channel)}")
        yield subject.finding("dead-letters", "warning", each.channel, text, command)
    for name, count in sorted(recent.items()):
        if count > GROWING:
            text = f"{name} made {counted(count, 'dead letter')} within {span_text(RECENTLY)}: most messages may fail"
            command = subject.command("dead-letters list", options=f"--subscription {quote(name)}")
            yield subject.finding("dead-letters-grow", "error", name, text, command)


async def _stuck(subject: Subject) -> AsyncIterator[Finding]:
    for saga in subject.definitions.values():
        if not isinstance(saga, SagaDefinition) or not saga.stuck_after:
            continue
        found: list[Still] = []
        now = (await subject.store.inspect.conditions()).now
        async for page, _ in pages(subject.store, saga):
            found += page
        if found:
            first = min(found, key=lambda each: each.updated_at)
            since = span_text(timedelta(microseconds=now - first.updated_at))
            text = f"{counted(len(found), 'instance')} of {saga.name} stuck: {first.key} has not changed for {since}"
            yield subject.finding(
                "stuck", "warning", saga.name, text, subject.command("sagas why", saga.name, first.key)
            )


LOOKS: Looks = [
    ("stuck instances", _stuck),
    ("subscriptions and workers", _subscriptions),
    ("runs that last", _long_runs),
    ("dead letters", _letters),
]
