"""All that is kept of a subject, found and erased step by step: what has no index by key is looked at page by page."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from sagabus.failpoint import hit
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
from sagabus.store.mending import Entry
from sagabus.store.survey import SCANNED
from sagabus.stores import erasing
from sagabus.stores.sql import dead_letters, mending, rows, surveying
from sagabus.stores.sql.damage import readable
from sagabus.stores.sql.steps import Query, Row, Steps

_MESSAGES = """
SELECT position, channel, message_type, message_id, timer, stashed, due_at, failed_at FROM {envelope} {by_primary}
WHERE position > ?1 AND position <= ?2 AND channel = COALESCE(?3, channel) AND %s ORDER BY position LIMIT ?5
"""
_FROM_A_ROW = re.compile(r"\{text (\?\d)\}")
_LAST = "SELECT MAX(%s) FROM (SELECT %s FROM {%s} {by_primary} WHERE %s > ?1 ORDER BY %s LIMIT ?2) AS p"
TEXTS: Mapping[str, str] = {
    "last_message_of_page": _LAST % ("position", "position", "envelope", "position", "position"),
    "last_letter_of_page": _LAST % ("id", "id", "dead_letter", "id", "id"),
    "last_handled_of_page": _LAST % ("position", "position", "journal", "position", "position"),
    "messages_of_key": _MESSAGES % "partition_key = ?4",
    "messages_of_conversation": _MESSAGES
    % """(correlation_id = ?4 OR (message_id = ?4 AND timer IS NULL))
    AND (partition_key IS NULL OR partition_key <> COALESCE(?6, ''))""",
    "next_saga": "SELECT saga FROM {instance} WHERE saga > {text ?1} ORDER BY saga, {key} LIMIT 1",
    "instance_of_subject": "SELECT version, status, completed_at FROM {instance} WHERE saga = {text ?1} AND {key} = ?2",
    "next_recorded_saga": "SELECT saga FROM {history} WHERE saga > {text ?1} ORDER BY saga, {key} LIMIT 1",
    "steps_of_subject": """
SELECT position FROM {history} WHERE saga = {text ?1} AND {key} = ?2 AND position > ?3 ORDER BY position LIMIT ?4
""",
    "letters_with": """
SELECT id, channel, envelope, status, parked FROM {dead_letter} {by_primary}
WHERE id > ?1 AND id <= ?2 AND channel = COALESCE(?3, channel) AND {names} ORDER BY id LIMIT ?5
""",
    "envelope_of_letter": "SELECT envelope FROM {dead_letter} WHERE id = ?1",
    "handled_of_key": """
SELECT position FROM {journal} {by_primary} WHERE position > ?1 AND position <= ?2
    AND subscription = COALESCE(?3, subscription) AND {key} = ?4 ORDER BY position LIMIT ?5
""",
    "handled_of_conversation": """
SELECT position FROM {journal} {by_conversation} WHERE correlation_id = ?3
    AND position > ?1 AND subscription = COALESCE(?2, subscription) AND ({key} IS NULL OR {key} <> COALESCE(?5, ''))
ORDER BY position LIMIT ?4
""",
    "audits_behind": """
SELECT id, made_at, made_by, verb, channel, target, reason, was, became FROM {audit} {by_primary}
WHERE id > ?1 AND channel = COALESCE(?2, channel) ORDER BY id LIMIT ?3
""",
    "lanes_with_keys": """
SELECT channel, lane, loud, suspect_keys FROM {lane} WHERE loud IS NOT NULL OR suspect_keys IS NOT NULL
""",
    "workers_with_runs": "SELECT worker, channel, running FROM {worker} WHERE running IS NOT NULL",
    "next_held_channel": """
SELECT channel FROM {held_key} WHERE channel > {text ?1} ORDER BY channel, partition_key LIMIT 1
""",
    "holds_of_subject": "SELECT position FROM {held_key} WHERE channel = {text ?1} AND partition_key = ?2",
}
"""The statements of all dialects. `{names}` stands for whether the envelope of a letter has a text in it.

