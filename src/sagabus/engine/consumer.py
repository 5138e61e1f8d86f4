"""What receives the messages of one channel: a handler or a saga, and what runs and outcomes of it are made from.

`processing` asks a consumer what to call, calls it, and has the consumer say what the run came to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import msgspec

from sagabus.clock import Clock
from sagabus.codec import Codec
from sagabus.context import Context
from sagabus.definitions.handler import HandlerDefinition
from sagabus.definitions.reaction import Reaction
from sagabus.definitions.saga import Saga, SagaDefinition
from sagabus.engine.mailbox import Mailbox
from sagabus.engine.recoverability import Recoverability
from sagabus.engine.run import Run
from sagabus.engine.sender import Sender
from sagabus.envelope import Envelope
from sagabus.errors import UnknownMessageType
from sagabus.outcome import Claim, Completed, Effects, Outcome
from sagabus.policies.deduplication import DeduplicationRules

Enter: TypeAlias = Callable[[Saga | None, Context], None]
Definition: TypeAlias = HandlerDefinition | SagaDefinition
_NO_FINGERPRINT = b""
_NONE: tuple[Claim, ...] = ()


class Consumer(Protocol):
    """One subscription of this bus, as its messages meet it. No call waits, and none writes."""

    def begin(self, mailbox: Mailbox, envelope: Envelope, calls: bool) -> Run | Outcome:  # noqa: FBT001  # by position
        """The run of a message; its outcome where there is nothing to call. With `calls`, what need not run in a thread
        is called at once. Then it is the outcome, too, unless what the call returned is still to be looked at.

        Raises what makes the message unusable, and what user code raises.
        """
        ...

    def conclude(self, run: Run) -> Completed:
        """What a run that has ended wants done. Raises what makes that impossible; then nothing has changed."""
        ...

    def reaction(self, mailbox: Mailbox, envelope: Envelope) -> Reaction | None:
        """The reaction that would run now, as far as the state in the mailbox says."""
        ...


def called(  # noqa: PLR0917  # by position: it is called once for each run
    reaction: Reaction,
    state: Saga | None,
    message: object,
    ctx: Context,
    enter: Enter | None = None,
    mailbox: Mailbox | None = None,
) -> object:
    """What user code returns. If that is nothing, or an error, the run has ended.

    `mailbox`: notes what a call had at hand that has failed, where no `Run` says it.
    """
    try:
        if enter is not None:
            enter(state, ctx)
        returned = reaction.invoke(state, message, ctx, None)
    except BaseException:
        ctx.close()
        if mailbox is not None:
            mailbox.spoil(message, state)
        raise
    if returned is None:
        ctx.close()
    return returned


class Surroundings(msgspec.Struct, frozen=True):
    """What every consumer needs."""

    sender: Sender
    codec: Codec
    clock: Clock
    rules: DeduplicationRules
    failing: Recoverability
    enter: Enter | None = None
    """Called right before user code, if an observer is around runs."""


class HandlerConsumer:
    """A function without state."""

    def __init__(self, definition: HandlerDefinition, around: Surroundings) -> None:
        self._definition = definition
        self._around = around

    def begin(self, mailbox: Mailbox, envelope: Envelope, calls: bool) -> Run | Outcome:  # noqa: FBT001  # by position
        """See `Consumer`."""
        around, definition = self._around, self._definition
        if envelope.damage is not None:
            return around.failing.damaged(definition, envelope)
        found = definition.reactions.get(envelope.message_type)
        if found is None or found[0].message_type is None:
            return around.failing.unknown(definition, envelope, UnknownMessageType(envelope.message_type))
        (reaction,) = found
        if reaction.key is not None and envelope.partition_key is None:
            with_key(definition, envelope, around.codec)  # raises for an unusable key; without any, no order counts
        message = around.codec.decode(found[0].message_type, envelope.body, envelope.headers)
        ctx = Context(envelope, around.sender, around.clock.now(), stateful=False)
        if not calls or reaction.in_thread:
            return Run(reaction, message, ctx, envelope)
        returned = called(reaction, None, message, ctx, around.enter, mailbox)
        if returned is not None:
            return Run(reaction, message, ctx, envelope, returned=returned)
        return self._completed(reaction, message, ctx, envelope)

    def conclude(self, run: Run) -> Completed:
        """See `Consumer`."""
        return self._completed(run.reaction, run.message, run.ctx, run.envelope)

    def _completed(self, reaction: Reaction, message: object, ctx: Context, envelope: Envelope) -> Completed:
        claims = claims_of(reaction, message, envelope, self._around.rules)
        effects = Effects(None, tuple(ctx.outgoing), (), tuple(ctx.statements), claims, ctx.unheard)
        return Completed(envelope, effects)

    def reaction(self, mailbox: Mailbox, envelope: Envelope) -> Reaction | None:
        """See `Consumer`."""
        found = self._definition.reactions.get(envelope.message_type)
        return None if found is None else found[0]


def claims_of(reaction: Reaction, message: object, envelope: Envelope, rules: DeduplicationRules) -> tuple[Claim, ...]:
    """The de-duplication keys that the commit of a run has to claim."""
    message_type = reaction.message_type
    if message_type is None or rules.by_id_alone:
        return _NONE
    keys = rules.claims(message, envelope, message_type.names)
    return tuple(Claim(key, _NO_FINGERPRINT) for key in keys)


def with_key(definition: Definition, envelope: Envelope, codec: Codec) -> Envelope:
    """The envelope with its partition key, where its sender read none; MessageInvalid for one that is unusable."""
    if envelope.partition_key is not None or envelope.timer is not None:
        return envelope
    known = definition.reactions.get(envelope.message_type)
    if known is None or known[0].key is None or known[0].message_type is None:
        return envelope
    key = known[0].key(codec.decode(known[0].message_type, envelope.body, envelope.headers))
    return msgspec.structs.replace(envelope, partition_key=key)
