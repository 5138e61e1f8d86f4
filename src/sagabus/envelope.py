"""The values that travel and rest: an envelope around a message, and the instance of a saga.

They are msgspec structs, frozen and untracked by the garbage collector: one is made several times per message. On the
way of a message they are made by position, which costs a tenth of naming each field.
"""

from __future__ import annotations

from enum import Enum
from zlib import crc32

import msgspec


class Envelope(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One message in one channel, with all that a store or a broker needs to know of it.

    Instants are microseconds since 1970, durations microseconds. `position` is given by the store: unique in it, and
    increasing in the order of acceptance.
    """

    message_id: str
    message_type: str
    body: bytes
    channel: str = ""
    lane: int = 0
    partition_key: str | None = None
    """Messages of one channel with the same key take effect in order; None has no order to keep."""
    headers: dict[str, str] | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    sent_at: int = 0
    """From when the message counts as sent; never changed afterwards. For a scheduled message this is its due time."""
    due_at: int = 0
    """0: at once. Otherwise not before this instant by the store's clock."""
    delay: int = 0
    """On the way into a store only: due this long after acceptance; the store turns it into `due_at`, by its clock."""
    attempt: int = 0
    """Runs counted so far."""
    excused: int = 0
    """How many of them failed by an error that waiting alone may cure."""
    deaths: int = 0
    """How often a worker died while it had the message in flight. Only a store counts them: a message begins with 0."""
    failed_at: int | None = None
    """When the first run failed."""
    timer: str | None = None
    """The timer's name where the envelope is one."""
    stashed: bool = False
    """Waits for its saga to start (or to change its status); `due_at` is the end of its patience."""
    hops: int = 0
    """How many messages were sent at once from handler to handler before this one: an endless loop shows here."""
    guarded: bool = False
    """On the way into a store only: copies of this message id are to be dropped by an inbox row."""
    position: int = 0
    damage: str | None = None
    """Out of a store only: what of its row cannot be read. Then the body is all that there is of it, as JSON."""


def accepted_times(envelope: Envelope, now: int) -> tuple[int, int]:
    """Due time and send stamp of an envelope that a store accepts at `now`.

    A negative due time is a past one: stores look for what is due between 1 and now. A scheduled message counts as sent
    when it is due, or its de-duplication record would expire before that.
    """
    due_at = now + envelope.delay if envelope.delay > 0 else envelope.due_at
    if due_at < 0:
        due_at = 1
    return due_at, max(envelope.sent_at, due_at)


LANES = 16
"""Of a store that is made without another number."""
MOST_LANES = 4_096
"""A lane costs a row in each channel, and a worker looks at each of its lanes."""


def lanes_problem(lanes: int) -> str | None:
    """Why a store cannot have so many lanes; None where it can."""
    if lanes < 1:
        return f"a store needs at least one lane, not {lanes}"
    return f"a store has at most {MOST_LANES} lanes, not {lanes}" if lanes > MOST_LANES else None


def lane_of(key: str, lanes: int) -> int:
    """The lane of a key, or of the id of a message without one: the same in every process and release."""
    return crc32(key.encode()) % lanes


class Stamp(msgspec.Struct, frozen=True, gc=False):
    """What a message is sent with: the same on all its envelopes, whichever channels receive it."""

    message_id: str
    sent_at: int
    partition_key: str | None = None
    """For channels that read no key of their own from the message."""
    headers: dict[str, str] | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    due_at: int = 0
    delay: int = 0
    hops: int = 0
    guarded: bool = False


class Instance(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One saga instance as a store keeps it: version n+1 comes from exactly one run that read version n."""

    saga: str
    key: str
    version: int
    state: bytes
    status: str | None = None
    timers: dict[str, str] = {}
    """Name of each timer set and not cancelled, with the message id of its current setting."""
    completed: bool = False
    created_at: int = 0
    updated_at: int = 0
    shape: str | None = None
    """Which shape of the saga's class wrote this state; None where an older release did, which says none."""
    damage: str | None = None
    """What of its row cannot be read. No message may run on such a state."""


class Recorded(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One transition of an instance, as the history of its saga keeps it.

    `position` is given by the store: unique in it, and increasing along the transitions of an instance. The version is
    neither: a key that starts again after its tombstone is gone begins at 1 again.
    """

    position: int
    saga: str
    key: str
    version: int
    at: int
    """When it was committed, in microseconds since 1970 by the store's clock."""
    message_id: str
    message_type: str
    timer: str | None
    """The timer's name, where it was one that fired."""
    status: str | None
    completed: bool
    state: bytes
    """As the transition left it."""
    shape: str | None = None
    """Which shape of the saga's class wrote the state; None where an older release did."""


class Cause(Enum):
    """Why a message is a dead letter: a closed set, by which replay and every other decision goes."""

    FAILED = "failed"
    """Its runs failed until the retry policy gave up."""
    PERMANENT = "permanent"
    """A run failed with an error that the retry policy never repeats."""
    UNKNOWN = "unknown"
    """No worker of the subscription knew its type for as long as a message waits for one."""
    UNEXPECTED = "unexpected"
    """The saga did not expect it: there was no instance, it had finished, or its status allows no such message."""
    NO_KEY = "no key"
    """It names no instance: its key is None or empty."""
    WORKER_DIED = "worker died"
    """Workers died while it was in flight, as often as is allowed."""
    COLLISION = "collision"
    """Another message was accepted under its id, or under its de-duplication key."""
    TOO_OLD = "too old"
    """It was stamped below the horizon: whether a copy took effect is no longer known."""
    DAMAGED = "damaged"
    """Its row cannot be read any more, or its body never was a text. The letter holds the bytes as they are."""
    STUCK = "stuck"
    """Its saga instance did not change for as long as `stuck_after` allows. The letter stands for the instance, and not
    for a message that was sent.
    """
    UNRECORDED = "unrecorded"
    """An older release wrote the letter, or a newer one whose cause this release does not know."""

    @classmethod
    def of(cls, stored: str | None, reason: str) -> Cause:
        """The cause of a stored letter. Letters of releases without causes say by their reason what was quarantined."""
        if stored is None:
            return next((cause for begin, cause in _OLDER_REASONS.items() if reason.startswith(begin)), cls.UNRECORDED)
        return _CAUSES.get(stored, cls.UNRECORDED)


_CAUSES = {cause.value: cause for cause in Cause}
_OLDER_REASONS = {"id collision: ": Cause.COLLISION, "too old: ": Cause.TOO_OLD}
"""How the reasons began that releases without causes wrote themselves; everything else of theirs began otherwise."""


class DeadLetter(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A message that a subscription could not take, held with the reason until it is replayed or discarded."""

    id: int
    envelope: Envelope
    reason: str
    cause: Cause = Cause.UNRECORDED
    """What replay, and you, may decide by; the reason is for reading."""
    error_type: str | None = None
    error_text: str | None = None
    traceback: str | None = None
    attempts: int = 0
    first_failed_at: int | None = None
    last_failed_at: int = 0
    parked: bool = False
    """Its key waits until this letter is replayed or discarded."""
    status: str = "open"
    """open, replayed or discarded."""


def named(envelope: Envelope) -> str:
    """What texts for users call one message of one subscription."""
    what = envelope.message_type if envelope.timer is None else f"timer {envelope.timer!r}"
    key = "" if envelope.partition_key is None else f", key {envelope.partition_key!r}"
    return f"{envelope.channel}: {what} {envelope.message_id}{key}"
