"""One conversation across sagas and handlers, in order of time: what was handled, what waits, and what went wrong.

What was handled is known from the journal, so far as one is written. The rest is always there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from sagabus.bus.inspection.messages import MOST, is_number
from sagabus.bus.inspection.records import Conversation, ConversationEntry, ConversationInstance
from sagabus.clock import moment
from sagabus.envelope import DeadLetter, Instance, Recorded
from sagabus.settings import Settings
from sagabus.store import Inspection, JournalRow, Store
from sagabus.store.journal import JournalMark
from sagabus.store.survey import SCANNED, LettersSeen, Waiting, WaitingPage, Wanted

_MOST_WAITING = 1_000
_MOST_INSTANCES = 20
_MOST_STEPS = 1_000
_MOST_NAMED = 5
_LAST = 2**62


class _Place(NamedTuple):
    """Where an entry stands in the order of time. Of one instant the transition comes first, then the run."""

    at: int
    rank: int
    number: int


_TRANSITION, _RUN, _LETTER, _WAITING = range(4)
_BEGIN = _Place(-1, 0, 0)


class _Found(NamedTuple):
    """What the store knows of a conversation, and how far it has looked."""

    runs: Sequence[JournalRow]
    """From the place where the page begins, one more than the page has."""
    waiting: WaitingPage
    letters: LettersSeen
    instances: Sequence[Instance]
    steps: Sequence[Recorded]
    more_steps: bool
    more_instances: bool


async def conversation(
    store: Store, settings: Settings, correlation_id: str, *, after: str | None, limit: int, now: int
) -> Conversation:
    """One page; ValueError for a page that there cannot be."""
    if not 1 <= limit <= MOST:
        raise ValueError(f"a page has 1 to {MOST:,} entries, not {limit}")
    begin = _place_of(after)
    found = await _look(store, correlation_id, begin, limit)
    every = sorted(_entries(found, correlation_id), key=_by_place)
    behind = [entry for entry in every if entry[0] > begin]
    page = [entry for _, entry in behind[:limit]]
    last = behind[limit - 1][0] if len(behind) > limit else None
    missing = list(_missing(found, settings, correlation_id, is_first=after is None))
    if after is None and last is None:
        missing += _unknown_causes(page, correlation_id)
    return Conversation(
        at=moment(now),
        correlation_id=correlation_id,
        entries=tuple(_with_depths(page)),
        instances=tuple(map(_instance, found.instances)),
        missing=tuple(missing),
        after=None if last is None else f"{last.at}.{last.rank}.{last.number}",
    )


def _by_place(placed: tuple[_Place, ConversationEntry]) -> _Place:
    return placed[0]


def _place_of(after: str | None) -> _Place:
    if after is None:
        return _BEGIN
    parts = after.split(".")
    if len(parts) != 3 or not all(map(is_number, parts)):
        raise ValueError(f"{after!r} is no place where a page begins: pass the `after` of the page before")
    return _Place(*map(int, parts))


async def _look(store: Store, correlation_id: str, begin: _Place, limit: int) -> _Found:
    inspect = store.inspect
    number = {_TRANSITION: -1, _RUN: begin.number}.get(begin.rank, _LAST)
    runs = await inspect.journal(correlation_id, after=JournalMark(begin.at, number), limit=limit + 1)
    waiting = await inspect.waiting(Wanted(correlation_id=correlation_id), limit=_MOST_WAITING)
    letters = await inspect.letters(correlation_id)
    places = list(dict.fromkeys(_keys_of(runs, waiting.found, letters.letters)))
    instances, steps, more_steps = list[Instance](), list[Recorded](), False
    for saga, key in places[:_MOST_INSTANCES]:
        (loaded,) = await store.load(saga, [key])
        if loaded.instance is not None:
            instances.append(loaded.instance)
        recorded = await _recorded(inspect, saga, key)
        steps += recorded[:_MOST_STEPS]
        more_steps |= len(recorded) > _MOST_STEPS
    return _Found(runs, waiting, letters, instances, steps, more_steps, len(places) > _MOST_INSTANCES)


async def _recorded(inspect: Inspection, saga: str, key: str) -> Sequence[Recorded]:
    return await inspect.history(saga, key, limit=_MOST_STEPS + 1)


def _keys_of(
    runs: Iterable[JournalRow], waiting: Iterable[Waiting], letters: Iterable[DeadLetter]
) -> Iterator[tuple[str, str]]:
    """Which instances the conversation may have reached, so far as its messages say."""
    for row in runs:
        if row.version is not None and row.key is not None:
            yield row.subscription, row.key
    for envelope in [*(each.envelope for each in waiting), *(each.envelope for each in letters)]:
        if envelope.partition_key is not None:
            yield envelope.channel, envelope.partition_key


def _entries(found: _Found, correlation_id: str) -> Iterator[tuple[_Place, ConversationEntry]]:
    steps = {(each.saga, each.key, each.message_id): each for each in found.steps}
    for row in found.runs:
        step = steps.pop((row.subscription, row.key or "", row.message_id), None) if row.version else None
        yield _Place(row.handled_at, _RUN, row.position), _run(row, step)
    for waiting in found.waiting.found:
        envelope = waiting.envelope
        yield _Place(envelope.sent_at, _WAITING, envelope.position), _waiting(waiting)
    for letter in found.letters.letters:
        yield _Place(letter.last_failed_at, _LETTER, letter.id), _letter(letter)
    known = set(_ids_of(found)) | {correlation_id}
    for step in steps.values():
        if step.message_id in known:
            yield _Place(step.at, _TRANSITION, step.position), _transition(step)


def _ids_of(found: _Found) -> Iterator[str]:
    """The messages that are known to belong to the conversation."""
    pairs = [(each.message_id, each.causation_id) for each in found.runs]
    pairs += [(each.envelope.message_id, each.envelope.causation_id) for each in found.waiting.found]
    pairs += [(each.envelope.message_id, each.envelope.causation_id) for each in found.letters.letters]
    for message_id, causation_id in pairs:
        yield message_id
        if causation_id is not None:
            yield causation_id


def _run(row: JournalRow, step: Recorded | None) -> ConversationEntry:
    return ConversationEntry(
        kind="run",
        at=moment(row.handled_at),
        what=row.outcome,
        subscription=row.subscription,
        is_saga=row.version is not None,
        key=row.key,
        message_id=row.message_id,
        message_type=row.message_type,
        timer=row.timer,
        causation_id=row.causation_id,
        sent_at=moment(row.sent_at),
        attempt=row.attempt,
        reason=row.error,
        version=row.version or None,
        status=None if step is None else step.status,
        duration=timedelta(microseconds=row.duration),
        worker=row.worker,
    )


def _waiting(waiting: Waiting) -> ConversationEntry:
    envelope = waiting.envelope
    return ConversationEntry(
        kind="waiting",
        at=moment(envelope.sent_at),
        what=waiting.why,
        subscription=envelope.channel,
        key=envelope.partition_key,
        message_id=envelope.message_id,
        message_type=envelope.message_type,
        timer=envelope.timer,
        causation_id=envelope.causation_id,
        sent_at=moment(envelope.sent_at),
        due_at=moment(envelope.due_at) if envelope.due_at > 1 else None,
        attempt=envelope.attempt,
        worker=waiting.worker,
        running_since=None if waiting.since is None else moment(waiting.since),
    )


def _letter(letter: DeadLetter) -> ConversationEntry:
    envelope = letter.envelope
    return ConversationEntry(
        kind="dead letter",
        at=moment(letter.last_failed_at),
        what=letter.status,
        subscription=envelope.channel,
        key=envelope.partition_key,
        message_id=envelope.message_id,
        message_type=envelope.message_type,
        timer=envelope.timer,
        causation_id=envelope.causation_id,
        sent_at=moment(envelope.sent_at),
        attempt=letter.attempts,
        reason=f"{letter.cause.value}: {letter.reason}",
        letter=letter.id,
    )


def _transition(step: Recorded) -> ConversationEntry:
    return ConversationEntry(
        kind="transition",
        at=moment(step.at),
        what="finished" if step.completed else "saved",
        subscription=step.saga,
        is_saga=True,
        key=step.key,
        message_id=step.message_id,
        message_type=step.message_type,
        timer=step.timer,
        causation_id=None,
        version=step.version,
        status=step.status,
    )


def _instance(each: Instance) -> ConversationInstance:
    return ConversationInstance(
        saga=each.saga,
        key=each.key,
        status=each.status,
        completed=each.completed,
        version=each.version,
        updated_at=moment(each.updated_at),
    )


def _with_depths(entries: Sequence[ConversationEntry]) -> Iterator[ConversationEntry]:
    """Each with the number of its causes that are on the page, one behind the other."""
    causes = {each.message_id: each.causation_id for each in entries}
    depths: dict[str, int] = {}
    for each in entries:
        yield replace(each, depth=_depth(each.message_id, causes, depths))


def _depth(message_id: str, causes: Mapping[str, str | None], depths: dict[str, int]) -> int:
    """A message of another service may name a cause that names it: there the way up ends."""
    way: list[str] = []
    here: str | None = message_id
    while here is not None and here in causes and here not in depths and here not in way:
        way.append(here)
        here = causes[here]
    depth = depths[here] + 1 if here is not None and here in depths else 0
    for number, each in enumerate(reversed(way)):
        depths[each] = depth + number
    return depths[message_id]


def _missing(found: _Found, settings: Settings, correlation_id: str, *, is_first: bool) -> Iterator[str]:
    """What the view cannot say, in sentences."""
    if is_first and not found.runs:
        yield _no_runs(settings)
    if found.waiting.stopped:
        yield f"It looked at {SCANNED:,} messages that wait: there may be more of {correlation_id} among the others."
    elif found.waiting.after is not None:
        yield f"More than {_MOST_WAITING:,} messages of it wait: `sagabus messages --correlation` lists all."
    if found.letters.stopped:
        yield f"It looked at the latest {SCANNED:,} dead letters, and shows 100 at most: there may be older ones."
    if found.more_instances:
        yield f"It reached more than {_MOST_INSTANCES} keys: the others have no transition and no instance here."
    if found.more_steps:
        yield f"A history has more than {_MOST_STEPS:,} steps: `sagabus sagas history` shows all."
    recorded = {each.saga for each in found.steps}
    without = sorted({each.saga for each in found.instances} - recorded) if is_first and not found.runs else []
    if without:
        yield f"No transition of {', '.join(without)} is kept: a saga with history=True keeps them."


def _no_runs(settings: Settings) -> str:
    """Why the journal has nothing. A bus of another process may write it, whatever this one does."""
    if settings.journal == "sampled":
        share = f"{settings.journal_sample:.4g}"
        return f"The journal has no handled message of it: this bus writes a share of {share} of the conversations."
    if settings.journal == "all":
        return "The journal has no handled message of it: none has been handled, or the retention has passed."
    return 'The journal has no handled message of it: Settings(journal="all") has a bus write them.'


def _unknown_causes(entries: Sequence[ConversationEntry], correlation_id: str) -> Iterator[str]:
    """Messages that are named as causes, and of which nothing is left."""
    known = {each.message_id for each in entries}
    named = [each.causation_id for each in entries if each.causation_id is not None]
    if entries and not any(each.causation_id is None and each.kind != "transition" for each in entries):
        named.append(correlation_id)  # nothing here has begun it, so that was the message of this id
    gone = [each for each in dict.fromkeys(named) if each not in known]
    if gone:
        which = ", ".join(gone[:_MOST_NAMED]) + (" and others" if len(gone) > _MOST_NAMED else "")
        yield f"Nothing is stored of the message that caused others: {which}."
