"""All that a memory store keeps of a subject, found and erased step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import TypeVar

from msgspec.structs import replace

from sagabus.envelope import Envelope
from sagabus.store.erasing import (
    ERASED_AT_ONCE,
    Erasure,
    Live,
    Order,
    Place,
    Subject,
    Trace,
    counts_text,
    following,
)
from sagabus.stores import erasing
from sagabus.stores.memory.dead_letters import is_parked, let_go
from sagabus.stores.memory.surveying import runs_of
from sagabus.stores.memory.tables import LetterRow, Tables
from sagabus.stores.suspicion import Suspicion

T = TypeVar("T")


def step(tables: Tables, subject: Subject, place: Place, now: int, order: Order | None) -> Erasure:
    """One step: what it finds, and with an order, erases, with what the audit log says of it."""
    done = _STEPS[place.trace](_Work(tables, subject, place.after, now, order))
    if order is None:
        return done
    audit = order.audit
    if any(done.counts.values()):
        text = counts_text(order.so_far, done.counts)
        if audit is None:
            audit = tables.audit(replace(order.entry, after=text), now)
        elif (row := tables.audits.get(audit)) is not None:
            tables.journal.put(tables.audits, audit, replace(row, entry=replace(row.entry, after=text)))
    return replace(done, audit=audit)


class _Work:
    """One step of one kind."""

    def __init__(self, tables: Tables, subject: Subject, after: int, now: int, order: Order | None) -> None:
        self.tables = tables
        self.subject = subject
        self.after = after
        self.now = now
        self.order = order

    def is_in(self, channel: str) -> bool:
        return self.subject.channel in {None, channel}

    def owns(self, envelope: Envelope) -> bool:
        of = self.subject.owns(envelope.partition_key, envelope.correlation_id, envelope.message_id)
        return of and self.is_in(envelope.channel)

    def page(self, trace: Trace, numbers: Iterable[int]) -> tuple[list[int], Place | None]:
        """The first of these rows behind the place, and where the next step begins."""
        found = list(islice((number for number in sorted(numbers) if number > self.after), ERASED_AT_ONCE))
        return found, erasing.behind(trace, found, following(trace))

    def dropped(self, trace: Trace, table: dict[int, T], is_theirs: Callable[[T], bool]) -> Erasure:
        found, behind = self.page(trace, (number for number, row in table.items() if is_theirs(row)))
        if self.order is not None:
            for number in found:
                self.tables.journal.drop(table, number)
        return Erasure({trace: len(found)}, next=behind)


def _messages(work: _Work) -> Erasure:
    envelopes = work.tables.queue.envelopes
    found, behind = work.page(Trace.MESSAGES, (at for at, each in envelopes.items() if _is_theirs(work, each)))
    count = len(found)
    kept = [at for at in found if erasing.keeps(work.subject, envelopes[at].timer)]
    found = [at for at in found if not erasing.keeps(work.subject, envelopes[at].timer)]
    running = runs_of(work.tables, work.now)
    live = tuple(_waiting(envelopes[at], work.now, is_running=at in running) for at in found)
    if work.order is None:
        return Erasure({Trace.MESSAGES: count}, live, behind)
    if erasing.is_refused(live, work.order):
        return Erasure(live=live)
    for at in found:
        work.tables.remove(at)
    work.tables.crew += bool(found)  # keys that they held back go on
    for at in kept:
        work.tables.queue.change(replace(envelopes[at], correlation_id=None, causation_id=None, headers=None))
    return Erasure({Trace.MESSAGES: count}, next=behind)


def _is_theirs(work: _Work, each: Envelope) -> bool:
    """A timer of a conversation is theirs until it has forgotten the conversation: its own id is no one's."""
    return work.owns(each) and (each.timer is None or work.subject.key is not None or each.correlation_id is not None)


def _waiting(each: Envelope, now: int, *, is_running: bool) -> Live:
    name, times = f"{each.message_type} {each.message_id}", (each.due_at, each.failed_at)
    return erasing.waiting(each.channel, name, each.timer, *times, stashed=each.stashed, is_running=is_running, now=now)


