"""All that a memory store holds besides its envelopes, and the small changes that several calls share."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from sagabus.codec import fingerprint
from sagabus.envelope import DeadLetter, Envelope, Instance, Recorded
from sagabus.outcome import Save
from sagabus.refs import KeyLike, LaneLike
from sagabus.store import JournalRow, Subscription
from sagabus.store.mending import Audited, Entry, Paused
from sagabus.stores.memory.journal import Index, Journal
from sagabus.stores.memory.queue import Queue
from sagabus.stores.suspicion import Suspicion


class InboxRow(msgspec.Struct, frozen=True, gc=False):
    """That a message id (or a claimed key) was taken, by which content."""

    fingerprint: bytes
    stamp: int


class InstanceRow(msgspec.Struct, frozen=True, gc=False):
    """An instance, and since when it is only a tombstone."""

    instance: Instance
    completed_at: int | None = None


class LaneRow(msgspec.Struct, frozen=True, gc=False):
    """Who owns a lane, until when, and how many of its envelopes the owner may hold."""

    epoch: int = 0
    owner: str | None = None
    expires_at: int = 0
    window: int = 0
    suspicion: Suspicion = Suspicion()
    loud: tuple[str, ...] = ()


class LetterRow(msgspec.Struct, frozen=True, gc=False):
    """A dead letter, and since when it is closed."""

    letter: DeadLetter
    closed_at: int | None = None


Renewal: TypeAlias = tuple[str, int]
"""A worker, and until when all that it still owns is its own."""


class Tables:
    """Rows by key. Every change ends with `journal.commit()` or `journal.rollback()`."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.queue = Queue(self.journal)
        self.inbox: dict[KeyLike, InboxRow] = {}
        self.stamps: defaultdict[str, Index[tuple[int, str]]] = defaultdict(Index)
        self.horizons: dict[str, int] = {}
        self.instances: dict[KeyLike, InstanceRow] = {}
        self.tombstones: defaultdict[str, Index[tuple[int, str]]] = defaultdict(Index)
        self.history: dict[int, Recorded] = {}
        self.recorded: defaultdict[str, Index[tuple[int, int]]] = defaultdict(Index)
        self.handled: dict[int, JournalRow] = {}
        self.handled_by: defaultdict[str, Index[tuple[int, int]]] = defaultdict(Index)
        """When and where the rows of each subscription stand."""
        self.holds: dict[KeyLike, int] = {}
        self.letters: dict[int, LetterRow] = {}
        self.letter_ids: dict[tuple[str, str, bytes], int] = {}
        self.audits: dict[int, Audited] = {}
        self.paused: dict[str, Paused] = {}
        self.lanes: dict[LaneLike, LaneRow] = {}
        self.workers: dict[KeyLike, int] = {}
        self.renewals: deque[Renewal] = deque()
        """What threads have renewed and is not entered yet."""
        self.knowledge: dict[KeyLike, str | None] = {}
        """What each of them knows, as it said last."""
        self.running: dict[KeyLike, str | None] = {}
        """Which of its runs last, as it noted last."""
        self.lease_lengths: dict[str, int] = {}
        """How long the lease of each worker is, as it asked last."""
        self.crew = 0
        """How often workers have come or gone, or left lanes to others."""
        self.subscriptions: dict[tuple[str, str], Subscription] = {}
        self.version = 1
        self._last_letter = 0
        self._last_recorded = 0
        self._last_handled = 0
        self._last_audit = 0

    def is_held(self, envelope: Envelope) -> bool:
        """Whether another envelope of its key, or a parked dead letter, goes first."""
        if envelope.partition_key is None:
            return False
        first = self.holds.get((envelope.channel, envelope.partition_key))
        return first is not None and first != envelope.position

    def take(self, channel: str, message_id: str, row: InboxRow) -> None:
        """Write an inbox row."""
        self.journal.put(self.inbox, (channel, message_id), row)
        self.stamps[channel].add((row.stamp, message_id))

    def is_too_old(self, channel: str, stamp: int) -> bool:
        """Whether it is no longer known if a message of this stamp took effect."""
        return stamp < self.horizons.get(channel, 0)

    def add(self, envelope: Envelope, now: int) -> None:
        """Store an envelope; a timer goes in the place of the one with its name."""
        if envelope.timer is not None:
            self.cancel(envelope.channel, envelope.partition_key, envelope.timer)
        self.queue.add(envelope, now)

    def remove(self, position: int) -> Envelope:
        """Take an envelope out, and let go of the key that it held back."""
        envelope = self.queue.remove(position)
        self.let_go(envelope)
        return envelope

    def let_go(self, envelope: Envelope) -> None:
        """Let the key go on if this envelope held it back."""
        if envelope.partition_key is not None:
            address = (envelope.channel, envelope.partition_key)
            if self.holds.get(address) == envelope.position:
                self.journal.drop(self.holds, address)

    def hold(self, envelope: Envelope, position: int) -> None:
        """Let only this position of the envelope's key run; 0 is nothing at all."""
        if envelope.partition_key is not None:
            self.journal.put(self.holds, (envelope.channel, envelope.partition_key), position)

    def cancel(self, channel: str, key: str | None, name: str | None = None) -> None:
        """Remove the timers of an instance that have this name; all of them for None."""
        for timer in self.queue.timers(channel, key) if key is not None else ():
            if name is None or timer.timer == name:
                self.remove(timer.position)

    def save(self, save: Save, now: int) -> None:
        """Write the next version of an instance; the timers of a completed one go."""
        for text in (save.key, save.status, save.shape, *save.timers):
            (text or "").encode()  # half a character, which a database would not keep
        address = (save.saga, save.key)
        before = self.instances.get(address)
        instance = Instance(
            saga=save.saga,
            key=save.key,
            version=save.version,
            state=save.state,
            status=save.status,
            timers=save.timers,
            completed=save.completed,
            created_at=before.instance.created_at if before else now,
            updated_at=now,
            shape=save.shape,
        )
        self.journal.put(self.instances, address, InstanceRow(instance, now if save.completed else None))
        if save.completed:
            self.tombstones[save.saga].add((now, save.key))
            self.cancel(save.saga, save.key)

    def record(self, envelope: Envelope, save: Save, now: int) -> None:
        """Write a transition into the history, under a position that is never given twice."""
        self._last_recorded += 1
        row = Recorded(
            position=self._last_recorded,
            saga=save.saga,
            key=save.key,
            version=save.version,
            at=now,
            message_id=envelope.message_id,
            message_type=envelope.message_type,
            timer=envelope.timer,
            status=save.status,
            completed=save.completed,
            state=save.state,
            shape=save.shape,
        )
        self.journal.put(self.history, row.position, row)
        self.recorded[save.saga].add((now, row.position))

    def note(self, row: JournalRow, now: int) -> None:
        """Write a row of the journal of messages, under a position that is never given twice."""
        self._last_handled += 1
        row = replace(row, handled_at=now, position=self._last_handled)
        self.journal.put(self.handled, row.position, row)
        self.handled_by[row.subscription].add((now, row.position))

    def audit(self, entry: Entry, now: int) -> int:
        """Write an entry of the audit log; its id, which is never given twice."""
        self._last_audit += 1
        self.journal.put(self.audits, self._last_audit, Audited(id=self._last_audit, at=now, entry=entry))
        return self._last_audit

    def bury(self, letter: DeadLetter, now: int) -> None:
        """Write a dead letter; one for the same message and content is opened again and keeps its id."""
        envelope = letter.envelope
        letter = replace(letter, first_failed_at=envelope.failed_at or now, last_failed_at=now)
        identity = (envelope.channel, envelope.message_id, fingerprint(envelope.message_type, envelope.body))
        if (known := self.letter_ids.get(identity)) is not None:
            before = self.letters[known].letter
            parked = letter.parked or (before.parked and before.status == "open")
            self.journal.put(self.letters, known, LetterRow(replace(letter, id=known, parked=parked)))
            return
        self._last_letter += 1
        self.journal.put(self.letter_ids, identity, self._last_letter)
        self.journal.put(self.letters, self._last_letter, LetterRow(replace(letter, id=self._last_letter)))
