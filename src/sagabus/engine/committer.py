"""The third verb of the way: outcomes of handlers commit together.

Previous stop: `processing`, through the runner. Next stop: the store, and with its answers `settlement`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter

from sagabus.clock import Clock
from sagabus.engine.flush import FENCED, STEPS_OF_A_MARK, Entry, Flush, bytes_of
from sagabus.engine.group_commit import LARGEST_FLUSH_BYTES, GroupCommit
from sagabus.engine.health import Health, refused_by_store
from sagabus.engine.journal import Journal
from sagabus.engine.leases import Leases
from sagabus.engine.mailbox import Mailbox, settle_all
from sagabus.engine.routing import LiveRouting
from sagabus.engine.runner_pool import RunnerPool
from sagabus.engine.settlement import Settlement
from sagabus.engine.shares import Shares
from sagabus.envelope import Envelope
from sagabus.failpoint import hit
from sagabus.outcome import Completed, Outcome, Settled
from sagabus.store import Commit

log = logging.getLogger("sagabus")

_MOST_BYTES = 4 * LARGEST_FLUSH_BYTES


class Committer:
    """Commits outcomes, and does what follows from the answers. A lost or full database is waited out."""

    def __init__(
        self,
        store: Commit,
        routing: LiveRouting,
        clock: Clock,
        runners: RunnerPool,
        *,
        settlement: Settlement,
        leases: Leases,
        journal: Journal | None = None,
    ) -> None:
        """`journal`: what writes a row for each handled message, if it is wanted."""
        self._routing, self._clock = routing, clock
        self.persisting = Flush(store, routing, clock, journal)
        self.is_timing = journal is not None
        """Whether it asks how long runs take."""
        self._runners, self._settlement, self._leases = runners, settlement, leases
        self._listeners: list[asyncio.Event] = []
        self._group = GroupCommit[Entry](
            self._flush,
            self._give_up,
            lambda: runners.loaded,
            size=attrgetter("size"),
            loss="commits no outcomes of handlers",
        )
        self._size = 0
        self.is_full = False
        """Whether so many bytes wait to be committed that no further run should begin."""
        self._lighter = asyncio.Event()

    @property
    def busy(self) -> bool:
        """Whether outcomes wait or are being committed."""
        return self._group.busy

    def add(self, mailbox: Mailbox, outcome: Outcome, took: float = 0.0) -> None:
        """Queue an outcome, of a run that took so many seconds."""
        mailbox.one_more()
        if type(outcome) is Completed:
            effects = outcome.effects
            save, steps = effects.save, len(effects.statements)
            size = 0 if save is None else len(save.state) << save.recorded
            for sent in effects.sent:
                size += len(sent.body)
            self._size += size
            if self._size > _MOST_BYTES:
                self.is_full = True
        else:
            size, steps = 0, STEPS_OF_A_MARK
        self._group.add(Entry(mailbox, outcome, self._routing.table.version, size, steps, took))

    def finish(self, mailbox: Mailbox, outcome: Outcome, took: float = 0.0) -> None:
        """Queue an outcome that is no plain success; if it holds back its key, nothing more of the key runs here."""
        self.add(mailbox, self._settlement.prepared(mailbox, outcome), took)

    def bury_killer(self, mailbox: Mailbox, envelope: Envelope) -> None:
        """Have a message held in the dead letters whose worker has died too often."""
        self.finish(mailbox, self._settlement.died(mailbox, envelope))

    def listen(self) -> asyncio.Event:
        """An event that is set whenever outcomes are settled; who waits for it clears it."""
        self._listeners.append(asyncio.Event())
        return self._listeners[-1]

    async def room(self) -> None:
        """Wait until fewer bytes wait to be committed."""
        while self.is_full:
            self._lighter.clear()
            await self._lighter.wait()

    def withdraw(self, mailboxes: Collection[Mailbox]) -> dict[Mailbox, list[Envelope]]:
        """Take the outcomes of some mailboxes that are not in flight back out; the envelopes of each."""
        back: dict[Mailbox, list[Envelope]] = {mailbox: [] for mailbox in mailboxes}
        left: list[Entry] = []
        for entry in self._group.waiting:
            mine = back.get(entry.mailbox)
            if mine is None:
                left.append(entry)
            else:
                mine.append(entry.outcome.envelope)
                self._settled_bytes(entry.size)
        self._group.waiting = left
        for mailbox, envelopes in back.items():
            settle_all([mailbox] * len(envelopes))
        return back

    async def start(self) -> None:
        """Nothing runs until there is an outcome."""

    async def stop(self, grace: float) -> None:
        """Commit everything, within `grace` seconds, and give up the rest."""
        try:
            if grace > 0 and not await self._group.drain(grace):
                log.error("could not commit the last outcomes; their messages run again")
        finally:
            await self._group.stop()

    def health(self) -> Health:
        """Whether it commits."""
        health, trouble = self._group.health(), self.persisting.trouble
        return health if trouble is None else refused_by_store(health, "the worker cannot commit", trouble)

    async def _flush(self, entries: list[Entry]) -> None:
        hit("commit.gathered")
        shares = Shares[Entry](len(entries))
        try:
            while entries:
                began = self._clock.monotonic()
                part, answers = await self.persisting.commit(entries, shares)
                self._tell(part, answers, self._clock.monotonic() - began)
        except BaseException:
            self._give_up(entries)  # the outcomes left there have no answer yet
            raise
        hit("commit.settled")

    def _tell(self, entries: Sequence[Entry], answers: Sequence[Settled], seconds: float = 0.0) -> None:
        if not entries:
            return
        settle_all([entry.mailbox for entry in entries])
        self._settled_bytes(bytes_of(entries))
        self.settle(entries, answers, seconds)

    def settle(self, entries: Sequence[Entry], answers: Sequence[Settled], seconds: float = 0.0) -> None:
        """Take note of the answers to one commit that took `seconds`, of a whole flush or of a single outcome, and do
        what follows.
        """
        back, instead, has_moved = self._settlement.settle(entries, answers, seconds)
        if back:
            self._rewind(back)
        for mailbox, outcome in instead:
            self.finish(mailbox, outcome)
        self._settlement.forget(entries)
        if has_moved:
            self._leases.expect_changes()
        for listener in self._listeners:
            listener.set()

    def _rewind(self, back: Mapping[Mailbox, list[Envelope]]) -> None:
        withdrawn = self.withdraw(back)
        for mailbox, envelopes in back.items():
            mailbox.rewind(envelopes + withdrawn[mailbox])
            if mailbox.queue:
                self._runners.offer(mailbox)

    def _settled_bytes(self, size: int) -> None:
        self._size -= size
        if self.is_full and self._size <= _MOST_BYTES:
            self.is_full = False
            self._lighter.set()

    def _give_up(self, entries: list[Entry]) -> None:
        # Cut off before the answer: out of our hands, and the rows say what is still to be done.
        self._tell(entries, [FENCED] * len(entries))
