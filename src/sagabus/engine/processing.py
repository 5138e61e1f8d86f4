"""The second verb of the way: one message, one run of user code, one outcome.

Previous stop: a mailbox, in the worker. Decode, find the reaction, call it on the instance, gather what it wants done.
Nothing here writes: the outcome goes to `committer`. Whatever user code does wrong ends in an outcome too; only a
cancellation of the worker itself gets out.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from sagabus.clock import Clock
from sagabus.codec import Codec
from sagabus.connection import Lent
from sagabus.context import Context
from sagabus.deduplication import DeduplicationRules
from sagabus.engine.around import Step, compose
from sagabus.engine.mailbox import BelievedState, Mailbox
from sagabus.engine.recoverability import Recoverability, timer_type
from sagabus.engine.returned import finish
from sagabus.engine.sender import Sender
from sagabus.engine.stepping import stepped
from sagabus.engine.thread_pool import ThreadPool, ThreadsExhausted
from sagabus.engine.time_limit import TimeLimits
from sagabus.engine.unwanted import unwanted
from sagabus.envelope import Envelope
from sagabus.errors import HandlingError, UnknownMessageType
from sagabus.failpoint import hit
from sagabus.handler import HandlerDefinition
from sagabus.identity import Identity
from sagabus.middleware import Middleware
from sagabus.outcome import Claim, Completed, Discarded, Effects, Outcome, Save
from sagabus.reaction import Reaction
from sagabus.saga import Saga, SagaDefinition
from sagabus.settings import Settings
from sagabus.state_codec import StateCodec
from sagabus.status import status_of
from sagabus.store import Unit

Definition: TypeAlias = HandlerDefinition | SagaDefinition
_NO_FINGERPRINT = b""


class _Run(msgspec.Struct, eq=False):
    """One run under way: what is called, on what, and what it gathers."""

    definition: Definition
    reaction: Reaction
    message: object
    ctx: Context
    envelope: Envelope
    cell: BelievedState | None = None
    state: Saga | None = None
    returned: object = None
    """What the handler returned at once; it is still to be awaited."""
    task: asyncio.Task[object] | None = None
    began: float = 0.0
    warn_at: float = 0.0
    cancellations: int = 0

    @property
    def limit(self) -> float | None:
        """See `Watched`, as for the four fields above; seconds."""
        return self.reaction.timeout


class Processing:
    """Runs user code on messages; shared by all mailboxes of a worker."""

    def __init__(
        self,
        sender: Sender,
        codec: Codec,
        states: StateCodec,
        *,
        clock: Clock,
        identity: Identity,
        settings: Settings,
        middlewares: Sequence[Middleware],
        rules: DeduplicationRules,
    ) -> None:
        self._sender = sender
        self._codec = codec
        self._states = states
        self._clock = clock
        self._middlewares = middlewares
        self.rules = rules
        self.notices = sender.notices
        self._opened_in = contextvars.copy_context()
        """Of the task that opened the bus: each run begins with a copy of it, and sees nothing of other runs."""
        limit, warn_after = settings.timeout, settings.warn_after
        self.limits = TimeLimits(clock, None if limit is None else limit.total_seconds(), warn_after.total_seconds())
        self.threads = ThreadPool(settings.threads)
        self.failing = Recoverability(identity, clock)

    async def run(self, mailbox: Mailbox, envelope: Envelope, unit: Unit | None = None) -> Outcome:
        """One run; an outcome whatever user code does. Unless it is Completed, the mailbox's state is as before.

        `unit`: the open transaction, for a reaction that asks for it.
        """
        hit("handle.entered")
        context = self._opened_in.copy()
        begun = context.run(self._begin, mailbox, envelope, lends=unit is not None)
        if not isinstance(begun, _Run):
            return begun
        try:
            return await stepped(self._end(begun, unit), context, begun, self.limits)
        except asyncio.CancelledError as error:
            begun.ctx.close()
            return self._failed(mailbox.definition, envelope, error, begun)

    def _begin(self, mailbox: Mailbox, envelope: Envelope, *, lends: bool) -> _Run | Outcome:
        """All of a run that need not wait, which is the whole of most; the run itself where something is left."""
        try:
            run = self._prepare(mailbox, envelope)
            if not isinstance(run, _Run):
                return run
            reaction = run.reaction
            if reaction.in_thread or self._middlewares or (lends and reaction.wants_connection):
                return run
            try:
                run.returned = reaction.invoke(run.state, run.message, run.ctx, None)
                if run.returned is not None:
                    return run
            finally:
                if run.returned is None:
                    run.ctx.close()
            return self._conclude(run)
        except BaseException as error:  # noqa: BLE001  # KeyboardInterrupt out of a handler is that handler's failure
            return self._failed(mailbox.definition, envelope, error)

    async def _end(self, run: _Run, unit: Unit | None) -> Outcome:
        lent: Lent | None = None
        try:
            try:
                if run.returned is not None:
                    await finish(run.returned, run.reaction.where, run.ctx)
                elif unit is not None and run.reaction.wants_connection:
                    lent = await unit.lend(run.reaction.connection_kind)
                    await self._call(run, lent.handle)
                    await lent.settle()
                else:
                    await self._call(run, None)
            finally:
                run.ctx.close()
            if (exceeded := self.limits.error(run, None)) is not None:
                raise exceeded
            return self._conclude(run)
        except BaseException as error:  # noqa: BLE001  # the same
            told = None if lent is None else lent.told(error)
            is_ours = told is not None or (unit is not None and lent is None and run.reaction.wants_connection)
            return self._failed(run.definition, run.envelope, told or error, run, in_transaction=is_ours)

    def _failed(
        self,
        definition: Definition,
        envelope: Envelope,
        error: BaseException,
        run: _Run | None = None,
        *,
        in_transaction: bool = False,
    ) -> Outcome:
        """Called while `error` is handled."""
        if run is not None:
            error = self.limits.error(run, error) or error
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise error
            return self.failing.cancelled(definition, envelope, error)
        if isinstance(error, ThreadsExhausted):
            return self.failing.unserved(definition, envelope)
        return self.failing.failed(definition, envelope, error, in_transaction=in_transaction)

    def reaction(self, definition: Definition, mailbox: Mailbox, envelope: Envelope) -> Reaction | None:
        """The reaction that would run now, as far as the state at hand tells."""
        return self._opened_in.copy().run(self._reaction, definition, mailbox, envelope)

    def _reaction(self, definition: Definition, mailbox: Mailbox, envelope: Envelope) -> Reaction | None:
        if isinstance(definition, HandlerDefinition):
            return definition.reactions.get(envelope.message_type)
        if envelope.timer is not None:
            return definition.timers.get(envelope.timer)
        found = definition.reactions.get(envelope.message_type, ())
        cell = mailbox.cell
        if cell is None or cell.version == 0 or cell.completed:
            return definition.starting.get(envelope.message_type)
        return _first(found, self._state(definition, cell))

    def _prepare(self, mailbox: Mailbox, envelope: Envelope) -> _Run | Outcome:
        """Everything before user code; an outcome where there is nothing to call."""
        definition = mailbox.definition
        if envelope.damage is not None:
            return self.failing.damaged(definition, envelope)
        if isinstance(definition, SagaDefinition):
            mailbox.check_readable()
            return self._prepare_saga(definition, mailbox, envelope)
        reaction = definition.reactions.get(envelope.message_type)
        if reaction is None or reaction.message_type is None:
            return self.failing.unknown(definition, envelope, UnknownMessageType(envelope.message_type))
        if reaction.key is not None and envelope.partition_key is None:
            with_key(definition, envelope, self._codec)  # raises for an unusable key; without any, no order counts
        message = self._codec.decode(reaction.message_type, envelope.body, envelope.headers)
        return _Run(definition, reaction, message, self._context(envelope, stateful=False), envelope)

    def _prepare_saga(self, definition: SagaDefinition, mailbox: Mailbox, envelope: Envelope) -> _Run | Outcome:
        cell = mailbox.cell
        if cell is None:
            return self._keyless(definition, envelope)
        if envelope.timer is not None:
            return self._prepare_timer(definition, cell, envelope)
        known = definition.reactions.get(envelope.message_type)
        if known is None or known[0].message_type is None:
            return self.failing.unknown(definition, envelope, UnknownMessageType(envelope.message_type))
        message = self._codec.decode(known[0].message_type, envelope.body, envelope.headers)
        starting = definition.starting.get(envelope.message_type)
        if cell.version == 0 or (cell.completed and definition.options.restart and starting is not None):
            if starting is None:
                return unwanted(definition, envelope, self._clock.now(), "missing", "no such saga instance")
            state = definition.start(envelope.message_type, message, mailbox.key or "")
            cell.carried = None
            return self._transition(definition, starting, message, envelope, cell=cell, state=state)
        if cell.completed:
            return unwanted(definition, envelope, self._clock.now(), "finished", "the saga instance is finished")
        state = self._state(definition, cell)
        reaction = _first(known, state)
        if reaction is None:
            where = f"in status {cell.status!r}" if definition.has_status else "in its present state"
            return unwanted(definition, envelope, self._clock.now(), "unexpected", f"not expected {where}")
        return self._transition(definition, reaction, message, envelope, cell=cell, state=state)

    def _transition(
        self,
        definition: SagaDefinition,
        reaction: Reaction,
        message: object,
        envelope: Envelope,
        *,
        cell: BelievedState,
        state: Saga,
    ) -> _Run:
        # What user code does to the state must not be seen unless it succeeds.
        cell.state = None
        return _Run(definition, reaction, message, self._context(envelope, stateful=True), envelope, cell, state)

    def _keyless(self, definition: SagaDefinition, envelope: Envelope) -> Outcome:
        known = definition.reactions.get(envelope.message_type)
        if known is None:
            return self.failing.unknown(definition, envelope, UnknownMessageType(envelope.message_type))
        with_key(definition, envelope, self._codec)  # raises what makes the key unusable
        return unwanted(definition, envelope, self._clock.now(), "no_key", f"names no instance: {known[0].no_key}")

    def _prepare_timer(self, definition: SagaDefinition, cell: BelievedState, envelope: Envelope) -> _Run | Outcome:
        name = envelope.timer or ""
        if cell.timers.get(name) != envelope.message_id:
            return Discarded(envelope, f"timer {name!r} was cancelled or replaced")
        reaction = definition.timers.get(name)
        if reaction is None:
            return self.failing.unknown(definition, envelope, UnknownMessageType(timer_type(name)))
        return self._transition(definition, reaction, None, envelope, cell=cell, state=self._state(definition, cell))

    def _conclude(self, run: _Run) -> Outcome:
        """Everything after user code: what it wants done, and the state that it leaves."""
        ctx, cell, envelope = run.ctx, run.cell, run.envelope
        definition = run.definition
        claims = self._claims(run)
        sent, statements = tuple(ctx.outgoing), tuple(ctx.statements)
        if cell is None or not isinstance(definition, SagaDefinition) or run.state is None:
            return Completed(envelope, Effects(sent=sent, statements=statements, unheard=ctx.unheard, claims=claims))
        timers = {} if cell.completed else dict(cell.timers)
        if envelope.timer is not None:
            timers.pop(envelope.timer, None)
        timers_sent, cancelled = _timers(definition, ctx, timers) if ctx.timer_changes else ((), ())
        body, kept, shape = self._states.write(run.state, cell.carried)
        save = self._save(definition, cell, run.state, ctx, timers, body=body, shape=shape)
        effects = Effects(
            save=save,
            sent=sent if ctx.completed else sent + timers_sent,
            cancelled=cancelled,
            statements=statements,
            unheard=ctx.unheard,
            claims=claims,
        )
        cell.version, cell.body, cell.state, cell.shape = save.version, body, kept, shape
        cell.status, cell.timers, cell.completed = save.status, save.timers, save.completed
        return Completed(envelope, effects)

    def _save(
        self,
        definition: SagaDefinition,
        cell: BelievedState,
        state: Saga,
        ctx: Context,
        timers: dict[str, str],
        *,
        body: bytes,
        shape: str,
    ) -> Save:
        status = status_of(state) if definition.has_status else None
        return Save(
            saga=definition.name,
            key=ctx.key or "",
            base=cell.version,
            state=body,
            shape=shape,
            status=status,
            timers={} if ctx.completed else timers,
            completed=ctx.completed,
            wakes=bool(cell.stash) and _has_moved(definition, cell, status, completed=ctx.completed),
            leaves_timers=bool(cell.timers),
            recorded=definition.options.history,
        )

    def _context(self, envelope: Envelope, *, stateful: bool) -> Context:
        return Context(envelope, self._sender, self._clock.now(), stateful=stateful)

    async def _call(self, run: _Run, connection: object) -> None:
        await compose(self._middlewares, self._innermost(run, connection))(run.message, run.ctx)

    def _innermost(self, run: _Run, connection: object) -> Step:
        """The handler itself, as the last of the middlewares sees it; the message may have been replaced by then."""
        reaction = run.reaction

        async def call(message: object, ctx: Context) -> None:
            invoke = functools.partial(reaction.invoke, run.state, message, ctx, connection)
            if reaction.in_thread:
                self.limits.hold(run)
                returned = await self.threads.run(invoke, lambda: self.limits.count(run))
            else:
                returned = invoke()
            if returned is not None:
                await finish(returned, reaction.where, ctx)

        return call

    def _state(self, definition: SagaDefinition, cell: BelievedState) -> Saga:
        if cell.state is not None:
            return cell.state
        state, cell.carried = self._states.read(definition.cls, cell.body or b"", cell.shape)
        cell.state = state
        return state

    def _claims(self, run: _Run) -> tuple[Claim, ...]:
        message_type = run.reaction.message_type
        if message_type is None:
            return ()
        keys = self.rules.claims(run.message, run.envelope, message_type.names)
        return tuple(Claim(key, _NO_FINGERPRINT) for key in keys)


def _first(reactions: tuple[Reaction, ...], state: Saga) -> Reaction | None:
    for reaction in reactions:
        if reaction.when is None or reaction.when(state):
            return reaction
    return None


def with_key(definition: Definition, envelope: Envelope, codec: Codec) -> Envelope:
    """The envelope with its partition key, where its sender read none; MessageInvalid for one that is unusable."""
    if envelope.partition_key is not None or envelope.timer is not None:
        return envelope
    known = definition.reactions.get(envelope.message_type)
    reaction = known[0] if isinstance(known, tuple) else known
    if reaction is None or reaction.key is None or reaction.message_type is None:
        return envelope
    key = reaction.key(codec.decode(reaction.message_type, envelope.body, envelope.headers))
    return msgspec.structs.replace(envelope, partition_key=key)


def _timers(
    definition: SagaDefinition, ctx: Context, timers: dict[str, str]
) -> tuple[tuple[Envelope, ...], tuple[str, ...]]:
    """What the run does to timers, applied to the instance's record of them."""
    sent: list[Envelope] = []
    cancelled: list[str] = []
    for name, envelope in ctx.timer_changes.items():
        gone = definition.names_of_timer(name)
        if envelope is not None:
            if name not in definition.timers:
                raise HandlingError(
                    f"timer {name!r} is set, but no @timer({name!r}) handles it", saga=definition.name, key=ctx.key
                )
            gone = [other for other in gone if other != name]  # the store replaces one of the same name
            timers[name] = envelope.message_id
            sent.append(envelope)
        cancelled += [other for other in gone if timers.pop(other, None) is not None]
    return tuple(sent), tuple(cancelled)


def _has_moved(definition: SagaDefinition, cell: BelievedState, status: str | None, *, completed: bool) -> bool:
    """Whether what was not wanted before this run may be wanted after it."""
    return cell.version == 0 or completed or cell.completed or not definition.waits_by_status or status != cell.status
