"""Who owns which lanes: live workers share a channel's lanes evenly, and each change of owner raises the epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from msgspec.structs import replace

from sagabus.refs import LaneLike
from sagabus.store import Lane
from sagabus.store.loud import Loud
from sagabus.store.running import Running
from sagabus.stores.lane_shares import BEYOND_LOST, Crew, share_of
from sagabus.stores.memory.tables import LaneRow, Tables
from sagabus.stores.running_text import running_text
from sagabus.stores.suspicion import Suspicion, across


def ensure_lanes(tables: Tables, channel: str, lanes: int) -> None:
    """Give the channel its lanes, once."""
    if (channel, 0) not in tables.lanes:
        for lane in range(lanes):
            tables.journal.put(tables.lanes, (channel, lane), LaneRow())


class Leasing:
    """One worker's call, at one instant."""

    def __init__(
        self, tables: Tables, worker: str, *, now: int, duration: int, window: int, patient: bool = False
    ) -> None:
        self._tables = tables
        self._worker = worker
        self._now = now
        self._duration = duration
        self._window = window
        self._patient = patient
        self.gave_up = False

    def share(self, channel: str, lanes: int, knows: str | None) -> Sequence[Lane]:
        """Renew what the worker owns of the channel, give up what is too much, take what it may."""
        if (channel, self._worker) not in self._tables.workers:
            self._tables.crew += 1
        self._tables.journal.put(self._tables.workers, (channel, self._worker), self._now + self._duration)
        self._tables.lease_lengths[self._worker] = self._duration
        places: list[LaneLike] = [(channel, lane) for lane in range(lanes)]
        self._tables.knowledge[channel, self._worker] = knows
        fair = share_of(channel, lanes, knows, self._crews(channel))
        own = [place for place in places if self._tables.lanes[place].owner == self._worker]
        for place in own[fair:]:
            self._put(place, replace(self._tables.lanes[place], owner=None))
            self._tables.crew += 1
            self.gave_up = True
        free = (place for place in places if self._is_free(self._tables.lanes[place]))
        for place in islice(free, max(fair - len(own), 0)):
            self._take(place)
            own.append(place)
        return [self._renew(place) for place in sorted(own[:fair])]

    def _crews(self, channel: str) -> list[Crew]:
        crews: dict[str | None, list[str]] = {}
        for name in self._live_workers(channel):
            crews.setdefault(self._tables.knowledge.get((channel, name)), []).append(name)
        return [
            Crew(knows, len(names), sum(name < self._worker for name in names), names[0])
            for knows, names in crews.items()
        ]

    def _live_workers(self, channel: str) -> list[str]:
        """Who shares the channel; the dead are forgotten here, unless they may come back."""
        workers = self._tables.workers
        dead = {known for known, expires_at in workers.items() if self._has_ended(expires_at)}
        for registration in () if self._patient else dead:
            self._tables.journal.drop(workers, registration)
            self._tables.knowledge.pop(registration, None)
            self._tables.running.pop(registration, None)
            self._tables.lease_lengths.pop(registration[1], None)
            self._tables.crew += 1
        return sorted(name for of, name in workers if of == channel and (of, name) not in dead)

    def _has_ended(self, expires_at: int) -> bool:
        """A lease far in the future was made before the clock was set back, and would never end."""
        return expires_at < self._now or expires_at > self._now + 2 * self._duration

    def _is_free(self, row: LaneRow) -> bool:
        if row.owner is None or self._patient:
            return row.owner is None
        return row.owner != self._worker and self._has_ended(row.expires_at)

    def _take(self, place: LaneLike) -> None:
        row = self._tables.lanes[place]
        suspicion = row.suspicion
        if row.owner is not None:
            suspicion = suspicion.joined(_in_flight(self._tables, place, row, self._now))
        self._put(place, replace(row, owner=self._worker, epoch=row.epoch + 1, suspicion=suspicion, loud=()))

    def _renew(self, place: LaneLike) -> Lane:
        row = replace(self._tables.lanes[place], expires_at=self._now + self._duration, window=self._window)
        self._put(place, row)
        suspicion = row.suspicion
        return Lane(*place, epoch=row.epoch, suspect_until=suspicion.until, suspect_keys=suspicion.keys)

    def _put(self, place: LaneLike, row: LaneRow) -> None:
        self._tables.journal.put(self._tables.lanes, place, row)


