"""What an operator changes, and the audit log of it, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from sagabus.envelope import Envelope
from sagabus.failpoint import hit
from sagabus.outcome import Verdict
from sagabus.store.mending import (
    Audited,
    AuditsSeen,
    ChangeInstance,
    Entry,
    Mend,
    Move,
    Pause,
    Paused,
    Remove,
    Resume,
    RunNow,
    WantedAudits,
    naming_key,
)
from sagabus.store.survey import SCANNED
from sagabus.stores.sql import rows, settling
from sagabus.stores.sql.damage import readable
from sagabus.stores.sql.planning import Lost, Plan
from sagabus.stores.sql.steps import Query, Row, Steps, number_of

_NEWEST = 2**63 - 1


def mend(change: Mend, entry: Entry, now: int) -> Steps[int | None]:
    """Make a change with its entry; None, and nothing of it remains, where it is not as it was seen."""
    hit("mend.begun")
    yield Query("savepoint")
    audit: int | None = yield from note(entry, now)
    try:
        yield from _make(change, entry, audit or 0, now)
    except Lost:
        yield Query("rollback_to_savepoint")
        audit = None
    yield Query("release_savepoint")
    hit("mend.before_commit")
    return audit


def note(entry: Entry, now: int) -> Steps[int]:
    """Write an entry of the audit log; its id."""
    texts = (entry.by, entry.verb, entry.channel, entry.target, entry.reason, entry.before, entry.after)
    return (yield from number_of((yield Query("put_audit", (now, *map(rows.storable, texts))))))


def _make(change: Mend, entry: Entry, audit: int, now: int) -> Steps[None]:
    if isinstance(change, ChangeInstance):
        yield from _change_instance(change, entry, audit, now)
    elif isinstance(change, Pause | Resume):
        yield from _pause_or_resume(change, entry, now)
    elif isinstance(change, Move):
        yield from _move(change)
    else:
        yield from _touch(change)


def _change_instance(change: ChangeInstance, entry: Entry, audit: int, now: int) -> Steps[None]:
    save = change.save
    place = (save.saga, save.key)
    found = Plan(last={place: save}, cancelled=dict.fromkeys((*place, name) for name in change.cancelled))
    if save.recorded:
        found.recorded.append((Envelope(f"audit-{audit}", f"sagabus.{entry.verb}", b""), save))
    if save.completed:
        found.finished[place] = None
    if save.wakes:
        found.woken.append(place)
    yield from settling.apply(found, lambda: now, _no_statements)


def _no_statements(sql: str) -> None:
    raise AssertionError(sql)


def _touch(change: RunNow | Remove) -> Steps[None]:
    seen = (change.position, change.due_at, change.attempt)
    statement = "run_now" if isinstance(change, RunNow) else "take_out"
    yield from _once(Query(statement, seen))
    if isinstance(change, Remove):
        yield Query("let_go", rows=[(change.position,)])


def _move(change: Move) -> Steps[None]:
    envelope = yield from envelope_at(change.position)
    yield from _once(Query("take_out", (change.position, change.due_at, change.attempt)))
    if envelope is None or envelope.damage is not None:
        raise Lost(Verdict.GONE)
    yield Query("let_go", rows=[(change.position,)])
    moved = replace(envelope, due_at=change.to)
    yield Query("insert_envelopes", rows=[rows.envelope_row(moved, change.to, max(envelope.sent_at, change.to))])


def _pause_or_resume(change: Pause | Resume, entry: Entry, now: int) -> Steps[None]:
    yield Query("lock_routing")
    is_paused = change.channel in [each.channel for each in (yield from paused())]
    if is_paused == isinstance(change, Pause):
        raise Lost(Verdict.GONE)
    if is_paused:
        yield Query("drop_pause", (change.channel,))
    else:
        yield Query("put_pause", (change.channel, now, rows.storable(entry.by), rows.storable(entry.reason)))
    yield Query("raise_crew", (1,))


def _once(ask: Query) -> Steps[None]:
    if (yield ask).changed != 1:
        raise Lost(Verdict.GONE)


def envelope_at(position: int) -> Steps[Envelope | None]:
    """The envelope at a position."""
    found = (yield Query("envelope_at", (position,))).rows
    return rows.envelope_of(found[0]) if found else None


def paused() -> Steps[list[Paused]]:
    """The paused channels."""
    return [Paused(*row) for row in (yield Query("paused")).rows]


def audits(wanted: WantedAudits, limit: int) -> Steps[AuditsSeen]:
    """Entries of the audit log, the latest first."""
    channel, target = wanted.channel, wanted.target
    of = "" if channel is None else "_of"
    newest = _NEWEST if wanted.before is None else wanted.before
    floor: int | None = None
    if wanted.is_filter:
        floor = (yield Query(f"audit_floor{of}", (newest, channel, SCANNED))).value
    named = None if target is None else naming_key(target)
    since, until = wanted.since or 0, _NEWEST if wanted.until is None else wanted.until
    asked = (newest, channel, target, limit, floor or 0, named, since, until, rows.storable(wanted.by))
    found: Sequence[Row] = (yield Query(f"audit_page{of}", asked)).rows
    is_whole = floor is None or len(found) == limit
    return AuditsSeen(tuple(map(audited, found)), None if is_whole or floor is None else floor + 1)


def audited(row: Row) -> Audited:
    """The entry of a row of `id` and AUDIT_COLUMNS."""
    number, at, by, verb, channel, target, reason, before, after = map(readable, row)
    entry = Entry(verb=verb, channel=channel, target=target, by=by, reason=reason, before=before, after=after)
    return Audited(id=number, at=at, entry=entry)
