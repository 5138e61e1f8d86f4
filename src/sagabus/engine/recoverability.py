"""What a failed run comes to: retry later, dead letter, or discard; decided by the subscription's policy."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import timedelta

import msgspec

from sagabus.clock import SECOND, Clock, micros
from sagabus.definitions.handler import HandlerDefinition
from sagabus.definitions.saga import SagaDefinition
from sagabus.engine.failure_texts import LONGEST_TEXT, FailureTexts
from sagabus.envelope import Cause, Envelope
from sagabus.errors import (
    MessageTooNew,
    StateTooNew,
    StoreBusy,
    StoreUnavailable,
    TransactionLost,
)
from sagabus.identity import Identity
from sagabus.outcome import DeadLettered, Discarded, Failure, Outcome, RetryAt
from sagabus.policies.retry import Rule
from sagabus.store.connection import is_of_the_database

log = logging.getLogger("sagabus")

_UPGRADE_PAUSE = 5 * SECOND
_UPGRADE_PATIENCE = 3600 * SECOND
_CANCELLED_PAUSE = SECOND
_UNSERVED_PAUSE = 5 * SECOND
_MOST_INTERRUPTIONS = 5
_REMEMBERED = 10_000


class Recoverability:
    """Turns errors into outcomes."""

    def __init__(self, identity: Identity, clock: Clock, texts: FailureTexts | None = None) -> None:
        self._identity, self._texts = identity, texts or FailureTexts()
        self._clock = clock
        self.unknown_types: set[tuple[str, str]] = set()
        """Channel and type of messages that nothing here could read."""
        self._known: dict[tuple[str, str], bool] = {}
        """Whether another live worker can, of those looked up so far."""
        self._interrupted: OrderedDict[int, int] = OrderedDict()
        """How often in a row, by position; the oldest are forgotten."""
        self._unknown_since: OrderedDict[int, int] = OrderedDict()
        """By position, of messages that had failed before by something else; the oldest are forgotten."""

    def failed(
        self,
        definition: HandlerDefinition | SagaDefinition,
        envelope: Envelope,
        error: BaseException,
        *,
        seen: Sequence[object] = (),
        in_transaction: bool = False,
    ) -> Outcome:
        """The outcome of a run that raised `error`, by the policy of its subscription.

        `seen`: what the run had at hand besides its message: see `FailureTexts`. `in_transaction`: the error came out
        of the message's own. Any other store is a dependency like all others.
        """
        if isinstance(error, MessageTooNew | StateTooNew):
            return self.unknown(definition, envelope, error)
        by = next(filter(is_of_the_database, (error, error.__cause__)), None)
        failure = self._texts.of_run(definition, envelope, error, seen)
        if by is not None and in_transaction:
            where = (envelope.channel, envelope.message_id)
            log.warning("%s: %s runs again: the database failed: %s", *where, failure.text)
            return self.interrupted(definition, envelope, by)
        self._interrupted.pop(envelope.position, None)
        return self._decided(definition, envelope, error, failure, is_of_a_database=by is not None)

    def _decided(
        self,
        definition: HandlerDefinition | SagaDefinition,
        envelope: Envelope,
        error: BaseException,
        failure: Failure,
        *,
        is_of_a_database: bool,
    ) -> Outcome:
        """What the policy makes of it."""
        policy = definition.retry
        waited, transient = self._fails_for(envelope), is_of_a_database or policy.is_transient(error)
        is_free = transient and waited < micros(policy.transient_for)
        attempt, rule = envelope.attempt + 1, policy.rule_for(error)
        faults = attempt - envelope.excused - is_free
        log.warning(
            "%s: %s %s failed (%s): %s",
            *(envelope.channel, envelope.message_type, envelope.message_id),
            *(f"attempt {attempt}{', transient' * is_free}", failure.said),
        )
        if rule is Rule.DISCARD:
            return Discarded(envelope, f"discarded by rule: {failure.said}")
        if rule is Rule.DEAD_LETTER:
            reason = f"cannot succeed: {failure.said}"
            return self._bury(definition, envelope, Cause.PERMANENT, reason, failure)
        if faults >= policy.attempts and not is_free:
            how_long = f"for {timedelta(microseconds=waited)}" if transient and waited else f"{faults} times"
            reason = f"failed {how_long}, last: {failure.said}"
            return self._bury(definition, envelope, Cause.FAILED, reason, failure)
        delay = policy.delay(attempt if transient else faults, self._identity.fraction())
        return RetryAt(envelope=envelope, delay=delay, failure=failure, excused=is_free, holds=definition.ordered)

    def cancelled(
        self, definition: HandlerDefinition | SagaDefinition, envelope: Envelope, error: BaseException
    ) -> Outcome:
        """A handler that cancels itself has not failed and not succeeded: it runs again soon, uncounted."""
        log.warning(
            "%s: %s %s cancelled itself; it runs again, uncounted",
            envelope.channel,
            envelope.message_type,
            envelope.message_id,
        )
        return self._uncounted(definition, envelope, _CANCELLED_PAUSE)

    def interrupted(
        self, definition: HandlerDefinition | SagaDefinition, envelope: Envelope, by: BaseException | None = None
    ) -> Outcome:
        """The database failed the run, or refused to begin it: the message runs again, uncounted. `by`: the error that
        ended a started run. The run itself may lose the connection, so it is not repeated for ever.
        """
        if isinstance(by, (StoreUnavailable, StoreBusy)):
            times = self._interrupted.pop(envelope.position, 0) + 1
            if times > _MOST_INTERRUPTIONS:
                text = f"the database was lost under it {times} times in a row: {by}"
                return self.failed(definition, envelope, TransactionLost(text))
            self._interrupted[envelope.position] = times
            if len(self._interrupted) > _REMEMBERED:
                self._interrupted.popitem(last=False)
        return self._uncounted(definition, envelope, SECOND)

    def unserved(self, definition: HandlerDefinition | SagaDefinition, envelope: Envelope) -> Outcome:
        """A run for which there was no thread: this process says so, and the message waits, uncounted."""
        return self._uncounted(definition, envelope, _UNSERVED_PAUSE)

    def unknown(
        self, definition: HandlerDefinition | SagaDefinition, envelope: Envelope, error: BaseException
    ) -> Outcome:
        """A newer process may know a type that this one does not. The message waits, uncounted, while such a worker
        lives, and an hour for one to come.
        """
        failure, is_known = self._texts.of_library(error), self._is_known(envelope, error)
        if self._waited_unknown(envelope) >= _UPGRADE_PATIENCE and not is_known:
            return self._bury(definition, envelope, Cause.UNKNOWN, f"unknown here: {failure.text}", failure)
        if envelope.failed_at is None:
            log.warning("%s: %s; the message waits for a worker that knows it", envelope.channel, failure.text)
        return self._uncounted(definition, envelope, _UPGRADE_PAUSE, failure)

    def unheard(
        self, definition: HandlerDefinition | SagaDefinition, envelope: Envelope, error: BaseException, patience: int
    ) -> Outcome:
        """A message from elsewhere that no subscription receives. It waits, uncounted, for so many microseconds."""
        failure = self._texts.of_library(error)
        if self._waited(envelope) < patience:
            if envelope.failed_at is None:
                log.warning("%s: %s; it waits for a subscription", envelope.channel, failure.text)
            return self._uncounted(definition, envelope, min(_UPGRADE_PAUSE, patience), failure)
        return self._bury(definition, envelope, Cause.UNKNOWN, f"no subscription receives it: {failure.text}", failure)

    def _is_known(self, envelope: Envelope, error: BaseException) -> bool:
        """Whether a live worker knows the type; as long as nothing is known of the others, one may."""
        if isinstance(error, MessageTooNew | StateTooNew):
            name = error.needs
        else:
            name = envelope.message_type if envelope.timer is None else timer_type(envelope.timer)
        pair = (envelope.channel, name)
        if len(self.unknown_types) < _REMEMBERED:
            self.unknown_types.add(pair)
        return self._known.get(pair, pair in self.unknown_types)

    def note_known(self, known: Mapping[str, frozenset[str]]) -> None:
        """What the live workers of each channel know, all together."""
        self._known = {(channel, name): name in known.get(channel, frozenset()) for channel, name in self.unknown_types}

    def _waited_unknown(self, envelope: Envelope) -> int:
        """Since it was found to be unknown, in microseconds. Of one that had failed before, the store knows only since
        when it fails.
        """
        if not envelope.attempt:
            return self._waited(envelope)
        since = self._unknown_since.setdefault(envelope.position, self._clock.now())
        if len(self._unknown_since) > _REMEMBERED:
            self._unknown_since.popitem(last=False)
        return max(self._clock.now() - since, 0)

    def _fails_for(self, envelope: Envelope) -> int:
        """The same since the first attempt: before that, it has waited for a worker that knows it at most."""
        return self._waited(envelope) if envelope.attempt else 0

    def _waited(self, envelope: Envelope) -> int:
        """Since its first failure, in microseconds."""
        return 0 if envelope.failed_at is None else max(self._clock.now() - envelope.failed_at, 0)

    def died(self, definition: HandlerDefinition | SagaDefinition, envelope: Envelope) -> Outcome:
        """A dead letter for a message whose worker has died once more, as often as its policy allows."""
        deaths = envelope.deaths + 1
        # A dead process looks like one that stood still past its leases, and whose commits are fenced since then.
        died = f"its worker died {deaths} times while it was in flight, or was blocked past its leases"
        reason = f"{died}; the last time it ran alone"
        envelope = msgspec.structs.replace(envelope, deaths=deaths)
        return DeadLettered(envelope=envelope, cause=Cause.WORKER_DIED, reason=reason, parks=definition.parks)

    def damaged(self, definition: HandlerDefinition | SagaDefinition, envelope: Envelope) -> Outcome:
        """A dead letter, with all that there is, for a message whose stored row cannot be read."""
        reason = f"its stored row cannot be read: {envelope.damage}"
        return DeadLettered(
            envelope=envelope, cause=Cause.DAMAGED, reason=reason[:LONGEST_TEXT], parks=definition.parks
        )

    def _uncounted(
        self,
        definition: HandlerDefinition | SagaDefinition,
        envelope: Envelope,
        delay: int,
        failure: Failure | None = None,
    ) -> RetryAt:
        return RetryAt(envelope=envelope, delay=delay, failure=failure, counted=0, holds=definition.ordered)

    def _bury(
        self,
        definition: HandlerDefinition | SagaDefinition,
        envelope: Envelope,
        cause: Cause,
        reason: str,
        failure: Failure,
    ) -> Outcome:
        reason = reason[:LONGEST_TEXT]
        return DeadLettered(envelope=envelope, cause=cause, reason=reason, failure=failure, parks=definition.parks)


def timer_type(name: str) -> str:
    """What a timer counts as among the types that a subscription knows."""
    return f"timer {name}"