def _instances(work: _Work) -> Erasure:
    key, rows = work.subject.key, work.tables.instances
    found = [place for place in rows if key is not None and place[1] == key and work.is_in(place[0])]
    alive = [rows[place].instance for place in sorted(found) if not rows[place].instance.completed]
    live = tuple(Live("instance", each.saga, each.status or "") for each in alive)
    if work.order is not None:
        if erasing.is_refused(live, work.order):
            return Erasure(live=live)
        for place in found:
            work.tables.journal.drop(rows, place)
    return Erasure({Trace.INSTANCES: len(found)}, () if work.order else live, following(Trace.INSTANCES))


def _history(work: _Work) -> Erasure:
    key = work.subject.key
    return work.dropped(
        Trace.HISTORY, work.tables.history, lambda row: key is not None and row.key == key and work.is_in(row.saga)
    )


def _audit(work: _Work) -> Erasure:
    tables, subject = work.tables, work.subject
    count = 0
    for number, row in list(tables.audits.items()):
        letter = tables.letters.get(erasing.letter_in_question(row.entry) or 0)
        is_about = erasing.is_about(row.entry, subject) or (letter is not None and work.owns(letter.letter.envelope))
        if is_about and work.is_in(row.entry.channel):
            count += 1
            if work.order is not None:
                tables.journal.put(tables.audits, number, replace(row, entry=erasing.blanked(row.entry, subject)))
    return Erasure({Trace.AUDIT: count}, next=following(Trace.AUDIT))


def _letters(work: _Work) -> Erasure:
    tables = work.tables
    theirs = {number: row for number, row in tables.letters.items() if work.owns(row.letter.envelope)}
    done = work.dropped(Trace.LETTERS, tables.letters, lambda row: work.owns(row.letter.envelope))
    if work.order is not None:
        for identity, number in list(tables.letter_ids.items()):
            if number in theirs and number not in tables.letters:
                tables.journal.drop(tables.letter_ids, identity)
        for row in theirs.values():
            _unpark(tables, row)
    return done


def _unpark(tables: Tables, row: LetterRow) -> None:
    key = row.letter.envelope.partition_key
    if row.letter.parked and key is not None and row.letter.id not in tables.letters:
        let_go(tables, (row.letter.envelope.channel, key))


def _journal(work: _Work) -> Erasure:
    return work.dropped(
        Trace.JOURNAL,
        work.tables.handled,
        lambda row: work.subject.owns(row.key, row.correlation_id, "") and work.is_in(row.subscription),
    )


def _notes(work: _Work) -> Erasure:
    tables, key, count = work.tables, work.subject.key, 0
    for place, text in list(tables.running.items()):
        left = erasing.runs_without(text, work.subject)
        if left != text and work.is_in(place[0]):
            count += 1
            if work.order is not None:
                tables.running[place] = left
    if key is not None:
        count += _lanes(work, key) + _holds(work, key)
    return Erasure({Trace.NOTES: count})


def _lanes(work: _Work, key: str) -> int:
    count, tables = 0, work.tables
    for place, row in list(tables.lanes.items()):
        if work.is_in(place[0]) and (key in row.loud or key in row.suspicion.keys):
            count += 1
            loud = tuple(each for each in row.loud if each != key)
            keys = {each: position for each, position in row.suspicion.keys.items() if each != key}
            if work.order is not None:
                left = replace(row, loud=loud, suspicion=Suspicion(row.suspicion.until, keys))
                tables.journal.put(tables.lanes, place, left)
    return count


def _holds(work: _Work, key: str) -> int:
    """What is left of a held key where nothing holds it any more."""
    count, tables = 0, work.tables
    for place in [each for each in tables.holds if each[1] == key and work.is_in(each[0])]:
        position = tables.holds[place]
        if work.order is None:
            count += not (is_parked(tables, place) if position == 0 else position in tables.queue.envelopes)
        elif position == 0:
            count += let_go(tables, place)
        elif position not in tables.queue.envelopes:
            tables.journal.drop(tables.holds, place)
            count += 1
    return count


_STEPS: Mapping[Trace, Callable[[_Work], Erasure]] = {
    Trace.MESSAGES: _messages,
    Trace.INSTANCES: _instances,
    Trace.HISTORY: _history,
    Trace.AUDIT: _audit,
    Trace.LETTERS: _letters,
    Trace.JOURNAL: _journal,
    Trace.NOTES: _notes,
}
