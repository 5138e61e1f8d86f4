"""One mailbox at a time: its messages run in order, and what each came to goes to the committer.

Between `worker` (which fills mailboxes) and `processing` (which runs user code). A handler that asked for the
connection has its run and its commit in one transaction of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Protocol

import msgspec

from sagabus.clock import Clock
from sagabus.engine.in_flight import InFlight
from sagabus.engine.mailbox import BelievedState, Mailbox
from sagabus.engine.processing import Processing
from sagabus.engine.reactions import every_reaction
from sagabus.engine.runner_pool import RunnerPool
from sagabus.engine.sender import Sender
from sagabus.engine.settlement import Settlement
from sagabus.envelope import Envelope
from sagabus.errors import StoreError, TransactionLost
from sagabus.failpoint import hit
from sagabus.handler import HandlerDefinition
from sagabus.outcome import Completed, Outcome, Stashed
from sagabus.saga import SagaDefinition
from sagabus.store import Batch, Store

log = logging.getLogger("sagabus")


class Gate(Protocol):
    """Whom to ask whether a message may begin."""

    watching: bool

    def hold_back(self, mailbox: Mailbox) -> bool:
        """Whether the next message may not begin yet; the mailbox is offered again when it may."""
        ...

    def look(self) -> None:
        """A run has ended: there may be room for another."""
        ...


class Runner:
    """Serves mailboxes; any number at once, each by one runner."""

    stopping = False

    def __init__(
        self,
        store: Store,
        sender: Sender,
        processing: Processing,
        definitions: Mapping[str, HandlerDefinition | SagaDefinition],
        hand: InFlight,
        *,
        clock: Clock,
    ) -> None:
        self._store = store
        self._sender = sender
        self._processing = processing
        self._hand = hand
        self._clock = clock
        self._lending = frozenset(
            name
            for name, definition in definitions.items()
            if any(reaction.wants_connection for reaction in every_reaction(definition))
        )

    def use(self, runners: RunnerPool, settlement: Settlement, gate: Gate) -> None:
        """Whom to ask for relief, where outcomes go, and what decides whether a message may begin."""
        self._runners = runners
        self._settlement = settlement
        self._gate = gate

    async def serve(self, mailbox: Mailbox) -> None:
        """Run what waits in the mailbox, until it is empty or the worker stops."""
        waits = False
        try:
            while mailbox.queue and not self.stopping:
                if self._settlement.is_full:
                    await self._settlement.room()
                    continue
                if self._gate.watching and (waits := self._gate.hold_back(mailbox)):
                    break
                envelope = mailbox.running = mailbox.queue.popleft()
                # Whatever comes next may wait: somebody else looks after the other mailboxes then.
                self._runners.relieve()
                await self._one(mailbox, envelope)
                mailbox.running = None
                if self._gate.watching:
                    self._gate.look()
                if self._runners.breath_due():
                    await self._runners.breathe()
        finally:
            broke_off = mailbox.running is not None
            if mailbox.running is not None:
                # Rolled back: it stays in the store, and runs again elsewhere or later.
                self._hand.put_down(mailbox.running, mailbox)
                mailbox.running = None
                mailbox.cell = None
            if (broke_off or mailbox.queue) and not self.stopping and not waits:
                # Whoever serves this key next gets all of it from the store, in order.
                self._hand.drop(mailbox)
                self._hand.rescan_lane(mailbox.place)
            mailbox.active = False

    async def _one(self, mailbox: Mailbox, envelope: Envelope) -> None:
        if mailbox.cell is None and isinstance(mailbox.definition, SagaDefinition) and mailbox.key is not None:
            await self._load(mailbox)
        if not self._hand.holds(envelope, mailbox):
            return  # its lane was lost meanwhile
        if mailbox.place[0] in self._lending and self._lends_to(mailbox, envelope):
            await self._alone(mailbox, envelope)
            return
        epoch = mailbox.epoch
        outcome = await self._processing.run(mailbox, envelope)
        hit("handle.returned")
        self._finish(mailbox, envelope, outcome, epoch)

    def _finish(self, mailbox: Mailbox, envelope: Envelope, outcome: Outcome, epoch: int) -> None:
        if mailbox.epoch != epoch:
            # Meanwhile a commit has said that this run saw a state that never was.
            if self._hand.holds(envelope, mailbox):
                mailbox.put_back([envelope])
            return
        self._settlement.finish(mailbox, outcome)
        cell = mailbox.cell
        if cell is not None and (cell.stash or envelope.stashed or type(outcome) is Stashed):
            self._keep_stash(mailbox, outcome)

    def _keep_stash(self, mailbox: Mailbox, outcome: Outcome) -> None:
        """The books of what waits for the saga; the store's own are kept by the commit."""
        cell, envelope = mailbox.cell, outcome.envelope
        if cell is None:
            return
        if envelope.stashed:
            cell.stash = [other for other in cell.stash if other.position != envelope.position]
        if isinstance(outcome, Stashed):
            # At once: the next run may be the one that it waits for.
            until = self._clock.now() + outcome.patience
            cell.stash.append(msgspec.structs.replace(envelope, stashed=True, due_at=until))
        elif isinstance(outcome, Completed) and outcome.effects.save is not None and outcome.effects.save.wakes:
            waiting, cell.stash = cell.stash, []
            # One whose stashing is still on its way into the store comes back from there.
            fresh = [other for other in waiting if other.position not in self._hand.envelopes]
            for other in fresh:
                self._hand.take(other, mailbox)
            mailbox.queue.extendleft(reversed(fresh))

    async def _load(self, mailbox: Mailbox) -> None:
        epoch = mailbox.epoch
        while True:
            try:
                (loaded,) = await self._store.load(mailbox.place[0], [mailbox.key or ""])
            except StoreError as error:
                log.error("cannot load %s %s: %s", mailbox.place[0], mailbox.key, error)
                await self._settlement.pause()
            else:
                break
        if mailbox.epoch == epoch and mailbox.cell is None:
            in_hand = self._hand.envelopes
            stash = [envelope for envelope in loaded.stashed if envelope.position not in in_hand]
            mailbox.cell = BelievedState.of(loaded.instance, stash)

    def _lends_to(self, mailbox: Mailbox, envelope: Envelope) -> bool:
        if mailbox.key is None and isinstance(mailbox.definition, SagaDefinition):
            return False  # it names no instance, so no method will run
        try:
            reaction = self._processing.reaction(mailbox.definition, mailbox, envelope)
        except Exception as error:  # noqa: BLE001  # the user's `when`; told by the run itself
            log.debug("%s: %s", mailbox.place[0], error)
            return False
        return reaction is not None and reaction.wants_connection

    async def _alone(self, mailbox: Mailbox, envelope: Envelope) -> None:
        """Run with the open transaction in the handler's hands, and commit it with the outcome."""
        await mailbox.all_settled()
        if not self._hand.holds(envelope, mailbox):
            return  # its lane was lost meanwhile
        if mailbox.cell is None and isinstance(mailbox.definition, SagaDefinition):
            mailbox.put_back([envelope])
            return
        epoch, has_begun = mailbox.epoch, False
        try:
            async with self._store.transaction() as unit:
                has_begun = True
                outcome = await self._processing.run(mailbox, envelope, unit)
                hit("unit.handler_returned")
                if isinstance(outcome, Completed) and mailbox.epoch == epoch:
                    batch = Batch([outcome], self._sender.table.version, {mailbox.place: mailbox.lane_epoch})
                    (answer,) = await unit.commit(batch)
                    self._settlement.answered(mailbox, outcome, answer)
                    self._keep_stash(mailbox, outcome)
                    return
        except StoreError as error:
            log.warning("%s: the transaction of %s was lost: %s", mailbox.place[0], envelope.message_id, error)
            failing = self._processing.failing
            # A transaction that user code ended is user code's failure; a lost database is not.
            if isinstance(error, TransactionLost):
                outcome = failing.failed(mailbox.definition, envelope, error, in_transaction=True)
            else:
                outcome = failing.interrupted(mailbox.definition, envelope, error if has_begun else None)
            mailbox.cell = None
        self._finish(mailbox, envelope, outcome, epoch)
