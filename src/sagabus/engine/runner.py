"""One mailbox at a time: its messages run in order, and what each came to goes to the committer.

Between `worker` (which fills mailboxes) and `processing` (which runs user code). A handler that asked for the
connection has its run and its commit in one transaction of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import msgspec

from sagabus.clock import Clock, sleep
from sagabus.definitions.handler import HandlerDefinition
from sagabus.definitions.saga import SagaDefinition
from sagabus.engine.committer import Committer
from sagabus.engine.flush import Entry
from sagabus.engine.in_flight import InFlight
from sagabus.engine.mailbox import Mailbox
from sagabus.engine.processing import Processing
from sagabus.engine.reactions import every_reaction
from sagabus.engine.routing import LiveRouting
from sagabus.engine.run import Run
from sagabus.engine.runner_pool import BURST, RunnerPool
from sagabus.envelope import Envelope
from sagabus.errors import StoreError, TransactionLost
from sagabus.failpoint import hit
from sagabus.outcome import Completed, Outcome, Stashed
from sagabus.refs import LaneLike
from sagabus.store import Queue, Unit

log = logging.getLogger("sagabus")

_PAUSE_AFTER_ERROR = 0.2


class Gate(Protocol):
    """Whom to ask whether a message may begin."""

    watching: bool

    def hold_back(self, mailbox: Mailbox) -> bool:
        """Whether the next message may not begin yet; the mailbox is offered again when it may."""
        ...

    def look(self) -> None:
        """A run has ended: there may be room for another."""
        ...


def _no_other() -> None:
    """Who waits with one mailbox goes on with none."""


class Runner:
    """Serves mailboxes; any number at once, each by one runner."""

    stopping = False

    def __init__(
        self,
        store: Queue,
        routing: LiveRouting,
        processing: Processing,
        definitions: Mapping[str, HandlerDefinition | SagaDefinition],
        hand: InFlight,
        *,
        clock: Clock,
        runners: RunnerPool,
        committer: Committer,
        gate: Gate,
    ) -> None:
        """`gate` decides whether a message may begin."""
        self._store = store
        self._routing = routing
        self._processing = processing
        self._is_timed = processing.observers.are_timing or committer.is_timing
        self._begin = self._timed_begin if self._is_timed else processing.begin
        self._process, self._monotonic = processing.begin, clock.monotonic
        self._took = 0.0
        """Seconds that the latest run took, if an observer asks."""
        self._hand = hand
        self._clock = clock
        self._runners, self._committer, self._gate = runners, committer, gate
        self._lending = frozenset(
            name
            for name, definition in definitions.items()
            if any(reaction.wants_connection for reaction in every_reaction(definition))
        )

    def serve(self, mailbox: Mailbox) -> Awaitable[None] | None:
        """Run what waits in the mailbox, and in those that are ready after it; what has to be waited for ends that."""
        left = self._run_on(mailbox, self._runners.another)
        return None if left is None else self._go_on(*left)

    def _run_on(  # noqa: C901  # each call less counts here, and all of it is one loop
        self, mailbox: Mailbox, another: Callable[[], Mailbox | None]
    ) -> tuple[Mailbox, Run | None] | None:
        """Run message after message for as long as nothing has to be waited for. Then the mailbox with messages left,
        and the run that has to be waited for, if one has.

        The plain way of most messages: from the queue to the committer without a turn of the event loop.
        """
        in_flight, committer, runners, begin = self._hand.envelopes, self._committer, self._runners, self._begin
        gate, lending = self._gate, self._lending
        try:
            while True:
                cell = mailbox.cell
                waits = (cell is None and mailbox.lacks_state) or gate.watching or mailbox.definition.name in lending
                while not (waits or self.stopping or committer.is_full or runners.served >= BURST):
                    envelope = mailbox.begin_next_of(in_flight)
                    if envelope is None:
                        break
                    outcome = begin(mailbox, envelope)
                    if isinstance(outcome, Run):
                        return mailbox, outcome
                    hit("handle.returned")
                    if type(outcome) is Completed and (cell is None or not (cell.stash or envelope.stashed)):
                        committer.add(mailbox, outcome, self._took)
                    else:
                        self.finish(mailbox, outcome, mailbox.epoch)
                    runners.served += 1
                    waits = not mailbox.queue
                if mailbox.queue:
                    mailbox.ended()
                    return mailbox, None
                mailbox.rest()
                following = another()
                if following is None:
                    return None
                mailbox = following
        except BaseException:
            self.leave(mailbox)
            raise

    async def _go_on(self, mailbox: Mailbox, run: Run | None) -> None:
        waits = False
        try:
            while True:
                if run is not None:
                    await self._wait_for(mailbox, run)
                elif not mailbox.queue or self.stopping:
                    return
                elif self._runners.served >= BURST:
                    await self._runners.breathe()
                elif self._committer.is_full:
                    await self._committer.room()
                elif self._gate.watching and self._gate.hold_back(mailbox):
                    waits = True
                    return
                elif self._gate.watching or mailbox.place[0] in self._lending or mailbox.lacks_state:
                    await self._one(mailbox)
                left = self._run_on(mailbox, _no_other)
                run = None if left is None else left[1]
        finally:
            self.leave(mailbox, waits=waits)

    def leave(self, mailbox: Mailbox, *, waits: bool = False) -> None:
        """Go away from a mailbox. `waits`: for the gate, which will offer it again."""
        broke_off = mailbox.break_off()
        if broke_off is not None:
            # Rolled back: it stays in the store, and runs again elsewhere or later.
            self._hand.put_down(broke_off, mailbox)
        if (broke_off is not None or mailbox.queue) and not self.stopping and not waits:
            # The next worker that serves this key gets all of it from the store, in order.
            self._hand.drop(mailbox)
            self._hand.rescan_lane(mailbox.place)
        mailbox.rest()

    async def _wait_for(self, mailbox: Mailbox, run: Run) -> None:
        epoch = mailbox.epoch
        # Another runner looks after the other mailboxes meanwhile.
        self._runners.relieve()
        outcome = await self._ended_run(mailbox, run)
        hit("handle.returned")
        self.finish(mailbox, outcome, epoch)
        self._ended(mailbox)

    def _timed_begin(self, mailbox: Mailbox, envelope: Envelope, unit: Unit | None = None) -> Run | Outcome:
        began = self._monotonic()
        begun = self._process(mailbox, envelope, unit)
        if type(begun) is Run:
            begun.started = began
        else:
            self._took = self._monotonic() - began
        return begun

    async def _ended_run(self, mailbox: Mailbox, run: Run, unit: Unit | None = None) -> Outcome:
        outcome = await self._processing.end(mailbox, run, unit)
        if self._is_timed:
            self._took = self._clock.monotonic() - run.started
        return outcome

    async def _one(self, mailbox: Mailbox) -> None:
        """Run one message for which something has to be waited: its state, a transaction, or leave to begin."""
        envelope = mailbox.begin_next()
        self._runners.relieve()
        if mailbox.lacks_state:
            await self._load(mailbox)
        if self._hand.holds(envelope, mailbox):  # or its lane was lost meanwhile
            if mailbox.place[0] in self._lending and self._lends_to(mailbox, envelope):
                await self._alone(mailbox, envelope)
            elif isinstance(begun := self._begin(mailbox, envelope), Run):
                await self._wait_for(mailbox, begun)
                return
            else:
                hit("handle.returned")
                self.finish(mailbox, begun, mailbox.epoch)
        self._ended(mailbox)

    def _ended(self, mailbox: Mailbox) -> None:
        mailbox.ended()
        self._runners.served += 1
        self.look()

    def look(self) -> None:
        """A run has ended: another may begin that waits for that."""
        if self._gate.watching:
            self._gate.look()

    def begin_next(self, mailbox: Mailbox) -> Envelope | None:
        """The next message of a mailbox, which runs now by other means; None where it is for `serve` to run."""
        queue = mailbox.queue
        if self.stopping or self._gate.watching or not queue or queue[0].damage is not None:
            return None
        return mailbox.begin_next_of(self._hand.envelopes)

    def finish(self, mailbox: Mailbox, outcome: Outcome, epoch: int, took: float | None = None) -> None:
        """Queue the outcome of a run that began at this epoch of its mailbox."""
        envelope = outcome.envelope
        if mailbox.epoch != epoch:
            # Meanwhile a commit has said that this run saw a state that never was.
            if self._hand.holds(envelope, mailbox):
                mailbox.put_back([envelope])
            return
        self._committer.finish(mailbox, outcome, self._took if took is None else took)
        cell = mailbox.cell
        if cell is not None and (cell.stash or envelope.stashed or type(outcome) is Stashed):
            self._keep_stash(mailbox, outcome)

    def _keep_stash(self, mailbox: Mailbox, outcome: Outcome) -> None:
        """The books of what waits for the saga; the store's own are kept by the commit."""
        cell, envelope = mailbox.cell, outcome.envelope
        if cell is None:
            return
        if envelope.stashed:
            cell.take_up(envelope)
        if isinstance(outcome, Stashed):
            # At once: the next run may be the one that it waits for.
            until = self._clock.now() + outcome.patience
            cell.put_aside(msgspec.structs.replace(envelope, stashed=True, due_at=until))
        elif isinstance(outcome, Completed) and outcome.effects.save is not None and outcome.effects.save.wakes:
            # One whose stashing is still on its way into the store comes back from there.
            fresh = [other for other in cell.wake() if other.position not in self._hand.envelopes]
            self._hand.take_first(fresh, mailbox)

    async def _load(self, mailbox: Mailbox) -> None:
        epoch = mailbox.epoch
        while True:
            try:
                (loaded,) = await self._store.load(mailbox.place[0], [mailbox.key or ""])
            except StoreError as error:
                log.error("cannot load %s %s: %s", mailbox.place[0], mailbox.key, error)
                await sleep(self._clock, _PAUSE_AFTER_ERROR)
            else:
                break
        if mailbox.epoch == epoch and mailbox.cell is None:
            in_flight = self._hand.envelopes
            stash = tuple(envelope for envelope in loaded.stashed if envelope.position not in in_flight)
            self._hand.known.believe(mailbox, loaded.instance, stash)

    def _lends_to(self, mailbox: Mailbox, envelope: Envelope) -> bool:
        try:
            reaction = self._processing.reaction(mailbox, envelope)
        except Exception as error:  # noqa: BLE001  # the user's `when`; told by the run itself
            log.debug("%s: %s", mailbox.place[0], type(error).__name__)
            return False
        return reaction is not None and reaction.wants_connection

    async def _alone(self, mailbox: Mailbox, envelope: Envelope) -> None:
        """Run with the open transaction in the handler's hands, and commit it with the outcome."""
        await mailbox.all_settled()
        if not self._hand.holds(envelope, mailbox):
            return  # its lane was lost meanwhile
        if mailbox.lacks_state:
            mailbox.put_back([envelope])
            return
        epoch, has_begun = mailbox.epoch, False
        try:
            async with self._store.transaction() as unit:
                has_begun = True
                begun = self._begin(mailbox, envelope, unit)
                outcome = await self._ended_run(mailbox, begun, unit) if isinstance(begun, Run) else begun
                took = self._took
                hit("unit.handler_returned")
                if isinstance(outcome, Completed) and mailbox.epoch == epoch:
                    entry = Entry(mailbox, outcome, self._routing.table.version, took=took)
                    epochs: dict[LaneLike, int] = {mailbox.place: mailbox.lane_epoch}
                    batch = self._committer.persisting.batch([entry], entry.routing, epochs)
                    committing = self._clock.monotonic()
                    (answer,) = await unit.commit(batch)
                    mailbox.ended()
                    self._committer.settle([entry], [answer], self._clock.monotonic() - committing)
                    self._keep_stash(mailbox, outcome)
                    return
        except StoreError as error:
            log.warning("%s: the transaction of %s was lost: %s", mailbox.place[0], envelope.message_id, error)
            failing = self._processing.failing
            # A transaction that user code ended is user code's failure; a lost database is not.
            if isinstance(error, TransactionLost):
                seen = mailbox.seen()
                outcome = failing.failed(mailbox.definition, envelope, error, seen=seen, in_transaction=True)
            else:
                outcome = failing.interrupted(mailbox.definition, envelope, error if has_begun else None)
            mailbox.forget_state()
        self.finish(mailbox, outcome, epoch)
