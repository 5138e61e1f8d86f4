"""What happens to messages, for those who watch: the log, statistics, and yours.

The engine makes records only for observers that ask for them, and tells them once for each commit. An observer changes
nothing: what it raises is logged, and the message goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from itertools import repeat
from typing import Any, ClassVar, Literal, TypeAlias

import msgspec

from sagabus.context import Context
from sagabus.envelope import Cause, Envelope
from sagabus.outcome import Admission, Completed, DeadLettered, Discarded, Outcome, RetryAt, Stashed, Verdict
from sagabus.policies.deduplication import Reaction
from sagabus.transport import WireMessage

__all__ = ["Bridged", "Commit", "Departure", "Handled", "Lost", "Observer", "Refused", "Unheard"]

Result: TypeAlias = Literal["completed", "retried", "dead-lettered", "discarded", "stashed"]
_RESULTS: dict[type[object], Result] = {
    Completed: "completed",
    RetryAt: "retried",
    DeadLettered: "dead-lettered",
    Discarded: "discarded",
    Stashed: "stashed",
}


class Handled(msgspec.Struct, frozen=True, gc=False):
    """One run of one message, whose outcome is committed."""

    subscription: str
    message_type: str
    message_id: str
    key: str | None
    correlation_id: str
    result: Result
    attempt: int
    """Which counted run it was, from 1."""
    reason: str | None = None
    """Why it is a dead letter, was discarded, or runs again."""
    cause: Cause | None = None
    """The same as one of a closed set, for dead letters and messages that a policy discards instead."""
    sent_at: int = 0
    """When the message was sent, in microseconds since 1970; when it was due, if that was later."""
    timer: str | None = None
    """The name of the timer, if it is one."""
    took: float = 0.0
    """Seconds from the begin of the run to its end, if an observer has `times_runs`. Its commit is not in it."""
    error_type: str | None = None
    """The name of the type of the error that it ended with, if it did."""
    saga: str | None = None
    """The name of the saga, if one has got it."""


class Lost(msgspec.Struct, frozen=True, gc=False):
    """One run whose outcome a commit refused. Nothing of it remains."""

    subscription: str
    message_type: str
    message_id: str
    key: str | None
    verdict: str
    """Why: "conflict", "fenced", "stale routing" and others; most of these messages run again at once."""


class Refused(msgspec.Struct, frozen=True, gc=False):
    """A message that a store did not accept: a copy, or one that is a dead letter now."""

    subscription: str
    message_type: str
    message_id: str
    answer: Literal["duplicate", "collision", "too old", "damaged"]
    is_joined: bool = False
    """The caller's own transaction has yet to commit it."""
    reaction: Reaction | None = None
    """What `Deduplication.on_duplicate` asks for, if it is a duplicate; "call" stands for a function."""


class Unheard(msgspec.Struct, frozen=True, gc=False):
    """An event that no subscription receives."""

    message_type: str
    message_id: str


class Departure(msgspec.Struct, gc=False):
    """A message, or a timer, on its way into the store, before it is addressed to anyone."""

    message: object
    """None for a timer."""
    message_type: str
    message_id: str
    correlation_id: str
    headers: dict[str, str]
    """Those that it leaves with: add yours."""
    timer: str | None = None
    """The name of the timer, if it is one."""
    causation_id: str | None = None
    """The message whose run sends it, if a run does. The run may fail yet, and then nothing has departed."""


class Bridged(msgspec.Struct, frozen=True, gc=False):
    """One step of a bridge with a batch of messages."""

    step: Literal["send", "receive", "settle"]
    """Sent to a broker until its answers are known; taken from it until they are stored; or acknowledged there."""
    place: str
    """Which broker: nothing secret."""
    messages: Sequence[WireMessage]
    seconds: float
    refused: int = 0
    """How many of the sent messages the broker did not confirm. An event that no other service wants is none."""
    error: BaseException | None = None
    """Why the step failed; then its messages are sent, or come, again."""


