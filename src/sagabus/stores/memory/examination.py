"""What must hold in a memory store, looked at row by row: only a fault of this library could break it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from sagabus.clock import Clock
from sagabus.envelope import Envelope
from sagabus.store.examination import EXAMINED, MENDABLE, NAMED, Conditions, Fault, FaultKind, Still, StillPage
from sagabus.stores.memory.tables import InstanceRow, Tables


class MemoryExamination:
    """See `sagabus.store.examination.Examination`."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    async def faults(self, kind: FaultKind) -> Sequence[Fault]:
        """Faults of one kind."""
        return list(islice(_LOOKS[kind](self._tables, self._clock.now()), NAMED))

    async def recent_letters(self, span: int) -> Mapping[str, int]:
        """How many open dead letters failed within so long, by channel."""
        since = self._clock.now() - span
        letters = [row.letter for row in self._tables.letters.values() if row.letter.status == "open"]
        latest = sorted(letters, key=lambda each: -each.id)[:EXAMINED]
        return Counter(each.envelope.channel for each in latest if each.last_failed_at >= since)

    async def unchanged(
        self, saga: str, span: int, *, status: str | None = None, after: str = "", limit: int = NAMED
    ) -> StillPage:
        """Live instances that have not changed for so long."""
        now = self._clock.now()
        every = (row.instance for (name, key), row in self._tables.instances.items() if name == saga and key > after)
        looked = sorted(every, key=lambda each: each.key)[:EXAMINED]
        old = (each for each in looked if not each.completed and each.updated_at <= now - span)
        still = (each for each in old if status in {None, each.status})
        found = tuple(Still(each.key, each.version, each.status, each.updated_at) for each in islice(still, limit))
        if len(found) == limit:
            return StillPage(now, found, found[-1].key)
        return StillPage(now, found, looked[-1].key if len(looked) == EXAMINED else None)

    async def conditions(self) -> Conditions:
        """Its clock."""
        return Conditions(self._clock.now())


def mend(tables: Tables, fault: Fault) -> int:
    """Remove what the fault consists of, where it still does."""
    if fault.kind not in MENDABLE:
        raise ValueError(f"{fault.kind.value}: nothing may be removed for this")
    place = (fault.channel, fault.key)
    if fault.kind is FaultKind.EXPIRED_RECORD:
        gone = list(_below(tables, fault.channel))
        for message_id in gone:
            tables.journal.drop(tables.inbox, (fault.channel, message_id))
        return len(gone)
    if not any((each.channel, each.key, each.position) == (*place, fault.position) for each in _now(tables, fault)):
        return 0
    if fault.kind is FaultKind.IDLE_TIMER:
        tables.remove(fault.position)
    else:
        tables.journal.drop(tables.holds, place)
    return 1


def _now(tables: Tables, fault: Fault) -> Iterator[Fault]:
    return _LOOKS[fault.kind](tables, 0)


def _timers(tables: Tables, now: int) -> Iterator[tuple[Envelope, InstanceRow | None]]:
    for each in list(tables.queue.envelopes.values()):
        if each.timer is not None and each.due_at > now:
            yield each, tables.instances.get((each.channel, each.partition_key or ""))


def _timer(kind: FaultKind, each: Envelope) -> Fault:
    return Fault(kind, each.channel, each.partition_key or "", each.timer or "", position=each.position)


def _orphan_timers(tables: Tables, now: int) -> Iterator[Fault]:
    return (_timer(FaultKind.ORPHAN_TIMER, each) for each, row in _timers(tables, now) if row is None)


def _idle_timers(tables: Tables, now: int) -> Iterator[Fault]:
    idle = (each for each, row in _timers(tables, now) if row is not None and row.instance.completed)
    return (_timer(FaultKind.IDLE_TIMER, each) for each in idle)


def _lost_timers(tables: Tables, now: int) -> Iterator[Fault]:
    kept = [row.letter for row in tables.letters.values() if row.letter.status != "discarded"]
    held = {(each.envelope.channel, each.envelope.message_id) for each in kept}
    for row in sorted(tables.instances.values(), key=lambda each: (each.instance.saga, each.instance.key)):
        instance = row.instance
        if instance.completed or not instance.timers:
            continue
        stored = {each.timer for each in tables.queue.timers(instance.saga, instance.key)}
        names = instance.timers.items()
        missing = [name for name, id_ in names if name not in stored and (instance.saga, id_) not in held]
        if missing:
            yield Fault(FaultKind.LOST_TIMER, instance.saga, instance.key, ", ".join(missing))


