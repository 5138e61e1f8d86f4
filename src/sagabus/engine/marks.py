"""The marks of suspects: deaths that are counted before a run begins, and taken back when the worker outlived it.

A mark is written by a commit of its own, one for a whole group. It goes with the outcome of the run: with the row, or
taken back by the retry. What is left when the worker stops or loses a lane is taken back here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from sagabus.engine.in_flight import InFlight, Mark
from sagabus.engine.mailbox import Mailbox
from sagabus.engine.routing import LiveRouting
from sagabus.envelope import Envelope
from sagabus.errors import StoreError
from sagabus.failpoint import hit
from sagabus.outcome import Marked, Settled, Verdict
from sagabus.refs import LaneLike
from sagabus.store import Batch, Commit

log = logging.getLogger("sagabus")


class Chosen(NamedTuple):
    """A suspect that is to be marked, in the mailbox of its key."""

    mailbox: Mailbox
    envelope: Envelope


class Marks:
    """Writes the marks of one worker and keeps them in `InFlight.marked`."""

    def __init__(self, hand: InFlight, store: Commit, routing: LiveRouting) -> None:
        self._hand = hand
        self._store = store
        self._routing = routing
        self._in_doubt: dict[int, Mark] = {}
        """By position: what a commit without an answer was to write."""
        self.orphaned: list[Envelope] = []
        """Marked, and their lanes belong to another worker now."""

    async def write(self, chosen: Sequence[Chosen]) -> list[Settled]:
        """Count a death of each, in one commit. A StoreError leaves them in doubt: the store says later what holds."""
        epochs: dict[LaneLike, int] = {mailbox.place: mailbox.lane_epoch for mailbox, _ in chosen}
        marks = [Mark(_counted(envelope), mailbox.lane_epoch) for mailbox, envelope in chosen]
        doubtful = self._in_doubt.keys() & {mark.envelope.position for mark in marks}
        self._in_doubt.update((mark.envelope.position, mark) for mark in marks)
        batch = Batch([Marked(envelope) for _, envelope in chosen], self._routing.table.version, epochs)
        answers = await self._store.commit(batch)
        hit("handle.suspect_counted")
        for (mailbox, envelope), mark, answer in zip(chosen, marks, answers, strict=True):
            if answer.verdict is Verdict.COMMITTED:
                del self._in_doubt[envelope.position]
                self._note(mailbox, mark)
            elif envelope.position not in doubtful:
                del self._in_doubt[envelope.position]
        return list(answers)

    def settle_doubt(self, mailbox: Mailbox, envelope: Envelope) -> bool:
        """Whether an envelope carries the mark of a commit whose answer was lost; it is marked from now on."""
        mark = self._in_doubt.get(envelope.position)
        if mark is None or mark.epoch != mailbox.lane_epoch or mark.envelope.deaths != envelope.deaths:
            return False
        del self._in_doubt[envelope.position]
        self._note(mailbox, mark)
        return True

    def check_lanes(self) -> None:
        """Take note of lanes that were lost: this worker lives, so what it marked there has not killed it."""
        for position, mark in list(self._hand.marked.items()):
            if not self._is_ours(mark):
                self._hand.unmark(position)
                self.orphaned.append(mark.envelope)

    async def take_back_orphans(self) -> None:
        """Take the marks back that were left on lost lanes; once, since a repetition could take back another's."""
        if self.orphaned:
            orphans, self.orphaned = self.orphaned, []
            await self._take_back(orphans)

    async def take_back(self) -> None:
        """Take all marks back of messages that do not run and whose outcome is not on its way."""
        idle = [mark for position, mark in self._hand.marked.items() if self._is_idle(position)]
        for mark in idle:
            self._hand.unmark(mark.envelope.position)
        self.orphaned += [mark.envelope for mark in idle]
        await self.take_back_orphans()

    async def _take_back(self, envelopes: Iterable[Envelope]) -> None:
        outcomes = [Marked(envelope, deaths=-1) for envelope in envelopes]
        if not outcomes:
            return
        try:
            await self._store.commit(Batch(outcomes, self._routing.table.version, {}))
        except StoreError as error:
            log.warning("could not take back the deaths of %d messages; they stay counted: %s", len(outcomes), error)

    def _note(self, mailbox: Mailbox, mark: Mark) -> None:
        if not self._is_ours(mark):
            self.orphaned.append(mark.envelope)
            return
        self._hand.mark(mark)
        mailbox.replace(mark.envelope)

    def _is_ours(self, mark: Mark) -> bool:
        held = self._hand.lanes.get((mark.envelope.channel, mark.envelope.lane))
        return held is not None and held.epoch == mark.epoch

    def is_to_run(self, position: int) -> bool:
        """Whether a message that is marked runs or is about to: neither if its outcome is on its way."""
        mailbox = self._hand.envelopes.get(position)
        if mailbox is None:
            return False
        return (mailbox.running is not None and mailbox.running.position == position) or _waits(mailbox, position)

    def _is_idle(self, position: int) -> bool:
        mailbox = self._hand.envelopes.get(position)
        return mailbox is None or _waits(mailbox, position)


def _waits(mailbox: Mailbox, position: int) -> bool:
    return any(envelope.position == position for envelope in mailbox.queue)


def _counted(envelope: Envelope) -> Envelope:
    return msgspec.structs.replace(envelope, deaths=envelope.deaths + 1)
