"""The answers. They are copies: nothing changes them afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from sagabus.envelope import Cause

Kind: TypeAlias = Literal["ready", "running", "held", "scheduled", "timer", "retrying", "stashed"]
"""Why a message waits. `running`: its handler runs in a live worker, and has lasted for a second or longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRecord:
    """One message or timer that waits in the store. Its body is left out."""

    subscription: str
    kind: Kind
    message_id: str
    message_type: str
    timer: str | None
    """The timer's name where it is one."""
    key: str | None
    correlation_id: str | None
    causation_id: str | None
    headers: Mapping[str, str]
    sent_at: datetime
    """A timer, and a message with a delay, count as sent when they are due."""
    due_at: datetime | None
    """Not before this instant; None for a message that is due at once."""
    attempts: int
    """Runs counted so far."""
    deaths: int
    """How often a worker died while it had the message in flight."""
    first_failed_at: datetime | None
    lane: int
    position: int
    """Where it stands in the store: unique, and increasing in the order of acceptance."""
    damage: str | None
    """What of its row cannot be read."""
    worker: str | None
    """Who runs it; None for one that is not running."""
    running_since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePage:
    """Messages in the order in which they become due."""

    messages: tuple[MessageRecord, ...]
    after: str | None
    """Pass it for the next page; None at the end."""
    stopped: bool
    """A filter that no index serves looked at 10,000 messages. There may be more behind `after`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterRecord:
    """One dead letter, without its body and traceback."""

    id: int
    subscription: str
    message_id: str
    message_type: str
    timer: str | None
    key: str | None
    correlation_id: str | None
    causation_id: str | None
    cause: Cause
    reason: str
    parked: bool
    """Its key waits for it."""
    status: str
    """open, replayed or discarded."""
    last_failed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseRecord:
    """That an operator has paused a subscription."""

    since: datetime
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionStatus:
    """What waits for one handler or saga, why, and who works on it."""

    name: str
    messages: tuple[str, ...]
    """The types that it receives; empty where only stored messages are left of it."""
    ready: int
    """Due now: the next free worker takes them. Those too that have been running for less than a second."""
    running: int
    """They have been running for a second or longer; of each worker, 100 at most are known."""
    held: int
    """Due now, but an earlier message of the key waits for its retry or is parked as a dead letter."""
    scheduled: int
    timers: int
    retrying: int
    """Failed, and waiting for their next run."""
    stashed: int
    """Kept for their saga, which has no reaction for them yet."""
    at_least: bool
    """Counting stopped at 10,000: there may be more of each kind."""
    oldest_age: timedelta | None
    """Since when the oldest ready message waits, without those that are running; None where none is ready."""
    dead: int
    """Open dead letters."""
    workers: int
    lanes: int
    owned_lanes: int
    """How many of the lanes a live worker owns: what is in the others rests."""
    longest_run: timedelta | None
    """How long the longest of its runs has lasted in any worker; None where none has lasted for a second."""
    paused: PauseRecord | None
    """No worker begins a message of it until it is resumed."""

    @property
    def waiting(self) -> int:
        """All that are stored."""
        return self.ready + self.running + self.held + self.scheduled + self.timers + self.retrying + self.stashed


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """One run that has lasted for a second or longer."""

    subscription: str
    message_id: str
    message_type: str
    key: str | None
    lasted: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """One live worker."""

    worker: str
    lanes: Mapping[str, int]
    """How many lanes of each subscription it owns."""
    heartbeat_age: timedelta
    """Since it last said that it lives."""
    lease: timedelta
    """How long it counts as live without saying so again."""
    expires_at: datetime
    runs: tuple[RunStatus, ...]
    """Its runs that last, the longest first; of a subscription at most 100."""
    running: int
    """How many of its runs last."""
    version: str | None
    """The release of the library that it runs; None for one that does not say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterCount:
    """How many open dead letters of one subscription have one cause."""

    subscription: str
    cause: Cause
    count: int
    parked: int
    """How many keys wait for them."""
    oldest: datetime
    """When the first of them failed last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A store at one moment."""

    at: datetime
    subscriptions: tuple[SubscriptionStatus, ...]
    workers: tuple[WorkerStatus, ...]
    dead_letters: tuple[DeadLetterCount, ...]
    dead_letters_at_least: bool
    """Counting stopped at 10,000."""
    lanes: int
    """Into which each subscription is divided."""
    schema: int | None
    """The version of the store's tables; None for a store without tables."""
    sizes: Mapping[str, int]
    """Bytes on disk, by table or file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitReport:
    """Why an instance of a saga, or a key of a handler, waits."""

    at: datetime
    subscription: str
    key: str
    exists: bool
    """Whether the saga has an instance of this key; handlers have none."""
    status: str | None
    completed: bool
    version: int
    updated_at: datetime | None
    starts: tuple[str, ...]
    """The message types that start an instance."""
    expects: tuple[str, ...] | None
    """The message types that it reacts to now; None where this bus cannot know."""
    messages: tuple[MessageRecord, ...]
    """Its stored messages and timers as they become due, at most 100."""
    more_messages: bool
    holder: MessageRecord | None
    """The message that waits for its retry and holds back all others of the key."""
    dead_letters: tuple[LetterRecord, ...]
    """Open ones of the key, the latest first, at most 100."""
    is_parked: bool
    """A dead letter holds back all messages of the key."""
    lane: int
    worker: WorkerStatus | None
    """Who owns the lane; None where no live worker does."""
    paused: PauseRecord | None
    """An operator has paused the subscription."""
    alone: MessageRecord | None = None
    """What that worker runs alone now, because workers have died while it was in flight: nothing else begins there."""
    elsewhere: tuple[MessageRecord | LetterRecord, ...]
    """Of a live instance: what waits at other subscriptions or keys in the conversation of its timers and messages, and
    open dead letters there. One of them may be what the instance waits for. At most 100 of each.
    """
    elsewhere_paused: Mapping[str, PauseRecord] = field(default_factory=dict[str, "PauseRecord"])
    """Which of the subscriptions of `elsewhere` an operator has paused."""
    elsewhere_served: frozenset[str] = frozenset()
    """Which of them have a live worker."""
    sentences: tuple[str, ...] = ()
    """The same for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnchangedInstance:
    """One live instance that has not changed for a while."""

    saga: str
    key: str
    status: str | None
    version: int
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UnchangedPage:
    """Such instances of one saga, by key."""

    instances: tuple[UnchangedInstance, ...]
    after: str | None
    """Pass it for the next page; None at the end. A page looks at 10,000 instances, so one before may be empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One value of a state that a step changed."""

    path: str
    """Where it stands: `lines[2].amount`; empty for a state that is no object."""
    before: Any
    after: Any
    added: bool
    """There was none before."""
    removed: bool
    """There is none any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One committed transition of an instance, with what it changed."""

    position: int
    """The `after` of the next page."""
    saga: str
    key: str
    version: int
    at: datetime
    message_id: str
    message_type: str
    timer: str | None
    status: str | None
    completed: bool
    state: Any
    """What it left, as it is stored."""
    changes: tuple[Change, ...] | None
    """At most 1,000; None where the step before is no longer stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationEntry:
    """One thing that happened, or is still to happen, in a conversation."""

    kind: Literal["run", "transition", "dead letter", "waiting"]
    """A run is in the journal, and a transition in the history of a saga: one whose run the journal has not. A message
    or a timer waits.
    """
    at: datetime
    """When it was committed, when it failed last, or when a message that waits was sent."""
    what: str
    """Of a run: completed, retried, stashed, dead-lettered or discarded. Of a message that waits: its `Kind`. Of a dead
    letter: its status. Of a transition: saved or finished.
    """
    subscription: str
    """Who received the message: a handler, a saga, or the channel of a broker, by which it has left."""
    is_saga: bool | None = None
    """None where the store alone does not say."""
    key: str | None
    message_id: str
    message_type: str
    timer: str | None
    """The timer's name where it is one."""
    causation_id: str | None
    """The message whose run sent this one; None for the first of all, and for a transition."""
    depth: int = 0
    """How many of its causes are on the page, one behind the other."""
    sent_at: datetime | None = None
    due_at: datetime | None = None
    """Not before this instant, of a message that waits."""
    attempt: int | None = None
    """Which run it was; of a message that waits or a dead letter, how many there have been."""
    reason: str | None = None
    """Why it did not complete."""
    version: int | None = None
    """The version of the saga's instance that it has made."""
    status: str | None = None
    """The saga's status afterwards, where its history says."""
    duration: timedelta | None = None
    """How long the run took, without its commit."""
    worker: str | None = None
    """Who has run it, or runs it now."""
    running_since: datetime | None = None
    """Of a message that is running."""
    letter: int | None = None
    """The number of the dead letter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationInstance:
    """One saga instance that a conversation has reached, as it is now."""

    saga: str
    key: str
    status: str | None
    completed: bool
    version: int
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A page of all that belongs to one correlation id."""

    at: datetime
    correlation_id: str
    entries: tuple[ConversationEntry, ...]
    """In order of time."""
    instances: tuple[ConversationInstance, ...]
    """Of the page, at most 20."""
    missing: tuple[str, ...]
    """What this view cannot say, in sentences for people."""
    after: str | None
    """Pass it for the next page; None at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """Changes that operators made, the latest first."""

    entries: tuple[AuditRecord, ...]
    after: int | None
    """Pass it for the next page; None at the end."""
    stopped: bool
    """A look for a target read 10,000 entries. There may be more behind `after`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One change that an operator made, as the audit log keeps it."""

    id: int
    """The `after` of the next page."""
    at: datetime
    """When it was committed, by the store's clock."""
    by: str
    verb: str
    """Such as `saga.cancel`, `timer.move` or `dead-letter.replay`."""
    subscription: str
    target: str
    """What was changed: the key of an instance, that with a timer, the id of a message or of a dead letter."""
    reason: str
    before: Any
    """What the change touched, as it was."""
    after: Any