def _dangling_holds(tables: Tables, now: int) -> Iterator[Fault]:
    for (channel, key), position in sorted(tables.holds.items()):
        if position > 0 and position not in tables.queue.envelopes:
            yield Fault(FaultKind.DANGLING_HOLD, channel, key, position=position)


def _dangling_parks(tables: Tables, now: int) -> Iterator[Fault]:
    letters = [row.letter for row in tables.letters.values() if row.letter.status == "open" and row.letter.parked]
    parked = {(each.envelope.channel, each.envelope.partition_key) for each in letters}
    for (channel, key), position in sorted(tables.holds.items()):
        if position == 0 and (channel, key) not in parked:
            yield Fault(FaultKind.DANGLING_PARK, channel, key)


def _below(tables: Tables, channel: str) -> Iterator[str]:
    horizon = tables.horizons.get(channel, 0)
    return (name for (place, name), row in list(tables.inbox.items()) if place == channel and row.stamp < horizon)


def _expired_records(tables: Tables, now: int) -> Iterator[Fault]:
    for channel in sorted(tables.horizons):
        if count := sum(1 for _ in _below(tables, channel)):
            yield Fault(FaultKind.EXPIRED_RECORD, channel, count=min(count, EXAMINED))


def _future_horizons(tables: Tables, now: int) -> Iterator[Fault]:
    for channel, stamp in sorted(tables.horizons.items()):
        if stamp > now:
            yield Fault(FaultKind.FUTURE_HORIZON, channel, detail=str(stamp - now))


def _history_gaps(tables: Tables, now: int) -> Iterator[Fault]:
    former: dict[tuple[str, str], int] = {}
    for row in sorted(tables.history.values(), key=lambda each: each.position):
        before = former.get((row.saga, row.key))
        former[row.saga, row.key] = row.version
        if before is not None and row.version > 1 and before != row.version - 1:
            yield Fault(FaultKind.HISTORY_GAP, row.saga, row.key, f"{before} to {row.version}")


def _unknown_lanes(tables: Tables, now: int) -> Iterator[Fault]:
    lanes = {lane for _, lane in tables.lanes}
    lost = [each for each in tables.queue.envelopes.values() if lanes and each.lane not in lanes]
    for channel, count in sorted(Counter(each.channel for each in lost).items()):
        lane = min(each.lane for each in lost if each.channel == channel)
        yield Fault(FaultKind.UNKNOWN_LANE, channel, detail=str(lane), count=min(count, EXAMINED))


def _missing_lanes(tables: Tables, now: int) -> Iterator[Fault]:
    lanes, wanted = Counter(channel for channel, _ in tables.lanes), len({lane for _, lane in tables.lanes})
    for channel, count in sorted(lanes.items()):
        if count < wanted:
            yield Fault(FaultKind.MISSING_LANE, channel, detail=str(wanted), count=wanted - count)


def _none(tables: Tables, now: int) -> Iterator[Fault]:
    """Texts of Python compare as they are, and there is no index to lose."""
    return iter(())


_LOOKS = {
    FaultKind.ORPHAN_TIMER: _orphan_timers,
    FaultKind.IDLE_TIMER: _idle_timers,
    FaultKind.LOST_TIMER: _lost_timers,
    FaultKind.DANGLING_HOLD: _dangling_holds,
    FaultKind.DANGLING_PARK: _dangling_parks,
    FaultKind.EXPIRED_RECORD: _expired_records,
    FaultKind.FUTURE_HORIZON: _future_horizons,
    FaultKind.HISTORY_GAP: _history_gaps,
    FaultKind.UNKNOWN_LANE: _unknown_lanes,
    FaultKind.MISSING_LANE: _missing_lanes,
    FaultKind.COLLATION: _none,
    FaultKind.MISSING_INDEX: _none,
}
