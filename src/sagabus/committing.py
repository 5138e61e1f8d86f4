"""The third verb of the way: what has finished meanwhile commits together, one flush in flight, no timer to tune.

Two queues of this kind: outcomes of handlers (from `processing`, through the worker) and envelopes of publishers (from
`bus`). Alone, one commits at once; under load hundreds share a commit. Next stop: the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeAlias, TypeVar

from sagabus.clock import Clock, sleep
from sagabus.envelope import Envelope
from sagabus.errors import SagaBusError, StoreError, StoreUnavailable, TransactionLost
from sagabus.failpoint import hit
from sagabus.mailbox import Mailbox
from sagabus.outcome import Admission, Completed, Outcome, Settled, Verdict
from sagabus.running import Runners
from sagabus.sending import Sender
from sagabus.store import Batch, Store

log = logging.getLogger("sagabus")
T = TypeVar("T")
Chain: TypeAlias = tuple[str, str | None]
"""Channel and key: each outcome of one builds on those before it."""

LARGEST_FLUSH = 2_000
_COMFORTABLE = 512
_TURNS = 8
_SHORTEST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0


_OF_THE_ROWS = (TransactionLost, StoreError)
"""Errors that one member's rows may be to blame for: an unclassified one is such, all others are of the database."""


_FENCED = Settled(Verdict.FENCED)


class Entry:
    """One outcome on its way, with what it was built on."""

    __slots__ = ("epoch", "mailbox", "outcome", "routing")

    def __init__(self, mailbox: Mailbox, outcome: Outcome, routing: int) -> None:
        self.mailbox = mailbox
        self.outcome = outcome
        self.epoch = mailbox.epoch
        self.routing = routing


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
        self._store = store
        self._sender = sender
        self._clock = clock
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

    def withdraw(self, mailbox: Mailbox) -> list[Envelope]:
        """Take a mailbox's outcomes that are not in flight back out; their envelopes."""
        mine = [entry for entry in self._group.waiting if entry.mailbox is mailbox]
        if mine:
            self._group.waiting = [entry for entry in self._group.waiting if entry.mailbox is not mailbox]
            for _ in mine:
                mailbox.one_settled()
        return [entry.outcome.envelope for entry in mine]

    async def drain(self) -> None:
        """Wait until everything is committed."""
        await self._group.drain()

    async def stop(self) -> None:
        """Give up what is not in flight."""
        await self._group.stop()

    async def _flush(self, entries: list[Entry]) -> None:
        hit("commit.gathered")
        try:
            answers = await self._persist(entries)
            if any(answer.verdict is Verdict.STALE_ROUTING for answer in answers):
                self._sender.use(await self._store.routing())
        except BaseException:
            self._give_up(entries)
            raise
        self._tell(entries, answers)
        hit("commit.settled")

    def _tell(self, entries: list[Entry], answers: Sequence[Settled]) -> None:
        for entry in entries:
            entry.mailbox.one_settled()
        self._settled(list(zip(entries, answers, strict=True)))

    def _give_up(self, entries: list[Entry]) -> None:
        # Cut off before the answer: out of our hands, and the rows say what is still to be done.
        self._tell(entries, [_FENCED] * len(entries))

    async def _persist(self, entries: list[Entry]) -> Sequence[Settled]:
        """All of them at once; in smaller and smaller shares while that fails, for it may be too much for one call."""
        answers: list[Settled] = []
        broken: set[Chain] = set()
        pause, share = _SHORTEST_PAUSE, len(entries)
        while len(answers) < len(entries):
            part = entries[len(answers) : len(answers) + share]
            try:
                answers += await self._share(part, broken)
            except StoreError as error:
                log.error("cannot commit %d outcomes, trying again in %.2g s: %s", len(part), pause, error)
                await sleep(self._clock, pause)
                pause, share = min(pause * 2, _LONGEST_PAUSE), max(share // 2, 1)
            else:
                pause, share = _SHORTEST_PAUSE, share * 2
        return answers

    async def _share(self, entries: list[Entry], broken: set[Chain]) -> Sequence[Settled]:
        """A part of a flush; what has built on something that was refused before is dropped."""
        going = [entry for entry in entries if _chain(entry) not in broken] if broken else entries
        answers: Sequence[Settled] = await self._commit(going) if going else ()
        for entry, answer in zip(going, answers, strict=True):
            if answer.verdict is not Verdict.COMMITTED and entry.mailbox.key is not None:
                broken.add(_chain(entry))
        if len(going) == len(entries):
            return answers
        known = dict(zip(map(id, going), answers, strict=True))
        return [known.get(id(entry)) or Settled(Verdict.DROPPED) for entry in entries]

    async def _commit(self, entries: list[Entry]) -> Sequence[Settled]:
        epochs: dict[tuple[str, int], int] = {}
        for entry in entries:
            epochs[entry.mailbox.place] = max(entry.mailbox.lane_epoch, epochs.get(entry.mailbox.place, 0))
        if any(_is_former(entry, epochs) for entry in entries):
            # Its lane has been lost and won again: what was taken before is not this worker's to commit.
            present = [entry for entry in entries if not _is_former(entry, epochs)]
            answers = iter(await self._commit(present) if present else ())
            return [_FENCED if _is_former(entry, epochs) else next(answers) for entry in entries]
        version = self._sender.table.version
        stale = [entry for entry in entries if entry.routing != version and _sends(entry.outcome)]
        if stale:
            # Addressed before the routing changed: the whole flush is answered by the store's own rule.
            version = stale[0].routing
        batch = Batch([entry.outcome for entry in entries], version, epochs)
        try:
            return await self._store.commit(batch)
        except Exception as error:
            if isinstance(error, StoreError) and type(error) not in _OF_THE_ROWS:
                raise
            log.warning("%d outcomes cannot be committed together: %s", len(entries), error)
            if len(entries) > 1:
                return await self._singly(entries)
            cause = error.__cause__ if isinstance(error, StoreError) else None
            return [Settled(Verdict.REFUSED, cause or error)]

    async def _singly(self, entries: list[Entry]) -> list[Settled]:
        """Each in a commit of its own, so that the one at fault pays alone, with what its key has built on it."""
        answers: list[Settled] = []
        broken: set[Chain] = set()
        for entry in entries:
            chain = _chain(entry)
            if chain in broken:
                answers.append(Settled(Verdict.DROPPED))
                continue
            (answer,) = await self._commit([entry])
            answers.append(answer)
            if answer.verdict is not Verdict.COMMITTED and entry.mailbox.key is not None:
                broken.add(chain)
        return answers


def _is_former(entry: Entry, epochs: Mapping[tuple[str, int], int]) -> bool:
    return entry.mailbox.lane_epoch < epochs[entry.mailbox.place]


def _chain(entry: Entry) -> Chain:
    return entry.mailbox.place[0], entry.mailbox.key


def _sends(outcome: Outcome) -> bool:
    return isinstance(outcome, Completed) and outcome.effects.is_routed


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
        """Wait until everything is appended."""
        await self._group.drain()

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
