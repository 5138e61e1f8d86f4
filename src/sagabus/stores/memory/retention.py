"""Forgetting what is old: the records go, and the horizon rises above them in the same breath."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, takewhile

from sagabus.store import Retention
from sagabus.store.upkeep import Purged
from sagabus.stores.memory.tables import Tables


def forget(tables: Tables, retention: Retention, *, limit: int, now: int) -> Purged:
    """One bounded purge of one channel."""
    cutoff = now - retention.window
    inbox = _forget_inbox(tables, retention.channel, cutoff, limit)
    instances = _forget_instances(tables, retention.channel, cutoff, limit)
    letters = _forget_letters(tables, retention.channel, cutoff, limit)
    history = _forget_history(tables, retention.channel, now - retention.history_window, limit)
    journal = _forget_handled(tables, retention.channel, now - retention.journal_window, limit)
    audits = _forget_audits(tables, retention.channel, now - retention.audit_window, limit)
    gone = (inbox, instances, letters, history, journal, audits)
    names = ("inbox", "instances", "dead_letters", "history", "journal", "audits")
    return Purged(**{name: each[0] for name, each in zip(names, gone, strict=True)}, more=any(each[1] for each in gone))


def _forget_inbox(tables: Tables, channel: str, cutoff: int, limit: int) -> tuple[int, bool]:
    """Oldest first; rows stamped like the youngest go too, so that a row gone implies a stamp below the horizon."""
    oldest = list(islice(_below(tables, channel, cutoff), limit))
    if len(oldest) == limit and oldest:
        youngest = oldest[-1][0]
        oldest = list(_below(tables, channel, youngest + 1))
    for _, name in oldest:
        tables.journal.drop(tables.inbox, (channel, name))
    more = next(_below(tables, channel, cutoff), None) is not None
    horizon = tables.horizons.get(channel, 0)
    safe = cutoff if not more else oldest[-1][0] + 1 if oldest else horizon
    tables.journal.put(tables.horizons, channel, max(horizon, safe))
    return len(oldest), more


def _below(tables: Tables, channel: str, cutoff: int) -> Iterator[tuple[int, str]]:
    for stamp, name in tables.stamps[channel]:
        if stamp >= cutoff:
            return
        row = tables.inbox.get((channel, name))
        if row is not None and row.stamp == stamp:
            yield stamp, name


def _forget_instances(tables: Tables, saga: str, cutoff: int, limit: int) -> tuple[int, bool]:
    keys = list(islice(_tombstones(tables, saga, cutoff), limit + 1))
    for key in keys[:limit]:
        tables.journal.drop(tables.instances, (saga, key))
    return len(keys[:limit]), len(keys) > limit


def _tombstones(tables: Tables, saga: str, cutoff: int) -> Iterator[str]:
    for completed_at, key in tables.tombstones[saga]:
        if completed_at >= cutoff:
            return
        row = tables.instances.get((saga, key))
        if row is not None and row.completed_at == completed_at:
            yield key


def _forget_letters(tables: Tables, channel: str, cutoff: int, limit: int) -> tuple[int, bool]:
    closed = [
        (identity, known)
        for identity, known in tables.letter_ids.items()
        if identity[0] == channel and (at := tables.letters[known].closed_at) is not None and at < cutoff
    ]
    for identity, known in closed[:limit]:
        tables.journal.drop(tables.letter_ids, identity)
        tables.journal.drop(tables.letters, known)
    return len(closed[:limit]), len(closed) > limit


def _forget_history(tables: Tables, saga: str, cutoff: int, limit: int) -> tuple[int, bool]:
    old = takewhile(lambda entry: entry[0] < cutoff, tables.recorded[saga])
    positions = list(islice((position for _, position in old if position in tables.history), limit + 1))
    for position in positions[:limit]:
        tables.journal.drop(tables.history, position)
    return len(positions[:limit]), len(positions) > limit


def _forget_handled(tables: Tables, channel: str, cutoff: int, limit: int) -> tuple[int, bool]:
    old = takewhile(lambda entry: entry[0] < cutoff, tables.handled_by[channel])
    positions = list(islice((position for _, position in old if position in tables.handled), limit + 1))
    for position in positions[:limit]:
        tables.journal.drop(tables.handled, position)
    return len(positions[:limit]), len(positions) > limit


def _forget_audits(tables: Tables, channel: str, cutoff: int, limit: int) -> tuple[int, bool]:
    old = [each.id for each in tables.audits.values() if each.entry.channel == channel and each.at < cutoff]
    for audit in old[:limit]:
        tables.journal.drop(tables.audits, audit)
    return len(old[:limit]), len(old) > limit


def tidy(tables: Tables, channel: str) -> None:
    """Let go of dead index entries; only between calls."""
    inbox, instances, history = tables.inbox, tables.instances, tables.history
    tables.stamps[channel].tidy(lambda entry: (channel, entry[1]) in inbox)
    tables.tombstones[channel].tidy(lambda entry: (channel, entry[1]) in instances)
    tables.recorded[channel].tidy(lambda entry: entry[1] in history)
    tables.handled_by[channel].tidy(lambda entry: entry[1] in tables.handled)
