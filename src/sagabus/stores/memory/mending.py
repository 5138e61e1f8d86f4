"""What an operator changes in a memory store, and the audit log of it."""

from __future__ import annotations

from msgspec.structs import replace

from sagabus.envelope import Envelope
from sagabus.store.mending import ChangeInstance, Entry, Mend, Move, Pause, Paused, Remove, Resume, RunNow
from sagabus.stores.memory.committing import is_next, wake
from sagabus.stores.memory.tables import Tables


def mend(tables: Tables, change: Mend, entry: Entry, now: int) -> int | None:
    """Make a change with its entry; None, and nothing of it remains, where it is not as it was seen."""
    savepoint = tables.journal.savepoint()
    audit = tables.audit(entry, now)
    if _make(tables, change, entry, audit, now):
        return audit
    tables.journal.rollback(savepoint)
    return None


def _make(tables: Tables, change: Mend, entry: Entry, audit: int, now: int) -> bool:
    if isinstance(change, ChangeInstance):
        return _change_instance(tables, change, entry, audit, now)
    if isinstance(change, Pause | Resume):
        return _pause_or_resume(tables, change, entry, now)
    stored = tables.queue.envelopes.get(change.position)
    if stored is None or (stored.due_at, stored.attempt) != (change.due_at, change.attempt):
        return False
    return _touch(tables, stored, change, now)


def _change_instance(tables: Tables, change: ChangeInstance, entry: Entry, audit: int, now: int) -> bool:
    save = change.save
    if not is_next(tables, save):
        return False
    for name in change.cancelled:
        tables.cancel(save.saga, save.key, name)
    tables.save(save, now)
    if save.recorded:
        tables.record(Envelope(f"audit-{audit}", f"sagabus.{entry.verb}", b""), save, now)
    if save.wakes:
        wake(tables, save, now)
    return True


def _touch(tables: Tables, stored: Envelope, change: RunNow | Remove | Move, now: int) -> bool:
    if isinstance(change, RunNow):
        if stored.stashed:
            return False
        tables.queue.change(replace(stored, due_at=1))
        return True
    tables.remove(stored.position)
    if isinstance(change, Move):
        tables.queue.add(replace(stored, due_at=change.to), now)
    return True


def _pause_or_resume(tables: Tables, change: Pause | Resume, entry: Entry, now: int) -> bool:
    if (change.channel in tables.paused) == isinstance(change, Pause):
        return False
    if isinstance(change, Pause):
        row = Paused(channel=change.channel, since=now, by=entry.by, reason=entry.reason)
        tables.journal.put(tables.paused, change.channel, row)
    else:
        tables.journal.drop(tables.paused, change.channel)
    tables.crew += 1
    return True
