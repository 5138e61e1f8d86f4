"""One flush, committed however often that takes. A lost database is waited out; whoever is at fault pays alone.

Between `committing`, which gathers what has finished, and `store.commit`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from sagabus.clock import Clock, sleep
from sagabus.errors import StoreBusy, StoreError, StoreUnavailable, TransactionLost
from sagabus.mailbox import Mailbox
from sagabus.outcome import Completed, Outcome, Settled, Verdict
from sagabus.sending import Sender
from sagabus.store import Batch, Store

log = logging.getLogger("sagabus")
Chain: TypeAlias = tuple[str, str | None]
"""Channel and key: each outcome of one builds on those before it."""

FENCED = Settled(Verdict.FENCED)
_SHORTEST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0
_MOST_STEPS = 250
"""So many steps at most in one commit: each is a round trip to a server, all of them together have the deadline of one
call, and what they lock is locked until the last. What waited out an outage would be too much for it.
"""
_STEPS_OF_A_MARK = 3
_SMALL_SHARE = 8
"""So many outcomes at once, where one of them may cost the connection each time."""
_TRIES_WITH_STATEMENTS = 3
"""So often in a row may a commit be lost that has nothing in it but one run with statements of the user's, while the
store takes others: then it is by them that it is lost."""
_TRIES_ALONE = 10
"""The same without any: it may be too much for one call all by itself."""
_OF_THE_ROWS = (TransactionLost, StoreError)
"""Errors that one member's rows may be to blame for: an unclassified one is such, all others are of the database."""


class Entry:
    """One outcome on its way, with what it was built on."""

    __slots__ = ("mailbox", "outcome", "routing")

    def __init__(self, mailbox: Mailbox, outcome: Outcome, routing: int) -> None:
        self.mailbox = mailbox
        self.outcome = outcome
        self.routing = routing


class Persisting:
    """Commits flushes, one at a time."""

    def __init__(self, store: Store, sender: Sender, clock: Clock) -> None:
        self._store = store
        self._sender = sender
        self._clock = clock

    async def persist(self, entries: list[Entry]) -> Sequence[Settled]:
        """All of them at once; in smaller and smaller shares while that fails, for it may be too much for one call. Who
        fails alone again and again, while the store takes other commits, is refused.
        """
        answers: list[Settled] = []
        broken: set[Chain] = set()
        pause, share, alone = _SHORTEST_PAUSE, len(entries), 0
        most = share
        while len(answers) < len(entries):
            part = _fitting(entries[len(answers) : len(answers) + share])
            try:
                answers += await self._share(part, broken)
            except StoreError as error:
                is_its_own = await self._takes_others(error)
                alone = alone + 1 if is_its_own and len(part) == 1 else 0
                if alone and alone >= _tries_alone(part[0]):
                    answers.append(_refused(part[0], alone, error, broken))
                    pause, alone = _SHORTEST_PAUSE, 0
                    continue
                log.error("cannot commit %d outcomes, trying again in %.2g s: %s", len(part), pause, error)
                await sleep(self._clock, pause)
                pause, share = min(pause * 2, _LONGEST_PAUSE), max(len(part) // 2, 1)
                if is_its_own and any(map(_has_statements, part)):
                    share, most = 1, _SMALL_SHARE
            else:
                pause, share, alone = _SHORTEST_PAUSE, min(share * 2, most), 0
        return answers

    async def _takes_others(self, error: StoreError) -> bool:
        """Whether the store commits something else just now. To read would not do: what stops writers may let others
        read.
        """
        if not isinstance(error, (StoreUnavailable, StoreBusy)):
            return False
        try:
            await self._store.commit(Batch([], self._sender.table.version, {}))
        except StoreError:
            return False
        return True

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
            return [FENCED if _is_former(entry, epochs) else next(answers) for entry in entries]
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
        broken: set[Chain] = set()
        return [answer for entry in entries for answer in await self._share([entry], broken)]


def _fitting(entries: list[Entry]) -> list[Entry]:
    """The first of them that one commit has room for: one at least."""
    steps = 0
    for number, entry in enumerate(entries):
        steps += _steps(entry.outcome)
        if steps > _MOST_STEPS and number:
            return entries[:number]
    return entries


def _steps(outcome: Outcome) -> int:
    """What it adds to a commit beside the sets of rows, which are written together."""
    return len(outcome.effects.statements) if isinstance(outcome, Completed) else _STEPS_OF_A_MARK


def _tries_alone(entry: Entry) -> int:
    return _TRIES_WITH_STATEMENTS if _has_statements(entry) else _TRIES_ALONE


def _refused(entry: Entry, times: int, error: StoreError, broken: set[Chain]) -> Settled:
    if entry.mailbox.key is not None:
        broken.add(_chain(entry))
    text = f"its commit was lost {times} times in a row, while the database took others: {error}"
    return Settled(Verdict.REFUSED, TransactionLost(text))


def _has_statements(entry: Entry) -> bool:
    return isinstance(entry.outcome, Completed) and bool(entry.outcome.effects.statements)


def _is_former(entry: Entry, epochs: Mapping[tuple[str, int], int]) -> bool:
    return entry.mailbox.lane_epoch < epochs[entry.mailbox.place]


def _chain(entry: Entry) -> Chain:
    return entry.mailbox.place[0], entry.mailbox.key


def _sends(outcome: Outcome) -> bool:
    return isinstance(outcome, Completed) and outcome.effects.is_routed