class Commit:
    """What one commit has decided. Its records are made when they are asked for."""

    def __init__(
        self,
        settled: Sequence[Outcome],
        lost: Sequence[tuple[Outcome, Verdict]] = (),
        took: Sequence[float] = (),
        seconds: float = 0.0,
        sagas: AbstractSet[str] = frozenset(),
    ) -> None:
        self._settled, self._lost = settled, lost
        self.took = took
        """Seconds that each run took, in the order of `handled`: all 0 unless an observer has `times_runs`."""
        self.seconds = seconds
        """How long the store took for it."""
        self.sagas = sagas
        """Which subscriptions of the bus are sagas."""

    @property
    def completed(self) -> Iterable[tuple[Envelope, float]]:
        """The messages that are completed, and how long their runs took: less to make than records."""
        pairs = zip(self._settled, self.took or repeat(0.0), strict=False)
        return [(outcome.envelope, took) for outcome, took in pairs if type(outcome) is Completed]

    @property
    def envelopes(self) -> Sequence[Envelope]:
        """The messages, in the order of `handled`; made in less time than the records."""
        return [each.envelope for each in self._settled]

    @property
    def results(self) -> Sequence[Result]:
        """What became of each, in the order of `handled`."""
        return [_RESULTS[type(outcome)] for outcome in self._settled]

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """How many messages, by (subscription, result), lost runs among them as "lost: conflict" and so on."""
        found: Counter[tuple[str, str]] = Counter()
        settled = self._settled
        if {Completed}.issuperset(map(type, settled)):
            for channel, count in Counter([each.envelope.channel for each in settled]).items():
                found[channel, "completed"] = count
        else:
            found.update((each.envelope.channel, _RESULTS[type(each)]) for each in settled)
        found.update((outcome.envelope.channel, f"lost: {verdict.value}") for outcome, verdict in self._lost)
        return found

    @property
    def sent(self) -> Counter[str]:
        """How many messages its runs have sent, by type. Several receivers count once, and timers do not."""
        done = [outcome.effects.sent for outcome in self._settled if type(outcome) is Completed]
        found = {(each.message_id, each.message_type) for sent in done for each in sent if each.timer is None}
        return Counter(name for _, name in found)

    @cached_property
    def handled(self) -> Sequence[Handled]:
        """One record for each message, in the order in which they ran within their keys."""
        took = self.took or repeat(0.0)
        sagas = self.sagas
        return [_handled(outcome, seconds, sagas) for outcome, seconds in zip(self._settled, took, strict=False)]

    @cached_property
    def not_completed(self) -> Sequence[Handled]:
        """The same of those that are not completed."""
        if set(map(type, self._settled)) <= {Completed}:
            return ()
        took = self.took or repeat(0.0)
        pairs = zip(self._settled, took, strict=False)
        return [_handled(outcome, seconds, self.sagas) for outcome, seconds in pairs if type(outcome) is not Completed]

    @cached_property
    def lost(self) -> Sequence[Lost]:
        """One record for each outcome that the commit refused."""
        return [
            Lost(*_names(outcome.envelope), outcome.envelope.partition_key, verdict.value)
            for outcome, verdict in self._lost
        ]


class Observer:
    """Derive from this and override what you want to hear: `Bus(..., observers=[MyObserver()])`.

    The engine calls an observer in the event loop and does not wait for it, so it must be quick. Nothing is made for a
    method that is not overridden. An exception out of one is logged, and changes nothing.
    """

    times_runs: ClassVar[bool] = False
    """Whether it wants to know how long runs take, in `Handled.took` and `Commit.took`."""

    def watches(self, envelope: Envelope) -> bool:
        """Whether to be around the run of this message, and to see what departs from it; asked before the run.

        Of a message that no observer watches, nothing is made. One that an observer watches, all of them see.
        """
        return True

    def committed(self, commit: Commit) -> None:
        """A commit has decided what became of some messages."""

    def refused(self, refused: Refused) -> None:
        """A store did not accept a message."""

    def unheard(self, unheard: Unheard) -> None:
        """An event was published that no subscription receives."""

    def enter(self, ctx: Context) -> object:
        """A run begins: what it returns is given to `exit`. Context variables that are set here are seen by the run."""
        return None

    def exit(self, entered: object, ctx: Context, error: BaseException | None) -> None:
        """The run has ended, before its commit: with an error if it has failed. Called in the context of the run."""

    def sending(self, message: object, headers: dict[str, str]) -> None:
        """A message is about to be sent or published, by whatever way. Headers may be added here."""

    def departing(self, departure: Departure) -> None:
        """The same, with what is known of the message, and for timers as well. Once for each; in a thread of the caller
        if that publishes by `bus.join`.
        """

    def bridged(self, bridged: Bridged) -> None:
        """A bridge has sent, received or acknowledged a batch of messages, or failed to."""


def _handled(outcome: Outcome, took: float, sagas: AbstractSet[str]) -> Handled:
    envelope = outcome.envelope
    channel = envelope.channel
    is_plain = type(outcome) is Completed
    # fmt: off
    return Handled(  # by position, as in `sender`
        channel, envelope.message_type, envelope.message_id, envelope.partition_key,
        envelope.correlation_id or envelope.message_id, _RESULTS[type(outcome)], envelope.attempt + 1,
        None if is_plain else _reason(outcome), None if is_plain else getattr(outcome, "cause", None),
        envelope.sent_at, envelope.timer, took, None if is_plain else _error_type(outcome),
        channel if channel in sagas else None,
    )
    # fmt: on


def _reason(outcome: Outcome) -> str | None:
    if isinstance(outcome, DeadLettered):
        return outcome.reason
    if isinstance(outcome, Discarded):
        return outcome.why
    if isinstance(outcome, RetryAt) and outcome.failure is not None:
        return outcome.failure.said
    return None


def _error_type(outcome: Outcome) -> str | None:
    failure = outcome.failure if isinstance(outcome, RetryAt | DeadLettered) else None
    return None if failure is None else failure.error_type


def _names(envelope: Envelope) -> tuple[str, str, str]:
    return envelope.channel, envelope.message_type, envelope.message_id


def result_of(outcome: Outcome) -> Result:
    """What became of the message of an outcome."""
    return _RESULTS[type(outcome)]


def refused(envelope: Envelope, answer: Admission, *, is_joined: bool, reaction: Reaction | None) -> Refused:
    """The record of an answer that is not ACCEPTED."""
    value: Any = answer.value  # the closed set of the others
    return Refused(*_names(envelope), value, is_joined, reaction if answer is Admission.DUPLICATE else None)
