"""A saga as its messages meet it: which of its methods runs on which state, and what the run leaves.

One of the two `Consumer`s. Nothing of a run is seen by the next one unless it has ended well.
"""

from __future__ import annotations

from sagabus.codec.states import StateCodec
from sagabus.context import Context
from sagabus.definitions.reaction import Reaction, declared
from sagabus.definitions.saga import STUCK, Saga, SagaDefinition, Starter
from sagabus.definitions.status import status_of
from sagabus.engine.consumer import Surroundings, called, claims_of, with_key
from sagabus.engine.mailbox import BelievedState, Mailbox
from sagabus.engine.recoverability import timer_type
from sagabus.engine.run import Run
from sagabus.engine.staying import version_of
from sagabus.engine.unwanted import unwanted
from sagabus.envelope import Cause, Envelope
from sagabus.errors import HandlingError, UnknownMessageType
from sagabus.outcome import Completed, DeadLettered, Discarded, Effects, Outcome, Save


class SagaConsumer:
    """The instances of one saga."""

    def __init__(self, definition: SagaDefinition, around: Surroundings, states: StateCodec) -> None:
        self._definition = definition
        self._around = around
        self._states = states
        self._known = {
            name: (
                around.codec.reader(declared(found[0])),
                found,
                definition.starting.get(name),
                _starter(definition, name),
            )
            for name, found in definition.reactions.items()
        }
        self._by_id_alone = around.rules.by_id_alone
        self._sender, self._now, self._enter = around.sender, around.clock.now, around.enter
        self._write = states.writer(definition.cls)
        self._has_status, self._has_history = definition.has_status, definition.options.history
        self._restarts = definition.options.restart

    def begin(self, mailbox: Mailbox, envelope: Envelope, calls: bool) -> Run | Outcome:  # noqa: FBT001  # by position
        """See `Consumer`."""
        cell, known = mailbox.cell, self._known.get(envelope.message_type)
        if known is None or cell is None or envelope.timer is not None or envelope.damage or cell.damage:
            return self._begin_other(mailbox, cell, envelope)
        read, reactions, starting, start = known
        message = read(envelope.body, envelope.headers)
        if cell.version == 0 or cell.completed:
            if starting is None or start is None or (cell.completed and not self._restarts):
                return self._unstarted(cell, envelope)
            reaction, state = starting, start(message, mailbox.key or "")
            cell.start_afresh()
        else:
            state = cell.state if cell.state is not None else self._state(cell)
            for reaction in reactions:
                if (when := reaction.when) is None or when(state):
                    break
            else:
                return self._unexpected(cell, envelope)
        cell.lend()
        ctx = Context(envelope, self._sender, self._now())
        if not calls or reaction.in_thread:
            return Run(reaction, message, ctx, envelope, state, cell)
        returned = called(reaction, state, message, ctx, self._enter, mailbox)
        if returned is not None:
            return Run(reaction, message, ctx, envelope, state, cell, returned=returned)
        return self._completed(reaction, message, ctx, envelope, state, cell)

    def _begin_other(self, mailbox: Mailbox, cell: BelievedState | None, envelope: Envelope) -> Run | Outcome:
        if envelope.damage is not None:
            return self._around.failing.damaged(self._definition, envelope)
        if cell is None:
            return self._keyless(envelope)
        mailbox.check_readable()
        if envelope.timer is not None:
            return self._begin_timer(cell, envelope)
        unknown = UnknownMessageType(envelope.message_type)
        return self._around.failing.unknown(self._definition, envelope, unknown)

    def reaction(self, mailbox: Mailbox, envelope: Envelope) -> Reaction | None:
        """See `Consumer`."""
        definition, cell = self._definition, mailbox.cell
        if mailbox.key is None:
            return None  # it names no instance, so no method will run
        if envelope.timer is not None:
            return definition.timers.get(envelope.timer)
        if cell is None or cell.version == 0 or cell.completed:
            return definition.starting.get(envelope.message_type)
        state = self._state(cell)
        found = definition.reactions.get(envelope.message_type, ())
        return next((each for each in found if each.when is None or each.when(state)), None)

    def conclude(self, run: Run) -> Completed:
        """See `Consumer`."""
        if run.cell is None or run.state is None:
            raise TypeError(f"{self._definition.name}: a run without an instance")
        return self._completed(run.reaction, run.message, run.ctx, run.envelope, run.state, run.cell)

    def _completed(  # noqa: PLR0917  # by position: it is called once for each run of a saga
        self, reaction: Reaction, message: object, ctx: Context, envelope: Envelope, state: Saga, cell: BelievedState
    ) -> Completed:
        completed = ctx.completed
        claims = () if self._by_id_alone else claims_of(reaction, message, envelope, self._around.rules)
        timers = {} if cell.completed else cell.timers
        sent = tuple(ctx.outgoing)
        cancelled: tuple[str, ...] = ()
        if ctx.timer_changes or envelope.timer is not None:
            timers, timers_sent, cancelled = self._changed_timers(ctx, envelope, timers)
            sent = sent if completed else sent + timers_sent
        write = self._write if type(state) is self._definition.cls else self._states.write
        body, kept, shape = write(state, cell.carried)
        status = status_of(state) if self._has_status else None
        wakes = bool(cell.stash and self._has_moved(cell, status, completed=completed))
        version, had_timers, key = cell.version, bool(cell.timers), envelope.partition_key or ""
        timers = {} if completed else timers
        cell.moved(version + 1, body, kept, shape, status, timers, completed)
        # fmt: off
        save = Save(envelope.channel, key, version, body, status, timers, completed, wakes, had_timers, shape,
                    self._has_history)
        # fmt: on
        return Completed(envelope, Effects(save, sent, cancelled, tuple(ctx.statements), claims, ctx.unheard))

    def _unstarted(self, cell: BelievedState, envelope: Envelope) -> Outcome:
        if cell.completed:
            return self._unwanted(envelope, "finished", "came after the saga had finished")
        return self._unwanted(envelope, "missing", "found no saga instance")

    def _unexpected(self, cell: BelievedState, envelope: Envelope) -> Outcome:
        where = f"in status {cell.status!r}" if self._has_status else "in its present state"
        return self._unwanted(envelope, "unexpected", f"has no reaction {where}")

    def _keyless(self, envelope: Envelope) -> Outcome:
        definition = self._definition
        known = definition.reactions.get(envelope.message_type)
        if known is None:
            return self._around.failing.unknown(definition, envelope, UnknownMessageType(envelope.message_type))
        with_key(definition, envelope, self._around.codec)  # raises what makes the key unusable
        return self._unwanted(envelope, "no_key", f"names no instance: {known[0].no_key}")

    def _begin_timer(self, cell: BelievedState, envelope: Envelope) -> Run | Outcome:
        name = envelope.timer or ""
        if name == STUCK:
            return self._begin_stuck(cell, envelope)
        if cell.timers.get(name) != envelope.message_id:
            return Discarded(envelope, f"timer {name!r} was cancelled or replaced")
        reaction = self._definition.timers.get(name)
        if reaction is None:
            return self._around.failing.unknown(self._definition, envelope, UnknownMessageType(timer_type(name)))
        state = self._state(cell)
        cell.lend()
        return Run(reaction, None, Context(envelope, self._sender, self._now()), envelope, state, cell)

    def _begin_stuck(self, cell: BelievedState, envelope: Envelope) -> Run | Outcome:
        definition = self._definition
        if cell.version == 0 or cell.completed or version_of(envelope) != cell.version:
            return Discarded(envelope, "the instance is no longer stuck")
        if (reaction := definition.timers.get(STUCK)) is not None:
            state = self._state(cell)
            cell.lend()
            return Run(reaction, None, Context(envelope, self._sender, self._now()), envelope, state, cell)
        if definition.options.on_stuck == "alarm":
            return Discarded(envelope, "an alarm is all that is wanted of a stuck instance")
        status = f" in status {cell.status!r}" if self._has_status else ""
        reason = f"stuck: {envelope.partition_key} has not changed since version {cell.version}{status}"
        return DeadLettered(envelope=envelope, cause=Cause.STUCK, reason=reason)

    def _unwanted(self, envelope: Envelope, case: str, why: str) -> Outcome:
        return unwanted(self._definition, envelope, self._around.clock.now(), case, why)

    def _state(self, cell: BelievedState) -> Saga:
        if cell.state is not None:
            return cell.state
        state, carried = self._states.read(self._definition.cls, cell.body or b"", cell.shape)
        cell.was_read(state, carried)
        return state

    def _changed_timers(
        self, ctx: Context, fired: Envelope, before: dict[str, str]
    ) -> tuple[dict[str, str], tuple[Envelope, ...], tuple[str, ...]]:
        """What the run leaves of the instance's timers, those that it sets, and the names of those that it cancels."""
        definition, timers = self._definition, dict(before)
        if fired.timer is not None:
            timers.pop(fired.timer, None)
        sent: list[Envelope] = []
        cancelled: list[str] = []
        for name, envelope in ctx.timer_changes.items():
            gone = definition.names_of_timer(name)
            if envelope is not None:
                if name not in definition.timers:
                    problem = f"timer {name!r} is set, but no @timer({name!r}) handles it"
                    raise HandlingError(problem, saga=definition.name, key=ctx.key)
                gone = [other for other in gone if other != name]  # the store replaces one of the same name
                timers[name] = envelope.message_id
                sent.append(envelope)
            cancelled += [other for other in gone if timers.pop(other, None) is not None]
        return timers, tuple(sent), tuple(cancelled)

    def _has_moved(self, cell: BelievedState, status: str | None, *, completed: bool) -> bool:
        """Whether what was not wanted before this run may be wanted after it."""
        waits_by_status = self._definition.waits_by_status
        return cell.version == 0 or completed or cell.completed or not waits_by_status or status != cell.status


def _starter(definition: SagaDefinition, message_type: str) -> Starter | None:
    return definition.starter(message_type) if message_type in definition.starting else None
