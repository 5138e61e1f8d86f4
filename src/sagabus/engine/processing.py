"""The second verb of the way: one message, one run of user code, one outcome.

Previous stop: a mailbox, in the worker. The consumer finds the reaction, it is called, and the consumer says what the
run wants done. Nothing here writes: the outcome goes to `committer`. Whatever user code does wrong ends in an outcome
too; only a cancellation of the worker itself gets out.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Mapping, Sequence
from functools import partial

from sagabus.clock import Clock
from sagabus.codec import Codec
from sagabus.codec.states import StateCodec
from sagabus.context import Context
from sagabus.definitions.reaction import Reaction
from sagabus.definitions.saga import SagaDefinition
from sagabus.engine.around import Step, compose
from sagabus.engine.consumer import Consumer, Definition, HandlerConsumer, Surroundings, called
from sagabus.engine.failure_texts import FailureTexts
from sagabus.engine.mailbox import Mailbox
from sagabus.engine.recoverability import Recoverability
from sagabus.engine.returned import finish
from sagabus.engine.run import Run
from sagabus.engine.saga_consumer import SagaConsumer
from sagabus.engine.sender import Sender
from sagabus.engine.stepping import stepped
from sagabus.engine.thread_pool import ThreadPool, ThreadsExhausted
from sagabus.engine.time_limit import TimeLimits
from sagabus.engine.watch import Watch
from sagabus.envelope import Envelope
from sagabus.failpoint import hit
from sagabus.identity import Identity
from sagabus.middleware import Middleware
from sagabus.outcome import Outcome
from sagabus.policies.deduplication import DeduplicationRules
from sagabus.settings import Settings
from sagabus.store import Unit
from sagabus.store.connection import Lent


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
        consumers: Mapping[str, Consumer] | None = None,
        is_watched: bool = True,
    ) -> None:
        """`consumers`: those that are neither a handler nor a saga, by channel. `is_watched`: observers may be around
        runs.
        """
        self._states = states
        self._middlewares = middlewares  # the harness adds to it while the bus is open
        self.rules = rules
        self.observers = sender.observers
        self._watch = Watch(self.observers) if is_watched and self.observers.are_around else None
        self._opened_in = contextvars.copy_context()
        """Of the task that opened the bus: each run begins with a copy of it, and sees nothing of other runs."""
        limit, warn_after = settings.timeout, settings.warn_after
        self.limits = TimeLimits(clock, None if limit is None else limit.total_seconds(), warn_after.total_seconds())
        self.threads = ThreadPool(settings.threads)
        self.failing = Recoverability(identity, clock, FailureTexts(settings.redact, sender.class_of))
        enter = None if self._watch is None else self._watch.enter_now
        self._around = Surroundings(sender, codec, clock, rules, self.failing, enter)
        self._consumers = dict(consumers or {})
        self._is_choosy = is_watched and not self.observers.watch_all
        self._plain = Surroundings(sender.unwatched(), codec, clock, rules, self.failing)
        self._unwatched = dict(self._consumers)
        """What runs the messages that no observer watches."""

    def begin(self, mailbox: Mailbox, envelope: Envelope, unit: Unit | None = None) -> Run | Outcome:
        """All of a run that need not wait, which is the whole of most; the run itself where `end` has to wait for it.

        An outcome whatever user code does. Unless it is Completed, the mailbox's state is as before.
        """
        hit("handle.entered")
        watch, consumers = self._watch, self._consumers
        if self._is_choosy and not self.observers.watch(envelope):
            watch, consumers = None, self._unwatched
        definition = mailbox.definition
        consumer = consumers.get(definition.name) or self._learn(definition, consumers)
        context = self._opened_in.copy()
        if unit is None and not self._middlewares:
            try:
                if watch is None:
                    begun = context.run(consumer.begin, mailbox, envelope, True)
                else:
                    begun = context.run(watch.begin, consumer, mailbox, envelope)
            except BaseException as error:  # noqa: BLE001  # KeyboardInterrupt out of a handler is its failure
                return context.run(self._failed, mailbox, envelope, error)
        else:
            begun = context.run(self._begin, consumer, mailbox, envelope, unit, watch)
        if type(begun) is Run:
            begun.context = context
        return begun

    async def end(self, mailbox: Mailbox, run: Run, unit: Unit | None = None) -> Outcome:
        """Wait for a run that has begun. `unit`: the open transaction, for a reaction that asks for it."""
        consumers, context = self._consumers, run.context
        consumer = consumers.get(mailbox.place[0]) or self._learn(mailbox.definition, consumers)
        if context is None:
            raise TypeError("a run that was not begun here")
        try:
            return await stepped(self._end(consumer, mailbox, run, unit), context, run, self.limits)
        except asyncio.CancelledError as error:
            run.ctx.close()
            return self._failed(mailbox, run.envelope, error, run)

    def reaction(self, mailbox: Mailbox, envelope: Envelope) -> Reaction | None:
        """The reaction that would run now, as far as the state at hand says."""
        consumer = self._consumers.get(mailbox.place[0]) or self._learn(mailbox.definition, self._consumers)
        return self._opened_in.copy().run(consumer.reaction, mailbox, envelope)

    def _learn(self, definition: Definition, consumers: dict[str, Consumer]) -> Consumer:
        around = self._around if consumers is self._consumers else self._plain
        consumer: Consumer
        if isinstance(definition, SagaDefinition):
            consumer = SagaConsumer(definition, around, self._states)
        else:
            consumer = HandlerConsumer(definition, around)
        consumers[definition.name] = consumer
        return consumer

    def _begin(  # by position, in the run's context
        self, consumer: Consumer, mailbox: Mailbox, envelope: Envelope, unit: Unit | None, watch: Watch | None
    ) -> Run | Outcome:
        run: Run | Outcome | None = None
        try:
            run = consumer.begin(mailbox, envelope, False)
            if type(run) is not Run:
                return run
            if watch is not None:
                watch.enter(run)
            reaction = run.reaction
            if self._middlewares or reaction.in_thread or (unit is not None and reaction.wants_connection):
                return run
            run.returned = called(reaction, run.state, run.message, run.ctx)
            return run if run.returned is not None else self._concluded(consumer, run)
        except BaseException as error:  # noqa: BLE001  # the same
            begun = run if isinstance(run, Run) else None
            if begun is not None:
                self._leave(begun, error)
            return self._failed(mailbox, envelope, error, begun)

    async def _end(self, consumer: Consumer, mailbox: Mailbox, run: Run, unit: Unit | None) -> Outcome:
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
            return self._concluded(consumer, run)
        except BaseException as error:  # noqa: BLE001  # the same
            self._leave(run, error)
            ours = None if lent is None else lent.store_error(error)
            is_ours = ours is not None or (unit is not None and lent is None and run.reaction.wants_connection)
            return self._failed(mailbox, run.envelope, ours or error, run, in_transaction=is_ours)

    def _concluded(self, consumer: Consumer, run: Run) -> Outcome:
        outcome = consumer.conclude(run)
        self._leave(run, None)
        return outcome

    def _leave(self, run: Run, error: BaseException | None) -> None:
        if self._watch is not None:
            self._watch.leave(run, error)

    def _failed(
        self,
        mailbox: Mailbox,
        envelope: Envelope,
        error: BaseException,
        run: Run | None = None,
        *,
        in_transaction: bool = False,
    ) -> Outcome:
        """Called while `error` is handled."""
        definition, seen = mailbox.definition, mailbox.seen()
        if run is not None:
            error = self.limits.error(run, error) or error
            seen += [each for each in (run.message, run.state, run.given) if each is not None]
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise error
            return self.failing.cancelled(definition, envelope, error)
        if isinstance(error, ThreadsExhausted):
            return self.failing.unserved(definition, envelope)
        return self.failing.failed(definition, envelope, error, seen=seen, in_transaction=in_transaction)

    async def _call(self, run: Run, connection: object) -> None:
        await compose(self._middlewares, self._innermost(run, connection))(run.message, run.ctx)

    def _innermost(self, run: Run, connection: object) -> Step:
        """The handler itself, as the last of the middlewares sees it; the message may have been replaced by then."""
        reaction = run.reaction

        async def call(message: object, ctx: Context) -> None:
            run.given = message
            invoke = partial(reaction.invoke, run.state, message, ctx, connection)
            if reaction.in_thread:
                self.limits.hold(run)
                returned = await self.threads.run(invoke, lambda: self.limits.count(run))
            else:
                returned = invoke()
            if returned is not None:
                await finish(returned, reaction.where, ctx)

        return call
