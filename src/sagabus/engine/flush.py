"""One flush, committed however often that takes. It waits for a lost database, and isolates the message behind a
failing commit.

Between `committer`, which gathers what has finished, and `store.commit`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

from sagabus.clock import Clock, sleep
from sagabus.engine.group_commit import LARGEST_FLUSH_BYTES
from sagabus.engine.journal import Journal
from sagabus.engine.mailbox import Mailbox
from sagabus.engine.routing import LiveRouting
from sagabus.engine.shares import LONGEST_PAUSE, SHORTEST_PAUSE, Loss, Shares
from sagabus.envelope import Envelope
from sagabus.errors import StoreBusy, StoreError, StoreUnavailable, TransactionLost
from sagabus.outcome import Completed, Effects, Outcome, Settled, Verdict
from sagabus.refs import LaneLike, LaneRef
from sagabus.store import Batch, Commit

log = logging.getLogger("sagabus")
Chain: TypeAlias = tuple[str, str | None]
"""Channel and key: each outcome of one builds on those before it."""

_NEVER_STORED = Completed(Envelope(message_id="", message_type="", body=b"", position=-1), Effects())
"""The outcome of a message that was never stored. Its commit proves that the store can reach our tables."""
FENCED = Settled(Verdict.FENCED)
DROPPED = Settled(Verdict.DROPPED)
_MOST_STEPS = 250
"""The maximum of steps in one commit. Each is a round trip to a server, all together have the deadline of one call, and
their locks last until the end. After an outage, everything that waited would be too much for one commit.
"""
STEPS_OF_A_MARK = 3
"""Of an outcome that is no plain success."""
_TRIES_WITH_STATEMENTS = 3
"""How often in a row a commit of one run with user statements may be lost, while the store takes others. Then these
statements lose it.
"""
_TRIES_ALONE = 10
"""The same without any: it may be too much for one call all by itself."""
_OF_THE_ROWS = (TransactionLost, StoreError)
"""Errors that one member's rows may be to blame for: an unclassified one is such, all others are of the database."""