def divide(tables: Tables, lanes: int, now: int) -> int:
    """Divide every channel into another number of lanes; returns the envelopes that changed lanes."""
    tables.crew += 1
    tables.version += 1
    for channel in {channel for channel, _ in tables.lanes}:
        rows = {place: row for place, row in tables.lanes.items() if place[0] == channel}
        doubtful = [row.suspicion for row in rows.values()]
        doubtful += [
            _in_flight(tables, place, row, now)
            for place, row in rows.items()
            if row.owner is not None and row.expires_at < now
        ]
        fresh = LaneRow(epoch=1 + max(row.epoch for row in rows.values()), suspicion=across(doubtful))
        for place in rows:
            del tables.lanes[place]
        tables.lanes.update({(channel, lane): fresh for lane in range(lanes)})
    return tables.queue.divide(lanes)


def fence_all(tables: Tables) -> int:
    """Raise all epochs and the version past every value that was given; returns the number of lanes."""
    tables.crew += BEYOND_LOST
    tables.version += BEYOND_LOST
    for place, row in tables.lanes.items():
        tables.lanes[place] = replace(row, epoch=row.epoch + BEYOND_LOST)
    return len(tables.lanes)


def give_back(tables: Tables, worker: str, lanes: Sequence[Lane] | None) -> None:
    """Free lanes that the worker owns; all of them, and its registration, for None."""
    tables.crew += 1
    places = [(lane.channel, lane.lane) for lane in lanes] if lanes is not None else list(tables.lanes)
    for place in places:
        row = tables.lanes.get(place)
        if row is not None and row.owner == worker:
            tables.journal.put(tables.lanes, place, replace(row, owner=None))
    if lanes is None:
        _forget(tables, worker)


def leave(tables: Tables, worker: str, keeping: Sequence[Lane], expires_at: int) -> None:
    """Free all lanes of the worker but some, which are its own until the time given; and its registration."""
    tables.crew += 1
    _forget(tables, worker)
    kept = {(lane.channel, lane.lane): lane.epoch for lane in keeping}
    for place, row in [(place, row) for place, row in tables.lanes.items() if row.owner == worker]:
        stays = kept.get(place) == row.epoch
        after = replace(row, expires_at=expires_at) if stays else replace(row, owner=None)
        tables.journal.put(tables.lanes, place, after)


def crew(tables: Tables, now: int) -> int:
    """Another number whenever a worker came, went or died, or left lanes to others."""
    return tables.crew * 1000 + sum(ends < now for ends in tables.workers.values())


def note_loud(tables: Tables, worker: str, loud: Sequence[Loud]) -> bool:
    """Note loud keys of the worker's lanes; of none, unless all are as it knows them."""
    rows = [(each, tables.lanes.get((each.channel, each.lane))) for each in loud]
    if any(row is None or (row.owner, row.epoch) != (worker, each.epoch) for each, row in rows):
        return False
    for each, row in rows:
        if row is not None:
            tables.journal.put(tables.lanes, (each.channel, each.lane), replace(row, loud=tuple(each.keys)))
    return True


def note_running(tables: Tables, worker: str, running: Mapping[str, Sequence[Running]], now: int) -> None:
    """Note which runs of a worker last."""
    tables.running.update(
        ((channel, worker), running_text(runs, now))
        for channel, runs in running.items()
        if (channel, worker) in tables.workers
    )


def _in_flight(tables: Tables, place: LaneLike, row: LaneRow, now: int) -> Suspicion:
    """The highest positions the dead owner may have held; what is held back did not count against its window."""

    def last(wanted: Callable[[str | None], bool]) -> int:
        found = (
            each for each in tables.queue.at_once(*place) if wanted(each.partition_key) and not tables.is_held(each)
        )
        return max((each.position for each in islice(found, row.window)), default=0)

    due = [envelope.position for envelope in tables.queue.due_by(*place, now)]
    keys = {key: last(key.__eq__) for key in row.loud}
    return Suspicion(max([last(lambda key: key not in keys), *due]), keys)


def _forget(tables: Tables, worker: str) -> None:
    for registration in [registration for registration in tables.workers if registration[1] == worker]:
        tables.journal.drop(tables.workers, registration)
        tables.knowledge.pop(registration, None)
        tables.running.pop(registration, None)
