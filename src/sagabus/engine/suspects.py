"""Messages that were in the hands of a worker that died: each runs alone, its attempt counted before it begins.

One of them may have killed the process (out of memory, a fault in native code), and no `except` will ever see that.
Alone, it harms no neighbour; counted first, it cannot go on for ever.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

import msgspec

from sagabus.engine.in_flight import InFlight
from sagabus.engine.processing import Processing
from sagabus.engine.sender import Sender
from sagabus.engine.settlement import Settlement
from sagabus.envelope import Envelope
from sagabus.failpoint import hit
from sagabus.outcome import Attempted, Verdict
from sagabus.store import Batch, Store

log = logging.getLogger("sagabus")


class Intake(Protocol):
    """What is needed of the worker."""

    hand: InFlight

    @property
    def stopping(self) -> bool:
        """Whether it takes nothing new any more."""
        ...

    async def settle_down(self) -> None:
        """Wait until nothing is in hand and nothing on its way into the store, or it stops; the leases are kept."""
        ...

    async def renew_when_due(self) -> None:
        """Keep the leases."""
        ...

    async def dispatch(self, envelopes: Sequence[Envelope]) -> None:
        """Have envelopes run."""
        ...


class Suspects:
    """Runs suspects one after another while nothing else runs in this worker."""

    def __init__(
        self, intake: Intake, store: Store, sender: Sender, processing: Processing, settlement: Settlement
    ) -> None:
        self._intake = intake
        self._store = store
        self._sender = sender
        self._processing = processing
        self._settlement = settlement
        self._in_doubt: dict[int, tuple[int, int]] = {}
        """By position, the epoch and the attempt that a commit without an answer was to write."""

    async def run(self, envelopes: Sequence[Envelope]) -> None:
        """Run each of them alone, in the order of the store."""
        log.warning("%d messages were in the hands of a worker that died: each runs alone now", len(envelopes))
        await self._intake.settle_down()
        for envelope in sorted(envelopes, key=lambda suspect: suspect.position):
            if self._intake.stopping:
                return
            await self._intake.renew_when_due()
            if (envelope.channel, envelope.lane) in self._intake.hand.lanes:
                await self._one(envelope)

    async def _one(self, envelope: Envelope) -> None:
        mailbox = self._intake.hand.mailbox(envelope)
        if mailbox.held_through >= self._intake.hand.fetches and envelope.due_at == 0:
            return
        outcome = None if self._is_counted(envelope) else self._processing.failing.killer(mailbox.definition, envelope)
        if outcome is not None:
            self._intake.hand.take(envelope, mailbox)
            self._settlement.finish(mailbox, outcome)
            await self._intake.settle_down()
            return
        run = await self._count(envelope)
        if run is None:
            return
        counted = self._processing.failing.counted_before
        counted.add(envelope.position)
        try:
            await self._intake.dispatch([run])
            await self._intake.settle_down()
        finally:
            counted.discard(envelope.position)

    def _is_counted(self, envelope: Envelope) -> bool:
        """Whether the run to come has been counted, by a commit whose answer was lost."""
        return self._in_doubt.get(envelope.position) == (self._epoch(envelope), envelope.attempt)

    def _epoch(self, envelope: Envelope) -> int:
        return self._intake.hand.lanes[envelope.channel, envelope.lane].epoch

    async def _count(self, envelope: Envelope) -> Envelope | None:
        """The envelope with the run to come counted, once; None for one that is gone."""
        if self._is_counted(envelope):
            del self._in_doubt[envelope.position]
            return envelope
        epoch = self._epoch(envelope)
        batch = Batch([Attempted(envelope)], self._sender.table.version, {(envelope.channel, envelope.lane): epoch})
        counted = msgspec.structs.replace(envelope, attempt=envelope.attempt + 1)
        self._in_doubt[envelope.position] = (epoch, counted.attempt)
        (answer,) = await self._store.commit(batch)
        hit("handle.suspect_counted")
        del self._in_doubt[envelope.position]
        return counted if answer.verdict is Verdict.COMMITTED else None
