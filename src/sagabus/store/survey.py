"""PORT: bounded looks at a store that may hold millions of rows: what waits and why, for people on call.

A part of the contract in `store`. No look changes anything, or holds up the work of a store. Each goes by an index, and
has a limit of rows and a limit of time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from sagabus.envelope import DeadLetter, Envelope
from sagabus.store.journal import JOURNAL_BEGIN, JournalMark, JournalRow

COUNTED = 10_000
"""Counts stop here. Beyond it they say "at least"."""
SCANNED = 10_000
"""A filter that no index serves looks at so many envelopes, and then says where it stopped."""
LONGEST_LOOK = 5.0
"""Seconds. A look that takes longer raises StoreUnavailable."""

WHYS = ("ready", "running", "held", "scheduled", "timer", "retrying", "stashed")
"""Why an envelope waits. Each stored envelope is one of them.

`ready`: due now. `running`: the same, and a live worker has noted that it runs (`note_running`). `held`: due now, but
an earlier message of its key waits for a retry or is parked. `stashed`: kept for its saga. The others are due later: by
a schedule, as a timer, or as a retry.
"""


class Backlog(msgspec.Struct, frozen=True, gc=False):
    """What waits in one channel."""

    channel: str
    counts: Mapping[str, int] = {}
    """How many envelopes wait, for each reason of WHYS; reasons without any are left out."""
    more: bool = False
    """Counting stopped at COUNTED: there are at least so many."""
    oldest_age: int | None = None
    """Microseconds since the oldest ready envelope was sent, by the store's clock; None where none is ready."""


class LetterCount(msgspec.Struct, frozen=True, gc=False):
    """How many open dead letters of one channel have one cause."""

    channel: str
    cause: str
    """The value of a `Cause`."""
    count: int
    parked: int
    """How many of them park their key."""
    oldest: int
    """When the first of them failed last, in microseconds since 1970."""


class LetterCounts(msgspec.Struct, frozen=True, gc=False):
    """The open dead letters, counted."""

    counts: tuple[LetterCount, ...]
    """By channel and cause."""
    more: bool
    """Counting stopped at COUNTED: there are at least so many."""


class LaneCount(msgspec.Struct, frozen=True, gc=False):
    """The lanes of one channel."""

    channel: str
    lanes: int
    owned: int
    """How many of them a lease covers now."""


class Mark(NamedTuple):
    """A place in the order in which envelopes become due: at once by position, then by due time."""

    due_at: int
    position: int


BEGIN = Mark(-1, -1)
"""Before everything."""


class Wanted(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Which envelopes a look is for; None stands for any."""

    channel: str | None = None
    key: str | None = None
    why: str | None = None
    """One of WHYS."""
    timers: bool = False
    """Timers only, those too that are due or wait for a retry."""
    message_type: str | None = None
    correlation_id: str | None = None
    """The message that began the conversation is wanted, too: its own id is the correlation id of all others."""
    since: int | None = None
    """Sent at this instant or later."""
    until: int | None = None
    """Sent before this instant."""
    due_before: int | None = None
    """Due before this instant. A look ends there, so that it is no filter."""

    @property
    def is_filter(self) -> bool:
        """Whether envelopes have to be looked at to know whether they are wanted."""
        fields = (self.key, self.why, self.message_type, self.correlation_id, self.since, self.until)
        return self.timers or any(each is not None for each in fields)


class WantedLetters(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Which dead letters a look is for; None stands for any."""

    channel: str | None = None
    status: str | None = "open"
    since: int | None = None
    """Failed last at this instant or later."""
    until: int | None = None
    """Failed last before this instant."""
    before: int | None = None
    """Only ids less than this."""


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """One stored envelope."""

    envelope: Envelope
    """Without its body."""
    why: str
    """One of WHYS."""
    worker: str | None = None
    """Who runs it, of one that is running."""
    since: int | None = None
    """Since when, in microseconds since 1970."""


class WaitingPage(msgspec.Struct, frozen=True, gc=False):
    """Envelopes in the order in which they become due."""

    found: tuple[Waiting, ...]
    after: Mark | None = None
    """Where the next page begins; None at the end."""
    stopped: bool = False
    """It looked at SCANNED envelopes, and found fewer than the limit. There may be more behind `after`."""


class KeySeen(msgspec.Struct, frozen=True, gc=False):
    """What decides whether messages of one key of one channel may run."""

    channel: str
    key: str
    lane: int
    """Which lane the key belongs to."""
    owner: str | None
    """The worker whose lease covers the lane now."""
    first: int | None
    """The position of the one envelope that may run: it waits for its retry. 0: none may, because a dead letter parks
    the key. None: nothing is held back.
    """
    holder: Waiting | None = None
    """The envelope at that position."""
    letters: tuple[DeadLetter, ...] = ()
    """Open dead letters of the key, the latest first; at most 100."""
    stopped: bool = False
    """It looked at the latest SCANNED open dead letters of the store: there may be older ones."""


class LettersSeen(msgspec.Struct, frozen=True, gc=False):
    """Dead letters of one conversation."""

    letters: tuple[DeadLetter, ...]
    """Whatever their status, the latest first; at most 100."""
    stopped: bool = False
    """It looked at the latest SCANNED dead letters of the store, or found more than 100: there may be older ones."""


class Survey(Protocol):
    """Bounded looks. All of them may raise StoreUnavailable when they take longer than LONGEST_LOOK."""

    async def channels(self) -> Sequence[str]:
        """The channels that have a subscription, lanes or an envelope, in order."""
        ...

    async def backlog(self, channel: str) -> Backlog:
        """What waits in a channel. It looks at COUNTED envelopes that are due at once, COUNTED that became due by
        schedule and COUNTED that are due later.
        """
        ...

    async def waiting(self, wanted: Wanted, *, after: Mark = BEGIN, limit: int = 100) -> WaitingPage:
        """A page of stored envelopes, without their bodies, in the order in which they become due.

        The lanes of a key are those that `lane_of` says. A filter looks at SCANNED envelopes that are due at once, and
        at as many of the others. One for what is running looks at what workers have noted.
        """
        ...

    async def key(self, channel: str, key: str) -> KeySeen:
        """What decides whether messages of a key may run now."""
        ...

    async def journal(
        self, correlation_id: str, *, after: JournalMark = JOURNAL_BEGIN, limit: int = 100
    ) -> Sequence[JournalRow]:
        """A page of the journal's rows of one conversation, in order of time."""
        ...

    async def letters(self, correlation_id: str) -> LettersSeen:
        """The dead letters of one conversation, among the latest SCANNED of the store."""
        ...

    async def letter_counts(self) -> LetterCounts:
        """The open dead letters by channel and cause, of the first COUNTED."""
        ...

    async def lane_counts(self) -> Sequence[LaneCount]:
        """The lanes of each channel, and how many have an owner whose lease lasts."""
        ...

    async def sizes(self) -> Mapping[str, int]:
        """Bytes on disk, by table or file; empty for a store that has none."""
        ...