class Entry(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One outcome on its way, with what it was built on. Nothing that it holds leads back to it."""

    mailbox: Mailbox
    outcome: Outcome
    routing: int
    size: int = 0
    """Bytes that it adds to a commit."""
    steps: int = 0
    """How many steps it adds to a commit, besides the sets of rows, which are written together."""
    took: float = 0.0
    """Seconds that its run took, if an observer asks."""


Answered: TypeAlias = tuple[Sequence[Entry], Sequence[Settled]]
"""Outcomes, and the answer to each."""
_NOTHING: Answered = ((), ())


class Flush:
    """Commits flushes, one at a time."""

    def __init__(self, store: Commit, routing: LiveRouting, clock: Clock, journal: Journal | None = None) -> None:
        self._store = store
        self._routing = routing
        self._clock = clock
        self._journal = journal
        self.trouble: StoreError | None = None
        """Why the store has not taken the last commit, nor any other one since."""

    async def commit(self, entries: list[Entry], shares: Shares[Entry]) -> Answered:
        """All of them at once; in smaller and smaller shares while that fails, for it may be too much for one call. Who
        fails alone again and again, while the store takes other commits, is refused; its neighbours go first.

        One share of them for each call: what leaves `entries` with an answer. It is nothing if this share is to be
        tried again. If this is cut off, what is left in `entries` has no answers.
        """
        part = _fitting(list(shares.next(entries)))
        try:
            answers = await self._commit(part)
        except StoreError as error:
            return await self._lost(shares, entries, part, error)
        self.trouble = None
        if not answers:
            shares.taken_apart()
            return _NOTHING
        shares.answered(part, is_refused=answers[-1].verdict is Verdict.REFUSED)
        return await self._answered(entries, part, answers)

    async def _lost(
        self, shares: Shares[Entry], entries: list[Entry], part: list[Entry], error: StoreError
    ) -> Answered:
        """A commit was lost: wait for the next try, or refuse the one outcome that is lost alone again and again."""
        takes_others = await self._takes_others(error)
        self.trouble = None if takes_others else error
        loss = shares.lost(
            part,
            takes_others=takes_others,
            costs_connection=any(map(_has_statements, part)),
            tries=_tries_alone(part[0]),
        )
        if loss is Loss.HOPELESS:
            return _with_what_follows(entries, part, [_refused(shares.times(part[0]), error)])
        if loss is Loss.ASIDE:
            behind = [entry for entry in entries if entry is part[0] or _is_built_on(entry, part[0])]
            entries[:] = [entry for entry in entries if not (entry is part[0] or _is_built_on(entry, part[0]))] + behind
        log.error("cannot commit %d outcomes, trying again in %.2g s: %s", len(part), shares.pause, error)
        await sleep(self._clock, shares.pause)
        shares.paused()
        return _NOTHING

    async def _takes_others(self, error: StoreError) -> bool:
        """Whether the store commits something else just now. To read would not do: what stops writers may let others
        read. Nor would a commit of nothing: it may be our tables that are locked.
        """
        if not isinstance(error, (StoreUnavailable, StoreBusy)):
            return False
        try:
            await self._store.commit(Batch([_NEVER_STORED], self._routing.table.version, {}))
        except StoreError:
            return False
        return True

    async def _answered(self, entries: list[Entry], part: list[Entry], answers: Sequence[Settled]) -> Answered:
        if [answer.verdict for answer in answers].count(Verdict.COMMITTED) < len(answers):
            if any(answer.verdict is Verdict.STALE_ROUTING for answer in answers):
                # Before the answers: a message that runs again because of them must be sent by the new routing.
                await self._learn_routing()
            return _with_what_follows(entries, part, answers)
        del entries[: len(part)]
        return part, answers

    async def _learn_routing(self) -> None:
        """A database that is lost between the answer and this is waited out: what was answered is not to be guessed."""
        pause = SHORTEST_PAUSE
        while True:
            try:
                await self._routing.refresh(self._store)
            except StoreError as error:
                log.error("cannot read who receives what, trying again in %.2g s: %s", pause, error)
                await sleep(self._clock, pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                return

    async def _commit(self, entries: list[Entry]) -> Sequence[Settled]:
        """The answers; none if this cannot commit together, and has to be taken apart."""
        epochs, is_mixed = _epochs(entries)
        if is_mixed:
            return await self._without_former(entries, epochs)
        version = self._routing.table.version
        others = [entry for entry in entries if entry.routing != version]
        stale = next((entry for entry in others if _sends(entry.outcome)), None)
        if stale is not None:
            # Addressed before the routing changed: the whole flush is answered by the store's own rule.
            version = stale.routing
        batch = self.batch(entries, version, epochs)
        try:
            return await self._store.commit(batch)
        except Exception as error:
            if isinstance(error, StoreError) and type(error) not in _OF_THE_ROWS:
                raise
            log.warning("%d outcomes cannot be committed together: %s", len(entries), error)
            if len(entries) > 1:
                return ()
            cause = error.__cause__ if isinstance(error, StoreError) else None
            return [Settled(Verdict.REFUSED, cause or error)]

    def batch(self, entries: Sequence[Entry], version: int, epochs: Mapping[LaneLike, int]) -> Batch:
        """What the store is to commit."""
        outcomes = [entry.outcome for entry in entries]
        if self._journal is None:
            return Batch(outcomes, version, epochs)
        return Batch(outcomes, version, epochs, self._journal.rows(outcomes, [entry.took for entry in entries]))

    async def _without_former(self, entries: list[Entry], epochs: Mapping[LaneLike, int]) -> Sequence[Settled]:
        """Their lane has been lost and won again: what was taken before is not this worker's to commit."""
        present = [entry for entry in entries if not _is_former(entry, epochs)]
        found = await self._commit(present)
        answers = iter(found)
        return [FENCED if _is_former(entry, epochs) else next(answers) for entry in entries] if found else ()


def _epochs(entries: Sequence[Entry]) -> tuple[dict[LaneLike, int], bool]:
    """The latest epoch of each of their lanes; and whether any of them is of an earlier one."""
    epochs: dict[LaneLike, int] = {}
    is_mixed = False
    place: LaneRef | None = None
    epoch = 0
    for entry in entries:
        mailbox = entry.mailbox
        if mailbox.place is place and mailbox.lane_epoch == epoch:
            continue
        place, epoch = mailbox.place, mailbox.lane_epoch
        known = epochs.setdefault(place, epoch)
        if known != epoch:
            is_mixed = True
            epochs[place] = max(epoch, known)
    return epochs, is_mixed


def bytes_of(entries: Sequence[Entry]) -> int:
    """What they add to a commit."""
    return sum([entry.size for entry in entries])


def _fitting(entries: list[Entry]) -> list[Entry]:
    """The first of them that one commit has room for: one at least."""
    if sum([entry.steps for entry in entries]) <= _MOST_STEPS and bytes_of(entries) <= LARGEST_FLUSH_BYTES:
        return entries
    steps = size = 0
    for number, entry in enumerate(entries):
        steps += entry.steps
        size += entry.size
        if (steps > _MOST_STEPS or size > LARGEST_FLUSH_BYTES) and number:
            return entries[:number]
    return entries


def _tries_alone(entry: Entry) -> int:
    return _TRIES_WITH_STATEMENTS if _has_statements(entry) else _TRIES_ALONE


def _refused(times: int, error: StoreError) -> Settled:
    text = f"its commit was lost {times} times in a row, while the database took others: {error}"
    return Settled(Verdict.REFUSED, TransactionLost(text))


def _is_built_on(entry: Entry, other: Entry) -> bool:
    """Of two that have not been committed, in their order."""
    return other.mailbox.key is not None and _chain(entry) == _chain(other)


def _with_what_follows(entries: list[Entry], part: list[Entry], answers: Sequence[Settled]) -> Answered:
    """The answers to a share that lost something, and to everything in later shares that was built on it. Its key
    starts again with all of its messages, or the later ones would overtake.
    """
    broken = {
        _chain(entry)
        for entry, answer in zip(part, answers, strict=True)
        if answer.verdict is not Verdict.COMMITTED and entry.mailbox.key is not None
    }
    rest = entries[len(part) :]
    dropped = [entry for entry in rest if _chain(entry) in broken]
    entries[:] = [entry for entry in rest if _chain(entry) not in broken]
    return part + dropped, [*answers, *[DROPPED] * len(dropped)]


def _has_statements(entry: Entry) -> bool:
    return isinstance(entry.outcome, Completed) and bool(entry.outcome.effects.statements)


def _is_former(entry: Entry, epochs: Mapping[LaneLike, int]) -> bool:
    return entry.mailbox.lane_epoch < epochs[entry.mailbox.place]


def _chain(entry: Entry) -> Chain:
    return entry.mailbox.place[0], entry.mailbox.key


def _sends(outcome: Outcome) -> bool:
    return isinstance(outcome, Completed) and outcome.effects.is_routed
