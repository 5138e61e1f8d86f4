"""The third verb of the way: what has finished meanwhile commits together, one flush in flight, no timer to tune.

Two queues of this kind: outcomes of handlers (from `processing`, through the worker) and envelopes of publishers (from
`bus`). Alone, one commits at once; under load hundreds share a commit. Next stop: the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from sagabus.clock import Clock
from sagabus.envelope import Envelope
from sagabus.errors import SagaBusError, StoreUnavailable
from sagabus.failpoint import hit
from sagabus.mailbox import Mailbox
from sagabus.outcome import Admission, Outcome, Settled
from sagabus.persisting import FENCED, Entry, Persisting
from sagabus.running import Runners
from sagabus.sending import Sender
from sagabus.store import Store

log = logging.getLogger("sagabus")
T = TypeVar("T")

LARGEST_FLUSH = 2_000
_COMFORTABLE = 512
_TURNS = 8


class GroupCommit(Generic[T]):
    """Collects items and flushes what there is, never two flushes at once.

    `more` says whether further items are a moment away; then a few turns of the event loop are waited, never longer.
    """

    def __init__(
        self,
        flush: Callable[[list[T]], Awaitable[None]],
        give_up: Callable[[list[T]], None],
        more: Callable[[], bool] | None = None,
    ) -> None:
        self._flush = flush
        self._give_up = give_up
        self._more = more or (lambda: False)
        self.waiting: list[T] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether anything waits or is being flushed."""
        return self._task is not None or bool(self.waiting)

    def add(self, item: T) -> None:
        """Queue one item; the flush begins when the event loop is next free, or when the one in flight has ended."""
        self.waiting.append(item)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work(), name="sagabus-group-commit")

    async def drain(self) -> None:
        """Wait until nothing waits and nothing is in flight."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def stop(self) -> None:
        """Give up what still waits, after the flush in flight; calling twice is harmless."""
        self.waiting.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _work(self) -> None:
        try:
            while self.waiting:
                for _ in range(_TURNS):
                    if len(self.waiting) >= _COMFORTABLE or not self._more():
                        break
                    await asyncio.sleep(0)
                batch, self.waiting = self.waiting[:LARGEST_FLUSH], self.waiting[LARGEST_FLUSH:]
                try:
                    await self._flush(batch)
                except Exception:
                    log.exception("a flush broke off")
        except asyncio.CancelledError:
            left, self.waiting = self.waiting, []
            self._give_up(left)
            raise
        finally:
            self._task = None


class Committer:
    """Commits outcomes and tells the worker what became of each. A lost or full database is waited out."""

    def __init__(
        self,
        store: Store,
        sender: Sender,
        clock: Clock,
        runners: Runners,
        *,
        settled: Callable[[Sequence[tuple[Entry, Settled]]], None],
    ) -> None:
        self._sender = sender
        self._persisting = Persisting(store, sender, clock, self._tell)
        self._settled = settled
        self._group = GroupCommit[Entry](self._flush, self._give_up, lambda: runners.loaded)

    @property
    def busy(self) -> bool:
        """Whether outcomes wait or are being committed."""
        return self._group.busy

    def add(self, mailbox: Mailbox, outcome: Outcome) -> None:
        """Queue an outcome."""
        mailbox.unflushed += 1
        self._group.add(Entry(mailbox, outcome, self._sender.table.version))

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
        self._group.waiting = left
        for mailbox, envelopes in back.items():
            for _ in envelopes:
                mailbox.one_settled()
        return back

    async def drain(self) -> None:
        """Wait until everything is committed."""
        await self._group.drain()

    async def stop(self) -> None:
        """Give up what is not in flight."""
        await self._group.stop()

    async def _flush(self, entries: list[Entry]) -> None:
        hit("commit.gathered")
        try:
            await self._persisting.persist(entries)
        except BaseException:
            self._give_up(entries)  # what is left there was not told
            raise
        hit("commit.settled")

    def _tell(self, entries: list[Entry], answers: Sequence[Settled]) -> None:
        for entry in entries:
            entry.mailbox.one_settled()
        self._settled(list(zip(entries, answers, strict=True)))

    def _give_up(self, entries: list[Entry]) -> None:
        # Cut off before the answer: out of our hands, and the rows say what is still to be done.
        self._tell(entries, [FENCED] * len(entries))


class Publication:
    """One call of `publish` (or of `publish_many`) that waits for its commit."""

    __slots__ = ("address", "answer", "envelopes", "version")

    def __init__(
        self,
        envelopes: list[Envelope],
        version: int,
        address: Callable[[], list[Envelope]],
        answer: asyncio.Future[tuple[list[Envelope], list[Admission]]],
    ) -> None:
        self.envelopes = envelopes
        self.version = version
        self.address = address
        self.answer = answer


class Publishing:
    """Appends what is published from outside; concurrent calls share a commit."""

    def __init__(self, store: Store, sender: Sender) -> None:
        self._store = store
        self._sender = sender
        self._group = GroupCommit[Publication](self._flush, _unknown)

    @property
    def busy(self) -> bool:
        """Whether publications wait or are being committed."""
        return self._group.busy

    async def append(self, address: Callable[[], list[Envelope]]) -> tuple[list[Envelope], list[Admission]]:
        """Address and append; the envelopes with one answer each. Cancelled, it may have happened: repeat it."""
        hit("append.received")
        answer: asyncio.Future[tuple[list[Envelope], list[Admission]]] = asyncio.get_running_loop().create_future()
        self._group.add(Publication(address(), self._sender.table.version, address, answer))
        hit("append.addressed")
        return await answer

    async def drain(self) -> None:
        """Wait until everything is appended that has been handed in by now."""
        if self.busy:
            with suppress(SagaBusError):  # told to whom it concerns
                await self.append(list)

    async def _flush(self, publications: list[Publication]) -> None:
        waiting = [publication for publication in publications if not publication.answer.cancelled()]
        try:
            await self._append(waiting)
        except SagaBusError as error:
            if len(waiting) == 1 or error.is_transient:
                _fail(waiting, error)
            else:
                for publication in waiting:
                    await self._flush([publication])
        except Exception as error:  # noqa: BLE001  # told to whoever waits
            _fail(waiting, error)
        except asyncio.CancelledError:
            _unknown(waiting)
            raise

    async def _append(self, publications: list[Publication]) -> None:
        while publications:
            version = self._sender.table.version
            for publication in publications:
                if publication.version != version:
                    publication.envelopes, publication.version = publication.address(), version
            everything = [envelope for publication in publications for envelope in publication.envelopes]
            answers: Sequence[Admission] | None = []
            if everything:
                answers = await self._store.append(everything, version)
            if answers is not None:
                _answer(publications, answers)
                hit("append.answered")
                return
            self._sender.use(await self._store.routing())


def _answer(publications: list[Publication], answers: Sequence[Admission]) -> None:
    at = 0
    for publication in publications:
        end = at + len(publication.envelopes)
        if not publication.answer.done():
            publication.answer.set_result((publication.envelopes, list(answers[at:end])))
        at = end


def _unknown(publications: list[Publication]) -> None:
    _fail(publications, StoreUnavailable("cut off before the answer: it may have happened, so repeat it"))


def _fail(publications: list[Publication], error: Exception) -> None:
    for publication in publications:
        if not publication.answer.done():
            publication.answer.set_exception(error)
