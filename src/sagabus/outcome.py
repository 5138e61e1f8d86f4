"""What a run of a handler ends in: a closed set of values that the store's commit turns into rows.

`processing` makes them, `engine.committer` gathers them, a store applies them: wholly or not at all, each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TypeAlias

import msgspec

from sagabus.envelope import Cause, Envelope

Parameters: TypeAlias = Sequence[object] | Mapping[str, object]


class Save(msgspec.Struct, frozen=True, gc=False):
    """The next version of an instance, valid only on top of version `base` (0: there was none)."""

    saga: str
    key: str
    base: int
    state: bytes
    status: str | None
    timers: dict[str, str]
    completed: bool
    wakes: bool = False
    """What is stashed for this instance is due from this commit on: it has started, or its status has changed."""
    leaves_timers: bool = True
    """Timers of this instance may be stored: if it is completed, they go."""
    shape: str | None = None
    """Which shape of the saga's class the state has."""
    recorded: bool = False
    """This version leaves a row in the history, in the same commit."""

    @property
    def version(self) -> int:
        """The version that this save makes."""
        return self.base + 1


class Claim(msgspec.Struct, frozen=True, gc=False):
    """A de-duplication key that only the subscriber could evaluate: the first commit to claim it wins."""

    key: str
    fingerprint: bytes


class Statement(msgspec.Struct, frozen=True, gc=False):
    """The user's own SQL, to run inside the commit of its message."""

    sql: str
    parameters: Parameters


class Effects(msgspec.Struct, frozen=True, gc=False):
    """Everything that one run does, to commit together or not at all."""

    save: Save | None = None
    sent: tuple[Envelope, ...] = ()
    """Messages in their channels, timers among them (`Envelope.timer`); a timer replaces one of its name and key."""
    cancelled: tuple[str, ...] = ()
    """Names of timers of this instance whose stored envelopes go."""
    statements: tuple[Statement, ...] = ()
    claims: tuple[Claim, ...] = ()
    unheard: bool = False
    """An event had no receiver under the routing of the run: under a newer one it may have."""

    @property
    def is_routed(self) -> bool:
        """Whether it rests on a routing, so that it cannot commit under another."""
        return self.unheard or bool(self.sent)


class Failure(msgspec.Struct, frozen=True, gc=False):
    """What went wrong, as it is kept: never with the values of local variables."""

    error_type: str
    text: str
    """Empty if `Settings.redact` failed."""
    traceback: str = ""

    @property
    def said(self) -> str:
        """Type and text, as they stand in reasons and in the log."""
        return f"{self.error_type}: {self.text}" if self.text else self.error_type


class Completed(msgspec.Struct, frozen=True, gc=False):
    """The run succeeded."""

    envelope: Envelope
    effects: Effects


class RetryAt(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Run it again after `delay` microseconds by the store's clock."""

    envelope: Envelope
    delay: int
    failure: Failure | None = None
    """Noted is when it has failed first; with the first run that is counted, that is now."""
    counted: int = 1
    """Runs to count: 0 where the message is not to blame (an unknown type during an upgrade, a lost database)."""
    holds: bool = True
    """Later messages of its key wait until it is settled."""
    excused: bool = False
    """The run failed by an error that waiting alone may cure: it is not one of the attempts that the policy allows."""
    deaths: int = 0
    """-1 where the run was marked: its worker has outlived it. Never below none."""


class Marked(msgspec.Struct, frozen=True, gc=False):
    """Count a death before the run begins: for messages that a worker had in flight when it died.

    1 is GONE unless attempts and deaths are still those of the envelope, so that nothing is counted twice. With -1 a
    death is taken back, whatever was counted since. It is GONE if there is none.
    """

    envelope: Envelope
    deaths: int = 1


class Stashed(msgspec.Struct, frozen=True, gc=False):
    """Keep it aside for its saga to start or to change, at most `patience` microseconds; others of its key go on."""

    envelope: Envelope
    patience: int
    deaths: int = 0
    """As of RetryAt."""


class DeadLettered(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Hold it in the subscription's dead letters with the reason."""

    envelope: Envelope
    reason: str
    cause: Cause
    failure: Failure | None = None
    parks: bool = False
    """Its key waits until the letter is replayed or discarded."""


class Discarded(msgspec.Struct, frozen=True, gc=False):
    """Remove it without effect, for the reason given."""

    envelope: Envelope
    why: str
    cause: Cause | None = None
    """What a dead letter would have for its cause, where a policy discards instead."""


Outcome: TypeAlias = Completed | RetryAt | Marked | Stashed | DeadLettered | Discarded


class Verdict(Enum):
    """What a commit says of one outcome. Of anything but COMMITTED nothing remains in the store."""

    COMMITTED = "committed"
    GONE = "gone"
    """The envelope is no longer there: another run settled it."""
    CONFLICT = "conflict"
    """The instance has moved on since it was read: run again on the new version."""
    DUPLICATE = "duplicate"
    """One of its claims was made before by another message."""
    COLLISION = "collision"
    """One of its claims was made before with other content."""
    TOO_OLD = "too old"
    """Its send stamp lies below the horizon: whether a copy took effect is no longer known."""
    REFUSED = "refused"
    """One of its statements failed; the error comes with the verdict."""
    FENCED = "fenced"
    """Its lane belongs to another worker now."""
    STALE_ROUTING = "stale routing"
    """Subscriptions changed since its messages were routed: run again."""
    DROPPED = "dropped"
    """An earlier outcome of the same key in this batch failed, and this one was built on it."""


class Admission(Enum):
    """What an append says of one envelope."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    COLLISION = "collision"
    """Same id, other content: held in the dead letters."""
    TOO_OLD = "too old"
    """Stamped below the horizon: held in the dead letters."""
    DAMAGED = "damaged"
    """Its body is no text that a database can keep: held in the dead letters, with every byte."""


class Settled(msgspec.Struct, frozen=True, gc=False):
    """The verdict on one outcome, with the error where a statement was refused."""

    verdict: Verdict
    error: BaseException | None = None
    refused: tuple[tuple[Envelope, Admission], ...] = ()
    """Of a committed run's messages with ids of their own: those that were not accepted."""
