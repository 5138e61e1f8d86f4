"""A message without a reaction: its instance does not exist or has finished, its status has none, or it has no key.

The policy of the saga decides.
"""

from __future__ import annotations

from sagabus.clock import micros
from sagabus.definitions.saga import SagaDefinition
from sagabus.envelope import Cause, Envelope
from sagabus.outcome import DeadLettered, Discarded, Outcome, Stashed


def unwanted(definition: SagaDefinition, envelope: Envelope, now: int, case: str, why: str) -> Outcome:
    """The outcome of the message. `case`: missing, finished, unexpected or no_key. `why`: a predicate, in words."""
    options = definition.options
    policy = options.on_no_key if case == "no_key" else options.policy(case, _class_of(definition, envelope))
    cause = Cause.NO_KEY if case == "no_key" else Cause.UNEXPECTED
    if policy == "ignore":
        return Discarded(envelope, f"it {why}", cause)
    reason = f"{case.replace('_', ' ')}: {envelope.message_type} {why}"
    left = envelope.due_at - now if envelope.stashed else micros(options.patience)
    if policy == "dead-letter" or left <= 0:
        waited = f" (waited {options.patience})" if envelope.stashed else ""
        return DeadLettered(envelope=envelope, cause=cause, reason=reason + waited, parks=definition.parks)
    return Stashed(envelope, left)


def _class_of(definition: SagaDefinition, envelope: Envelope) -> type[object] | None:
    known = definition.reactions.get(envelope.message_type)
    return known[0].message_type.cls if known and known[0].message_type is not None else None
