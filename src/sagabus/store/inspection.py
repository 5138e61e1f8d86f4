"""PORT: the read-only side of a store, for views and tools. No message passes here.

A part of the contract in `store`, whose `inspect` gives it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from sagabus.envelope import DeadLetter, Envelope, Instance, Recorded
from sagabus.store.examination import Examination
from sagabus.store.mending import AuditsSeen, Paused
from sagabus.store.running import Running
from sagabus.store.survey import Survey


class ChannelCounts(msgspec.Struct, frozen=True, gc=False):
    """How many envelopes of a channel wait, and why. Each stored envelope is in one count: `waiting` is all of them."""

    channel: str
    ready: int = 0
    """Due now, retries and timers among them: the next free worker takes them."""
    scheduled: int = 0
    timers: int = 0
    retrying: int = 0
    stashed: int = 0
    held: int = 0
    """Keys that a retry or a parked dead letter holds back."""
    dead: int = 0
    oldest_ready_age: int = 0
    """Microseconds since the oldest ready envelope was sent."""
    behind: int = 0
    """Due now, but an earlier message of the same key waits for its retry or is parked as a dead letter."""

    @property
    def waiting(self) -> int:
        """All envelopes that are stored in the channel."""
        return self.ready + self.scheduled + self.timers + self.retrying + self.stashed + self.behind


class WorkerSeen(msgspec.Struct, frozen=True, gc=False):
    """One live worker at one channel: it has said that it lives, and its word still counts by the store's clock."""

    worker: str
    channel: str
    lanes: int
    """How many of the channel's lanes it owns."""
    expires_at: int
    """When it counts as dead unless it renews, in microseconds since 1970."""
    knows: frozenset[str] | None = None
    """The message types that it knows there; None where it does not say."""
    lease: int = 0
    """How long its lease is, in microseconds."""
    age: int = 0
    """Microseconds since it said so last, by the store's clock."""
    runs: tuple[Running, ...] = ()
    """Of those that it has noted as lasting, the first; `lasted` is by the store's clock."""
    running: int = 0
    """How many it has noted."""
    version: str | None = None
    """The release of the library that it runs; None where it does not say."""


MOST_IDS = 1_000
"""Message ids of one look at the inbox."""


class RecordsSeen(msgspec.Struct, frozen=True, gc=False):
    """What the inbox of one channel says about message ids."""

    recorded: frozenset[str]
    """Those that have a record."""
    horizon: int = 0
    """Of an id that was sent at this instant or later, a record is never forgotten. In microseconds since 1970; 0 while
    the channel has forgotten nothing.
    """


class InstancePage(msgspec.Struct, frozen=True, gc=False):
    """Instances of one saga, by key."""

    found: tuple[Instance, ...]
    after: str | None = None
    """Behind which key to look next; None at the end."""


def check_number_of_ids(ids: Sequence[str]) -> None:
    """Raise ValueError for more than MOST_IDS."""
    if len(ids) > MOST_IDS:
        raise ValueError(f"one look is for at most {MOST_IDS:,} message ids, not {len(ids):,}")


class Inspection(Survey, Examination, Protocol):
    """Read-only questions; answers are a snapshot.

    But for `due` and `workers`, which workers ask, no work of the store waits for an answer. One that takes longer than
    LONGEST_LOOK raises StoreUnavailable.
    """

    async def due(self, channels: Sequence[str]) -> bool:
        """Whether any envelope of the channels could run now (held and stashed ones could not)."""
        ...

    async def counts(self) -> Sequence[ChannelCounts]:
        """One row for each channel that has a subscription or an envelope."""
        ...

    async def workers(self) -> Sequence[WorkerSeen]:
        """The live workers, one row for each channel that they serve, by channel and worker."""
        ...

    async def instances(
        self, saga: str, *, status: str | None = None, after: str = "", limit: int = 100
    ) -> InstancePage:
        """Instances of a saga by key, from the first key greater than `after`.

        For a `status` it looks at SCANNED instances, so a page before the end may have less than `limit`, or none.
        """
        ...

    async def history(self, saga: str, key: str, *, after: int = 0, limit: int = 100) -> Sequence[Recorded]:
        """The recorded transitions of an instance in their order, from the first position greater than `after`."""
        ...

    async def envelopes(
        self, channel: str, *, key: str | None = None, timers: bool = False, limit: int = 100
    ) -> Sequence[Envelope]:
        """What is stored in a channel, by position; of one partition key, or timers only, when asked."""
        ...

    async def dead_letters(
        self,
        *,
        channel: str | None = None,
        status: str | None = "open",
        since: int | None = None,
        until: int | None = None,
        after: int = 0,
        before: int | None = None,
        limit: int = 100,
        bodies: bool = True,
    ) -> Sequence[DeadLetter]:
        """Dead letters by id, from the first id greater than `after`, up to the last one less than `before`.

        `since` and `until`: they failed last then or later, and earlier than that. No index serves a channel or a time,
        so ask `letter_stop` first, and pass what it says as `before`. Without `bodies`, the database sends neither
        bodies nor tracebacks: they are empty.
        """
        ...

    async def letter_stop(self, *, status: str | None = "open", after: int = 0) -> int | None:
        """The id of the first letter behind `after` that a filter does not look at; None where it looks at all.

        SCANNED letters of the status are between them.
        """
        ...

    async def last_letter(self) -> int:
        """The highest id of a dead letter, whatever its status; 0 without any."""
        ...

    async def dead_letter(self, letter: int, *, bodies: bool = True) -> DeadLetter | None:
        """One dead letter, whatever its status; `bodies` as above."""
        ...

    async def envelope(self, position: int) -> Envelope | None:
        """The envelope at a position, with its body."""
        ...

    async def records(self, channel: str, ids: Sequence[str]) -> RecordsSeen:
        """Which of the message ids the channel has accepted, and its horizon. ValueError for more than MOST_IDS.

        An id without a record that was sent at the horizon or later was never accepted. Of one sent before, that is
        unknown. A claimed key is no message id. What handlers send within the store has no record.
        """
        ...

    async def paused(self) -> Sequence[Paused]:
        """The paused channels, in order."""
        ...

    async def audits(
        self,
        *,
        channel: str | None = None,
        target: str | None = None,
        by: str | None = None,
        since: int | None = None,
        until: int | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> AuditsSeen:
        """Entries of the audit log, the latest first, from the first id less than `before`.

        Those of a `target` have it as their target, or are about a message, a timer or a dead letter of that key.
        `by` made them, at `since` or later and before `until`, in microseconds since 1970.

        A bounded look: a filter by anything but the channel reads SCANNED entries, and then says where it stopped.
        """
        ...
