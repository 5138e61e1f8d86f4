"""The stored envelopes of all channels, and the indexes that find the due ones without looking at the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from sagabus.envelope import Envelope, accepted_times, lane_of
from sagabus.refs import KeyLike, LaneLike
from sagabus.stores.memory.journal import Index, Journal

"""A channel, and a partition key or message id in it."""


class LaneIndex:
    """Positions of one lane: those due at once, and (due time, position) of those with a time."""

    __slots__ = ("at_once", "timed")

    def __init__(self) -> None:
        self.at_once: Index[int] = Index()
        self.timed: Index[tuple[int, int]] = Index()


class Queue:
    """Envelopes by position. Positions are never given twice, not even after an undone addition."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._position = 0
        self.envelopes: dict[int, Envelope] = {}
        self._copies: dict[KeyLike, int] = {}
        self._timers: dict[KeyLike, tuple[int, ...]] = {}
        self._stashed: dict[KeyLike, tuple[int, ...]] = {}
        self._lanes: defaultdict[LaneLike, LaneIndex] = defaultdict(LaneIndex)

    @property
    def last_position(self) -> int:
        """The highest that was given so far."""
        return self._position

    def add(self, envelope: Envelope, now: int) -> Envelope:
        """Store it under a new position, its delay turned into a due time."""
        self._position += 1
        stored = accepted(envelope, now, self._position)
        self._journal.put(self.envelopes, stored.position, stored)
        address = (stored.channel, stored.message_id)
        self._journal.put(self._copies, address, self._copies.get(address, 0) + 1)
        if stored.timer is not None:
            self._link(self._timers, stored)
        if stored.stashed:
            self._link(self._stashed, stored)
        self._index(stored)
        return stored

    def remove(self, position: int) -> Envelope:
        """Take it out."""
        envelope = self.envelopes[position]
        self._journal.drop(self.envelopes, position)
        address = (envelope.channel, envelope.message_id)
        if (copies := self._copies[address]) > 1:
            self._journal.put(self._copies, address, copies - 1)
        else:
            self._journal.drop(self._copies, address)
        if envelope.timer is not None:
            self._unlink(self._timers, envelope)
        if envelope.stashed:
            self._unlink(self._stashed, envelope)
        return envelope

    def change(self, envelope: Envelope) -> None:
        """Store another version of an envelope, at its position."""
        before = self.envelopes[envelope.position]
        self._journal.put(self.envelopes, envelope.position, envelope)
        if before.stashed and not envelope.stashed:
            self._unlink(self._stashed, before)
        elif envelope.stashed and not before.stashed:
            self._link(self._stashed, envelope)
        if before.due_at != envelope.due_at:
            self._index(envelope)

    def holds_copy(self, channel: str, message_id: str) -> bool:
        """Whether any envelope with this id is stored in the channel."""
        return (channel, message_id) in self._copies

    def timers(self, channel: str, key: str) -> list[Envelope]:
        """The stored timers of one instance."""
        return [self.envelopes[position] for position in self._timers.get((channel, key), ())]

    def stashed(self, channel: str, key: str) -> tuple[Envelope, ...]:
        """What waits for one instance, in order of acceptance."""
        return tuple(self.envelopes[position] for position in sorted(self._stashed.get((channel, key), ())))

    def at_once(self, channel: str, lane: int, after: int = 0) -> Iterator[Envelope]:
        """Envelopes of a lane without a due time and above the position, in order."""
        for position in self._lanes[channel, lane].at_once.above(after):
            if self._is_at_once(position):
                yield self.envelopes[position]

    def due_by(self, channel: str, lane: int, now: int) -> Iterator[Envelope]:
        """Envelopes of a lane whose due time has come, by due time."""
        for due_at, position in self._lanes[channel, lane].timed:
            if due_at > now:
                return
            if self._is_timed((due_at, position)):
                yield self.envelopes[position]

    def next_due(self, channel: str, lane: int, now: int) -> int | None:
        """The earliest due time of a lane that is still to come."""
        timed = self._lanes[channel, lane].timed.above((now, self._position))
        return next((entry[0] for entry in timed if self._is_timed(entry)), None)

    def tidy(self, channel: str, lane: int) -> None:
        """Let go of what is dead in a lane's indexes; only between calls."""
        index = self._lanes[channel, lane]
        index.at_once.tidy(self._is_at_once)
        index.timed.tidy(self._is_timed)

    def divide(self, lanes: int) -> int:
        """Send every envelope to its lane of so many; how many went. Nothing of it can be undone."""
        self._lanes.clear()
        moved = 0
        for position, envelope in self.envelopes.items():
            key = envelope.partition_key
            lane = lane_of(envelope.message_id if key is None else key, lanes)
            moved += lane != envelope.lane
            self.envelopes[position] = replace(envelope, lane=lane)
            self._index(self.envelopes[position])
        return moved

    def lanes(self, channels: Iterable[str]) -> list[LaneLike]:
        """The lanes of these channels that ever had an envelope."""
        wanted = frozenset(channels)
        return [lane for lane in self._lanes if lane[0] in wanted]

    def _is_at_once(self, position: int) -> bool:
        envelope = self.envelopes.get(position)
        return envelope is not None and envelope.due_at == 0

    def _is_timed(self, entry: tuple[int, int]) -> bool:
        envelope = self.envelopes.get(entry[1])
        return envelope is not None and envelope.due_at == entry[0]

    def _index(self, envelope: Envelope) -> None:
        lane = self._lanes[envelope.channel, envelope.lane]
        if envelope.due_at == 0:
            lane.at_once.add(envelope.position)
        else:
            lane.timed.add((envelope.due_at, envelope.position))

    def _link(self, table: dict[KeyLike, tuple[int, ...]], envelope: Envelope) -> None:
        if envelope.partition_key is not None:
            address = (envelope.channel, envelope.partition_key)
            self._journal.put(table, address, (*table.get(address, ()), envelope.position))

    def _unlink(self, table: dict[KeyLike, tuple[int, ...]], envelope: Envelope) -> None:
        if envelope.partition_key is None:
            return
        address = (envelope.channel, envelope.partition_key)
        if left := tuple(position for position in table[address] if position != envelope.position):
            self._journal.put(table, address, left)
        else:
            self._journal.drop(table, address)


def accepted(envelope: Envelope, now: int, position: int = 0) -> Envelope:
    """The envelope as it is stored."""
    due_at, sent_at = accepted_times(envelope, now)
    return replace(
        envelope, position=position, due_at=due_at, sent_at=sent_at, delay=0, guarded=False, deaths=0, excused=0
    )