`{text ?1}` stands for a parameter that came from a row. It is bytes where that is damaged.
"""
WRITING: Mapping[str, str] = {
    "drop_instance": "DELETE FROM {instance} WHERE saga = {text ?1} AND {key} = ?2 AND version = ?3",
    "blank_audit": """
UPDATE {audit} SET target = ?2, reason = ?3, was = ?4, became = ?5 WHERE id = ?1 AND NOT (reason = ?3 AND was = ?4)
""",
    "set_audit_counts": "UPDATE {audit} SET became = ?2 WHERE id = ?1",
    "set_lane_keys": """
UPDATE {lane} SET loud = ?3, suspect_keys = ?4 WHERE channel = ?1 AND lane = ?2
    AND COALESCE(loud, '') = {text ?5} AND COALESCE(suspect_keys, '') = {text ?6}
""",
    "set_runs": "UPDATE {worker} SET running = ?3 WHERE worker = ?1 AND channel = ?2 AND running = {text ?4}",
}


def worded(texts: Mapping[str, str], words: Mapping[str, str]) -> dict[str, str]:
    """The texts of one dialect: `words` for what it says otherwise, and nothing for indexes."""
    chosen = {"key": "key", "by_primary": "", "by_conversation": "", **words}
    as_text = chosen.pop("text", r"\1")
    found: dict[str, str] = {}
    for name, template in texts.items():
        text = _FROM_A_ROW.sub(as_text, template)
        for word, said in chosen.items():
            text = text.replace(f"{{{word}}}", said)
        found[name] = text
    return found


def look(subject: Subject, place: Place, now: int) -> Steps[Erasure]:
    """What one step would erase."""
    return (yield from _STEPS[place.trace](subject, place.after, now, None))


def erase(subject: Subject, place: Place, order: Order, now: int) -> Steps[Erasure]:
    """One step, with what the audit log says of it."""
    hit("erase.begun")
    done = yield from _STEPS[place.trace](subject, place.after, now, order)
    audit = order.audit
    if any(done.counts.values()):
        text = counts_text(order.so_far, done.counts)
        if audit is None:
            audit = yield from mending.note(msgspec.structs.replace(order.entry, after=text), now)
        else:
            yield Query("set_audit_counts", (audit, text))
    hit("erase.before_commit")
    return msgspec.structs.replace(done, audit=audit)


def _messages(subject: Subject, after: int, now: int, order: Order | None) -> Steps[Erasure]:
    last: int | None = (yield Query("last_message_of_page", (after, SCANNED))).value
    if last is None:
        return Erasure(next=following(Trace.MESSAGES))
    asked = (after, last, subject.channel, subject.text, ERASED_AT_ONCE)
    if subject.key is None:
        found = (yield Query("messages_of_conversation", (*asked, subject.but))).rows
    else:
        found = (yield Query("messages_of_key", asked)).rows
    behind = _behind(Trace.MESSAGES, found, Place(Trace.MESSAGES, last))
    live: tuple[Live, ...] = ()
    kept = [row for row in found if erasing.keeps(subject, row[4])]
    leaving = [row for row in found if row not in kept] if kept else found
    if leaving:
        running = yield from surveying.runs(subject.channel, now)
        live = tuple(_waiting(row, now, is_running=row[0] in running) for row in leaving)
    if order is None:
        return Erasure({Trace.MESSAGES: len(found)}, live, behind)
    if erasing.is_refused(live, order):
        return Erasure(live=live)
    gone = yield from _dropped("remove", leaving)
    if leaving and (yield Query("let_go", rows=[(row[0],) for row in leaving])).changed:
        yield Query("raise_crew", (1,))  # as where a dead letter lets its key go
    gone += yield from _dropped("blank_timers", kept)
    return Erasure({Trace.MESSAGES: gone}, next=_unless_missed(len(found) - gone, behind, Place(Trace.MESSAGES, after)))


def _unless_missed(missed: int, behind: Place | None, here: Place) -> Place | None:
    """The same step again, where another transaction was quicker: what that one has written is found then."""
    return here if missed else behind


def _waiting(row: Row, now: int, *, is_running: bool) -> Live:
    _, channel, message_type, message_id, timer, stashed, due_at, failed_at = map(readable, row)
    name, times = f"{message_type} {message_id}", (due_at, failed_at)
    return erasing.waiting(channel, name, timer, *times, stashed=bool(stashed), is_running=is_running, now=now)


def _behind(trace: Trace, found: Sequence[Row], rest: Place | None) -> Place | None:
    return erasing.behind(trace, [row[0] for row in found], rest)


def _dropped(statement: str, found: Sequence[Row]) -> Steps[int]:
    """Delete, or blank, rows by the number in front of each; how many were there still."""
    if not found:
        return 0
    return int((yield Query(statement, rows=[(row[0],) for row in found])).changed)


def _instances(subject: Subject, after: int, now: int, order: Order | None) -> Steps[Erasure]:
    behind = following(Trace.INSTANCES)
    if subject.key is None:
        return Erasure(next=behind)
    found: list[tuple[str, int]] = []
    live: list[Live] = []
    for saga in (yield from _names("next_saga", subject)):
        for version, status, completed_at in (yield Query("instance_of_subject", (saga, subject.key))).rows:
            found.append((saga, version))
            if completed_at is None:
                live.append(Live("instance", readable(saga), readable(status or "")))
    if order is None:
        return Erasure({Trace.INSTANCES: len(found)}, tuple(live), behind)
    if erasing.is_refused(live, order):
        return Erasure(live=tuple(live))
    gone = 0
    for saga, version in found:  # by its version: it may have changed since it was looked at
        gone += (yield Query("drop_instance", (saga, subject.key, version))).changed
    behind = _unless_missed(len(found) - gone, behind, Place(Trace.INSTANCES, 0))
    return Erasure({Trace.INSTANCES: gone}, next=behind)


def _names(statement: str, subject: Subject) -> Steps[list[str]]:
    """The sagas or channels that a table has rows of: one step down its index for each."""
    if subject.channel is not None:
        return [subject.channel]
    found: list[str] = []
    name: str | None = (yield Query(statement, ("",))).value
    while name is not None:
        found.append(name)
        name = (yield Query(statement, (name,))).value
    return found


def _history(subject: Subject, after: int, now: int, order: Order | None) -> Steps[Erasure]:
    if subject.key is None:
        return Erasure(next=following(Trace.HISTORY))
    found: list[Row] = []
    for saga in (yield from _names("next_recorded_saga", subject)):
        found += (yield Query("steps_of_subject", (saga, subject.key, after, ERASED_AT_ONCE))).rows
    found = sorted(found, key=lambda row: int(row[0]))[:ERASED_AT_ONCE]
    behind = _behind(Trace.HISTORY, found, following(Trace.HISTORY))
    gone = len(found) if order is None else (yield from _dropped("drop_history", found))
    return Erasure({Trace.HISTORY: gone}, next=behind)


def _audit(subject: Subject, after: int, now: int, order: Order | None) -> Steps[Erasure]:
    page = (yield Query("audits_behind", (after, subject.channel, ERASED_AT_ONCE))).rows
    count = 0
    for row in page:
        audited = mending.audited(row)
        if not (yield from _is_about(audited.entry, subject)):
            continue
        if order is None:
            count += 1
        else:
            entry = erasing.blanked(audited.entry, subject)
            asked = (audited.id, entry.target, entry.reason, entry.before, entry.after)
            count += (yield Query("blank_audit", asked)).changed
    behind = _behind(Trace.AUDIT, page, following(Trace.AUDIT))
    return Erasure({Trace.AUDIT: count}, next=behind)


def _is_about(entry: Entry, subject: Subject) -> Steps[bool]:
    if erasing.is_about(entry, subject):
        return True
    letter = erasing.letter_in_question(entry)
    if letter is None:
        return False
    text: str | None = (yield Query("envelope_of_letter", (letter,))).value
    return text is not None and rows.is_letter_of(text, subject)


def _letters(subject: Subject, after: int, now: int, order: Order | None) -> Steps[Erasure]:
    last: int | None = (yield Query("last_letter_of_page", (after, SCANNED))).value
    if last is None:
        return Erasure(next=following(Trace.LETTERS))
    asked = (after, last, subject.channel, rows.json_of(subject.text), ERASED_AT_ONCE)
    page = (yield Query("letters_with", asked)).rows
    found = [row for row in page if rows.is_letter_of(row[2], subject)]
    behind = _behind(Trace.LETTERS, page, Place(Trace.LETTERS, last))
    if order is None:
        return Erasure({Trace.LETTERS: len(found)}, next=behind)
    gone = yield from _dropped("drop_letters", found)
    parked = {(row[1], rows.key_in_letter(row[2])) for row in found if row[3] == "open" and row[4]}
    for channel, key in sorted((channel, key) for channel, key in parked if key is not None):
        yield from dead_letters.let_go(channel, key)
    return Erasure({Trace.LETTERS: gone}, next=behind)


def _journal(subject: Subject, after: int, now: int, order: Order | None) -> Steps[Erasure]:
    if subject.key is None:
        asked = (after, subject.channel, subject.text, ERASED_AT_ONCE, subject.but)
        found = (yield Query("handled_of_conversation", asked)).rows
        behind = _behind(Trace.JOURNAL, found, following(Trace.JOURNAL))
    else:
        last: int | None = (yield Query("last_handled_of_page", (after, SCANNED))).value
        if last is None:
            return Erasure(next=following(Trace.JOURNAL))
        found = (yield Query("handled_of_key", (after, last, subject.channel, subject.key, ERASED_AT_ONCE))).rows
        behind = _behind(Trace.JOURNAL, found, Place(Trace.JOURNAL, last))
    gone = len(found) if order is None else (yield from _dropped("drop_journal", found))
    return Erasure({Trace.JOURNAL: gone}, next=behind)


def _notes(subject: Subject, after: int, now: int, order: Order | None) -> Steps[Erasure]:
    found = yield from _runs(subject)
    if subject.key is not None:
        found += yield from _lanes(subject)
    count = len(found)
    if order is not None:
        count = 0
        for name, values in found:
            count += (yield Query(name, values)).changed
    missed = len(found) - count
    if subject.key is not None:
        count += yield from _holds(subject, subject.key, order)
    return Erasure({Trace.NOTES: count}, next=_unless_missed(missed, None, Place(Trace.NOTES, 0)))


_Rewrite: TypeAlias = tuple[str, tuple[object, ...]]
"""A statement that takes a subject out of a note, unless the note has changed, and its parameters."""


def _runs(subject: Subject) -> Steps[list[_Rewrite]]:
    found: list[_Rewrite] = []
    for worker, channel, running in (yield Query("workers_with_runs")).rows:
        left = erasing.runs_without(running, subject)
        if subject.channel in {None, channel} and left != running:
            found.append(("set_runs", (worker, channel, left, running)))
    return found


def _lanes(subject: Subject) -> Steps[list[_Rewrite]]:
    found: list[_Rewrite] = []
    for channel, lane, loud, suspects in (yield Query("lanes_with_keys")).rows:
        left = erasing.loud_without(loud, subject), erasing.suspects_without(suspects, subject)
        if subject.channel in {None, channel} and left != (loud, suspects):
            found.append(("set_lane_keys", (channel, lane, *left, loud or "", suspects or "")))
    return found


def _holds(subject: Subject, key: str, order: Order | None) -> Steps[int]:
    """What is left of a held key where nothing holds it any more."""
    count = 0
    for channel in (yield from _names("next_held_channel", subject)):
        for (position,) in (yield Query("holds_of_subject", (channel, key))).rows:
            if order is None and position:
                count += not (yield Query("envelope_at", (position,))).rows
            elif order is None:
                count += not (yield from dead_letters.is_parked(channel, key))
            elif position:
                count += (yield Query("drop_hold", (channel, key, position))).changed
            else:
                count += yield from dead_letters.let_go(channel, key)
    return count


_STEPS: Mapping[Trace, Callable[[Subject, int, int, Order | None], Steps[Erasure]]] = {
    Trace.MESSAGES: _messages,
    Trace.INSTANCES: _instances,
    Trace.HISTORY: _history,
    Trace.AUDIT: _audit,
    Trace.LETTERS: _letters,
    Trace.JOURNAL: _journal,
    Trace.NOTES: _notes,
}
