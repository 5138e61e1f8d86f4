"""What a report of a wait says, in sentences for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from math import ceil

from sagabus.bus.inspection.records import (
    Kind,
    LetterRecord,
    MessageRecord,
    PauseRecord,
    WaitReport,
)
from sagabus.text import span_text

_MOST_NAMED = 5
_KINDS: Mapping[Kind, str] = {
    "ready": "is due and waits for its worker",
    "running": "is running",
    "held": "waits behind an earlier one of its key",
    "scheduled": "is scheduled",
    "timer": "is a timer",
    "retrying": "has failed and runs again later",
    "stashed": "is stashed",
}


def sentences(found: WaitReport, *, is_saga: bool) -> WaitReport:
    """The report with its sentences, the one that explains most first."""
    lines = [*_of_the_queue(found), *_of_letters(found)]
    if is_saga:
        others = [*_of_timers(found), *_of_reactions(found), *_of_others(found)]
        lines = [_of_the_instance(found), *lines, *others]
    if found.paused is not None:
        lines.insert(0, _paused(found, found.paused))
    return replace(found, sentences=tuple(lines) or (f"Nothing is stored for {found.subscription} {found.key}.",))


def _paused(found: WaitReport, pause: PauseRecord) -> str:
    return f"{_pause_text(found.subscription, pause)}."


def _pause_text(name: str, pause: PauseRecord) -> str:
    who = f"by {pause.by} since {_text(pause.since)} ({pause.reason})"
    return f"{name} is paused {who}: `sagabus resume` lets it go on"


def _of_the_instance(found: WaitReport) -> str:
    name = f"{found.subscription} {found.key}"
    if found.updated_at is None and found.expects is None:  # the name may be that of a handler
        return f"No saga instance is stored for {name}; a handler has none."
    if found.updated_at is None:
        by = f" It starts with {_or(found.starts)}." if found.starts else ""
        return f"{name} has no instance.{by}"
    since = f"for {span_text(found.at - found.updated_at)} (version {found.version})"
    if found.completed:
        return f"{name} has finished{_status(found)}, {since}: it waits for nothing."
    return f"{name} has been waiting{_status(found)} {since}."


def _status(found: WaitReport) -> str:
    return "" if found.status is None else f" in status {found.status!r}"


def _of_the_queue(found: WaitReport) -> Iterator[str]:
    yield from _of_the_first(found)
    yield from (f"{_named(each)} {_running(each, found.at)}." for each in _first(found, "running"))
    yield from _of_ready(found)
    for each in _first(found, "stashed"):
        until = "" if each.due_at is None else f" until {_text(each.due_at)}"
        yield f"{_named(each)} is stashed{until}: the saga has no reaction for it now."
    for each in _first(found, "scheduled"):
        yield f"{_named(each)} is scheduled for {_text(each.due_at)}, {_in(each, found.at)}."
    for each in _first(found, "retrying"):
        if found.holder is None or each.position != found.holder.position:
            yield f"{_named(each)} {_again(each, found.at)}."


def _of_the_first(found: WaitReport) -> Iterator[str]:
    """What lets no other message of the key run, and what waits behind it."""
    behind, holder = _behind(found), found.holder
    parked = [each for each in found.dead_letters if each.parked]
    if found.is_parked:
        yield from (_parked(each, behind) for each in parked)
        if not parked:
            yield f"A dead letter parks the key.{behind}"
    elif holder is not None and holder.kind == "retrying":
        yield f"{_named(holder)} {_again(holder, found.at)}.{behind}"
    elif holder is not None and behind:
        yield f"{_named(holder)} runs first.{behind}"


def _again(each: MessageRecord, now: datetime) -> str:
    """What has become of a message that is tried again. What is no fault of its own is not counted."""
    if each.attempts:
        return f"has failed {_times(each.attempts)} and runs again {_in(each, now)}"
    return f"was put back without a failure, as the log of its worker says, and is tried again {_in(each, now)}"


def _of_ready(found: WaitReport) -> Iterator[str]:
    ready = [each for each in found.messages if each.kind == "ready"]
    if not ready:
        return
    what = f"{_named(ready[0])} is due" if len(ready) == 1 else f"{len(ready)} messages are due"
    worker = found.worker
    if worker is None:
        yield f"{what}, but lane {found.lane} has no live worker: start one with `sagabus run`."
        return
    if (alone := found.alone) is not None:
        why = f"workers have died {_times(alone.deaths)} while that was in flight"
        runs = f"{_named(alone)} of {alone.subscription} runs alone there, because {why}"
        yield f"{what} in lane {found.lane} of worker {worker.worker}. {runs}: nothing else begins meanwhile."
        return
    age = span_text(worker.heartbeat_age)
    yield f"{what} in lane {found.lane} of worker {worker.worker}, which last renewed its lease {age} ago."


def _of_letters(found: WaitReport) -> Iterator[str]:
    others = [each for each in found.dead_letters if not (each.parked and found.is_parked)]
    for each in others[:_MOST_NAMED]:
        why = f"{each.cause.value}: {each.reason}"
        yield f"Dead letter {each.id} of the key is open: {_named(each)} had no effect ({why})."


def _of_timers(found: WaitReport) -> Iterator[str]:
    for each in _first(found, "timer"):
        yield f"Its timer {each.timer!r} is due {_in(each, found.at)}, at {_text(each.due_at)}."


def _of_others(found: WaitReport) -> Iterator[str]:
    """What stays elsewhere in the conversation of an instance: it may wait for an answer to that."""
    letters = [each for each in found.elsewhere if isinstance(each, LetterRecord)]
    for each in letters[:_MOST_NAMED]:
        what = f"{_named(each)} of {each.subscription}, is dead letter {each.id} ({each.cause.value}: {each.reason})"
        yield f"Another message of its conversation, {what}."
    for other in [each for each in found.elsewhere if isinstance(each, MessageRecord)][:_MOST_NAMED]:
        yield f"Another message of its conversation, {_named(other)} of {other.subscription}, {_there(other, found)}."


def _there(each: MessageRecord, found: WaitReport) -> str:
    """Why a message waits at another subscription, as far as it is known here."""
    name, pause = each.subscription, found.elsewhere_paused.get(each.subscription)
    if each.kind == "running":
        return _running(each, found.at)
    if pause is not None:
        due = "is due" if each.kind == "ready" else _KINDS[each.kind]
        return f"{due}, but {_pause_text(name, pause)}"
    if each.kind == "ready" and name not in found.elsewhere_served:
        return f"is due, but no live worker serves {name}: start one with `sagabus run`"
    if each.kind == "held":
        return f"{_KINDS['held']}: `sagabus sagas why` for {name} {each.key} says more"
    return _KINDS[each.kind]


def _running(each: MessageRecord, now: datetime) -> str:
    since = each.running_since or now
    lasted = span_text(max(now - since, timedelta(0)))
    return f"has been running for {lasted} in worker {each.worker}, since {_text(since)}"


def _of_reactions(found: WaitReport) -> Iterator[str]:
    if found.updated_at is None or found.completed:
        return
    has_timer = any(each.timer is not None for each in found.messages)
    if found.expects is None:
        yield "Its class or its state is not known here: look with the MODULE:BUS that declares it."
    elif found.expects:
        yield f"It reacts now to {_or(found.expects)}."
    elif not has_timer:
        yield "It reacts to no message in this status and has no timer: nothing that is declared can move it."
    else:
        yield "It reacts to no message in this status, so only its timer can move it."


def _parked(letter: LetterRecord, behind: str) -> str:
    what = f"Dead letter {letter.id} ({_named(letter)}, {letter.cause.value}) parks the key"
    return f"{what}: replay or discard it with `sagabus dead-letters`.{behind}"


def _behind(found: WaitReport) -> str:
    count = sum(each.kind == "held" for each in found.messages)
    if not count:
        return ""
    plus = "+" if found.more_messages else ""
    return f" {count}{plus} later message{'s wait' if count > 1 or plus else ' waits'} behind it."


def _first(found: WaitReport, kind: str) -> Sequence[MessageRecord]:
    return [each for each in found.messages if each.kind == kind][:_MOST_NAMED]


def _named(each: MessageRecord | LetterRecord) -> str:
    return f"{each.message_type} {each.message_id}" if each.timer is None else f"The timer {each.timer!r}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _in(each: MessageRecord, now: datetime) -> str:
    """How long it still takes, in whole seconds."""
    left = timedelta(0) if each.due_at is None else each.due_at - now
    return f"in {span_text(timedelta(seconds=ceil(left.total_seconds())))}"


def _text(at: datetime | None) -> str:
    return "now" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _or(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
