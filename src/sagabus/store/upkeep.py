"""What passes between a store and those who look after it: dividing, purging, replaying. A part of the contract in
`store`.
"""

from __future__ import annotations

from enum import Enum

import msgspec


class Divided(msgspec.Struct, frozen=True, gc=False):
    """The result of a change of the number of lanes."""

    before: int
    lanes: int
    moved: int = 0
    """Envelopes that are in another lane now."""


class Purged(msgspec.Struct, frozen=True, gc=False):
    """What one bounded purge removed; `more` when there is more to remove."""

    inbox: int = 0
    instances: int = 0
    dead_letters: int = 0
    history: int = 0
    journal: int = 0
    audits: int = 0
    more: bool = False


class Retention(msgspec.Struct, frozen=True, gc=False):
    """How long one channel's records are kept, in microseconds."""

    channel: str
    window: int
    history: int | None = None
    """How long the history of its saga is kept; None: as long as everything else."""
    journal: int | None = None
    """How long its rows of the journal are kept; None: as long as everything else."""
    audit: int | None = None
    """How long the audit log keeps what operators did to it; None: as long as everything else."""

    @property
    def audit_window(self) -> int:
        """How long the audit log is kept."""
        return self.window if self.audit is None else self.audit

    @property
    def history_window(self) -> int:
        """How long the history of its saga is kept."""
        return self.window if self.history is None else self.history

    @property
    def journal_window(self) -> int:
        """How long its rows of the journal are kept."""
        return self.window if self.journal is None else self.journal


class ReplayResult(Enum):
    """What replaying (or discarding) a dead letter did."""

    DONE = "done"
    ALREADY_DONE = "was already done"
    TOO_OLD = "too old, quarantined"
    COLLISION = "id collision, quarantined"
    NOT_FOUND = "not found"
    DAMAGED = "damaged, cannot be delivered"
