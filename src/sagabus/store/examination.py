"""PORT: what must hold in a store, looked at while it is in use, and what may be mended there without harm.

A part of the contract in `store`. A look has a limit of rows and of time like those of `survey`, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Protocol

import msgspec

EXAMINED = 10_000
"""A look at rows of a kind goes through so many of them."""
NAMED = 100
"""It finds so many faults at most."""


class FaultKind(Enum):
    """What does not hold in a store: a closed set. None of it comes about by the calls of the port."""

    ORPHAN_TIMER = "timer without an instance"
    """A timer is set for a key that has no instance."""
    IDLE_TIMER = "timer of a finished instance"
    LOST_TIMER = "instance without its timers"
    """An instance relies on a timer, and it is neither stored nor held as a dead letter."""
    DANGLING_HOLD = "key held back by nothing"
    """A key waits for a message that is not stored."""
    DANGLING_PARK = "key parked by no dead letter"
    EXPIRED_RECORD = "record below the horizon"
    """An inbox record that no message can meet, because messages as old are refused."""
    FUTURE_HORIZON = "horizon in the future"
    """New messages are refused as too old."""
    HISTORY_GAP = "gap in a history"
    """Two steps of an instance that follow one another have versions that do not."""
    UNKNOWN_LANE = "message in a lane that there is not"
    MISSING_LANE = "lanes of a channel that are not there"
    """A channel has fewer lanes than the store: what is sent to the others waits, and no worker knows of it."""
    COLLATION = "column that compares otherwise"
    """A column of ids or keys does not compare by bytes: ids that differ may count as equal."""
    MISSING_INDEX = "index that is not there"
    """What goes by it reads whole tables, or fails."""


MENDABLE = frozenset({FaultKind.IDLE_TIMER, FaultKind.DANGLING_HOLD, FaultKind.DANGLING_PARK, FaultKind.EXPIRED_RECORD})
"""What `mend` removes: rows that can have no effect, or keep others from theirs for nothing."""


class Fault(msgspec.Struct, frozen=True, gc=False):
    """Something that does not hold, at one place."""

    kind: FaultKind
    channel: str
    """Or the table, of COLLATION; nothing, of MISSING_INDEX."""
    key: str = ""
    """Of the instance or of the messages; the column, of COLLATION."""
    detail: str = ""
    """The timer, the versions, the lane or the collation; the name of the index; how many lanes there should be."""
    count: int = 1
    """How many rows, up to EXAMINED."""
    position: int = 0
    """Of the row where it has one."""


SMALLEST_ROOM = 4 * 1024 * 1024
"""Bytes. With less a disk counts as full: a store writes more than what it is asked to keep."""


class Conditions(msgspec.Struct, frozen=True, gc=False):
    """What a store works with."""

    now: int
    """Its clock, in microseconds since 1970."""
    is_pooled: bool = False
    """A transaction pooler stands before it."""
    oldest_transaction: int | None = None
    """How long the oldest open transaction of its database has lasted, in microseconds: 0 without one, None where the
    store cannot say.
    """
    transactions_command: str | None = None
    """What people type to list them."""
    room: int | None = None
    """How many bytes are free where it lies; None where the store cannot say."""
    room_command: str | None = None
    """What people type to see that."""


class Still(msgspec.Struct, frozen=True, gc=False):
    """A live instance that has not changed for a while."""

    key: str
    version: int
    status: str | None
    updated_at: int


class StillPage(msgspec.Struct, frozen=True, gc=False):
    """Such instances of one saga, by key."""

    now: int
    """The store's clock at that moment."""
    found: tuple[Still, ...]
    after: str | None = None
    """Behind which key to look next; None at the end."""


class Examination(Protocol):
    """Looks for faults. All of them may raise StoreUnavailable when they take longer than LONGEST_LOOK."""

    async def faults(self, kind: FaultKind) -> Sequence[Fault]:
        """Faults of one kind, at most NAMED. Each was seen in one statement, or seen twice: work under way is none."""
        ...

    async def recent_letters(self, span: int) -> Mapping[str, int]:
        """How many of the latest EXAMINED open dead letters failed within `span` microseconds, by channel."""
        ...

    async def unchanged(
        self, saga: str, span: int, *, status: str | None = None, after: str = "", limit: int = NAMED
    ) -> StillPage:
        """Live instances of a saga that have not changed for `span` microseconds, by key, from the first key greater
        than `after`. They are in one status, or in any. It looks at EXAMINED instances, finished ones among them.
        """
        ...

    async def conditions(self) -> Conditions:
        """What it works with, asked now."""
        ...
