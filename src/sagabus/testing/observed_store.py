"""A store under observation: every call is passed on; what is under way is known, commits fail on cue, deliveries are
repeated.

Between a bus under test and its real store. What handlers sent is noted when the commit of their run has succeeded,
never before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec

from sagabus.envelope import Envelope
from sagabus.errors import StoreError
from sagabus.outcome import Admission, Completed, Outcome, Parameters, Settled, Verdict
from sagabus.store import (
    AsyncJoined,
    Batch,
    Capability,
    Cursor,
    Fetched,
    Joined,
    Lane,
    Loaded,
    ReplayResult,
    Retention,
    Routing,
    Store,
    Subscription,
    Unit,
)
from sagabus.store.connection import Lent
from sagabus.store.erasing import Erasure, Order, Place, Subject
from sagabus.store.examination import Fault
from sagabus.store.inspection import Inspection
from sagabus.store.keeper import Keeper
from sagabus.store.loud import Loud, Sift
from sagabus.store.mending import Edit, Entry, Mend
from sagabus.store.running import Running
from sagabus.store.upkeep import Divided, Purged
from sagabus.testing.captured import NOWHERE, Heard
from sagabus.testing.faults import Cues

T = TypeVar("T")


class StoreTap:
    """See `sagabus.store.Store`. `duplicates`: every accepted message is appended again, every stored one handed
    out again while it is there, every commit repeated.
    """

    def __init__(self, store: Store, heard: Heard, *, duplicates: bool = False) -> None:
        self.store = store
        self.commit_cues = Cues()
        self.is_troubled = False
        """Whether a call has failed: its caller may pause before the next."""
        self.under_way = 0
        """Calls that have not returned, waiting for changes left out."""
        self._heard = heard
        self._duplicates = duplicates
        self._moved = asyncio.Event()

    async def moved(self) -> None:
        """Wait until a call returns."""
        self._moved.clear()
        await self._moved.wait()

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self.store.capabilities

    @property
    def inspect(self) -> Inspection:
        return self.store.inspect

    async def open(self) -> None:
        await self.store.open()

    async def close(self) -> None:
        await self.store.close()

    async def versions(self) -> Sequence[int] | None:
        return await self.store.versions()

    async def absence(self) -> str | None:
        return await self.store.absence()

    def newest_version(self) -> int | None:
        return self.store.newest_version()

    def script(self) -> str | None:
        return self.store.script()

    async def durability_risks(self) -> Sequence[str]:
        return await self._watched(self.store.durability_risks())

    async def mend(self, fault: Fault) -> int:
        return await self._watched(self.store.mend(fault))

    async def traces(self, subject: Subject, place: Place) -> Erasure:
        return await self._watched(self.store.traces(subject, place))

    async def erase(self, subject: Subject, place: Place, order: Order) -> Erasure:
        return await self._watched(self.store.erase(subject, place, order))

    async def register(self, subscriptions: Sequence[Subscription]) -> Routing:
        return await self._watched(self.store.register(subscriptions))

    async def unregister(self, channel: str, message_type: str) -> Routing:
        return await self._watched(self.store.unregister(channel, message_type))

    async def divide(self, lanes: int) -> Divided:
        return await self._watched(self.store.divide(lanes))

    async def identity(self, fresh: int, *, renew: bool = False, keeps: bool = True) -> str:
        return await self._watched(self.store.identity(fresh, renew=renew, keeps=keeps))

    async def fence_all(self) -> int:
        return await self._watched(self.store.fence_all())

    async def routing(self) -> Routing:
        return await self._watched(self.store.routing())

    async def append(self, envelopes: Sequence[Envelope], routing: int) -> Sequence[Admission] | None:
        answers = await self._watched(self.store.append(envelopes, routing))
        if self._duplicates and answers is not None:
            copies = [envelope for envelope in envelopes if envelope.guarded]
            again = await self._watched(self.store.append(copies, routing))
            assert again is None or Admission.ACCEPTED not in again, "a copy was accepted"
        return answers

    def join(self, native: object) -> Joined | AsyncJoined:
        return self.store.join(native)

    async def lease(
        self,
        worker: str,
        channels: Sequence[str],
        *,
        duration: int,
        window: int,
        patient: bool = False,
        knows: Mapping[str, Sequence[str]] | None = None,
    ) -> Sequence[Lane]:
        lease = self.store.lease(worker, channels, duration=duration, window=window, patient=patient, knows=knows)
        return await self._watched(lease)

    def keeper(self) -> Keeper:
        return self.store.keeper()

    async def note_running(self, worker: str, running: Mapping[str, Sequence[Running]]) -> None:
        await self._watched(self.store.note_running(worker, running))

    async def note_loud(self, worker: str, loud: Sequence[Loud]) -> bool:
        return await self._watched(self.store.note_loud(worker, loud))

    async def leave(self, worker: str, keeping: Sequence[Lane], *, duration: int, window: int) -> None:
        await self._watched(self.store.leave(worker, keeping, duration=duration, window=window))

    async def release(self, worker: str, lanes: Sequence[Lane] | None = None) -> None:
        await self._watched(self.store.release(worker, lanes))

    async def fetch(self, cursors: Sequence[Cursor], limit: int) -> Fetched:
        if self._duplicates:
            cursors = [Cursor(cursor.channel, cursor.lane, 0) for cursor in cursors]
        return await self._watched(self.store.fetch(cursors, limit))

    async def sift(self, sift: Sift, limit: int) -> Fetched:
        if self._duplicates and sift.only is None:
            sift = Sift(sift.channel, sift.lane, 0, sift.without)
        return await self._watched(self.store.sift(sift, limit))

    async def load(self, saga: str, keys: Sequence[str]) -> Sequence[Loaded]:
        return await self._watched(self.store.load(saga, keys))

    async def commit(self, batch: Batch) -> Sequence[Settled]:
        answers = await self.committing(batch, self.store.commit)
        if self._duplicates:
            done = [o for o, a in zip(batch.outcomes, answers, strict=True) if a.verdict is Verdict.COMMITTED]
            repeated = msgspec.structs.replace(
                _addressed(batch), outcomes=[o for o in done if isinstance(o, Completed)]
            )
            again = await self._watched(self.store.commit(repeated))
            assert all(a.verdict is not Verdict.COMMITTED for a in again), "one effect was committed twice"
        return answers

    async def committing(
        self, batch: Batch, commit: Callable[[Batch], Awaitable[Sequence[Settled]]]
    ) -> Sequence[Settled]:
        """Commit, unless it is to fail; note what was sent."""
        cue = self.commit_cues.take()
        if cue is not None and not cue.afterwards:
            self.is_troubled = True
            raise cue.error
        try:
            answers = await self._watched(commit(_addressed(batch)))
        except asyncio.CancelledError:
            # A worker that is dropped now never hears of it; it may have happened all the same.
            for outcome in batch.outcomes:
                if not await self._is_stored(outcome.envelope):
                    self._note(outcome)
            raise
        for outcome, answer in zip(batch.outcomes, answers, strict=True):
            if answer.verdict is Verdict.COMMITTED:
                self._note(outcome)
        if cue is not None:
            self.is_troubled = True
            raise cue.error
        return answers

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Unit]:
        async with self.store.transaction() as unit:
            yield _UnitTap(unit, self)

    async def replay(
        self,
        letter: int,
        *,
        force: bool = False,
        edit: Edit | None = None,
        entry: Entry | None = None,
        dry: bool = False,
    ) -> ReplayResult:
        return await self._watched(self.store.replay(letter, force=force, edit=edit, entry=entry, dry=dry))

    async def discard(self, letter: int, *, entry: Entry | None = None) -> ReplayResult:
        return await self._watched(self.store.discard(letter, entry=entry))

    async def change(self, mend: Mend, entry: Entry) -> int | None:
        return await self._watched(self.store.change(mend, entry))

    async def purge(self, retention: Sequence[Retention], limit: int) -> Purged:
        return await self._watched(self.store.purge(retention, limit))

    async def changed(self, timeout: float | None) -> None:
        await self.store.changed(timeout)

    def check_lending(self, kind: type | None) -> None:
        self.store.check_lending(kind)

    def execute_check(self, sql: str, parameters: Parameters) -> None:
        self.store.execute_check(sql, parameters)

    async def _watched(self, call: Awaitable[T]) -> T:
        self.under_way += 1
        try:
            return await call
        except StoreError:
            self.is_troubled = True
            raise
        finally:
            self.under_way -= 1
            self._moved.set()

    def _note(self, outcome: Outcome) -> None:
        if isinstance(outcome, Completed):
            messages = {each.message_id: each for each in outcome.effects.sent if each.timer is None}
            for envelope in messages.values():
                self._heard.note(envelope)

    async def _is_stored(self, envelope: Envelope) -> bool:
        found = await self.store.inspect.envelopes(envelope.channel, key=envelope.partition_key, limit=1_000_000)
        return any(each.position == envelope.position for each in found)


class _UnitTap:
    """A transaction under the same observation."""

    def __init__(self, unit: Unit, tap: StoreTap) -> None:
        self._unit = unit
        self._tap = tap

    @property
    def connection(self) -> object:
        return self._unit.connection

    async def lend(self, kind: type | None) -> Lent:
        return await self._unit.lend(kind)

    async def append(self, envelopes: Sequence[Envelope], routing: int) -> Sequence[Admission] | None:
        return await self._unit.append(envelopes, routing)

    async def commit(self, batch: Batch | None = None) -> Sequence[Settled]:
        if batch is None:
            return await self._unit.commit()
        return await self._tap.committing(batch, self._unit.commit)


def _addressed(batch: Batch) -> Batch:
    """The batch without the messages that have no receiver."""
    return msgspec.structs.replace(batch, outcomes=[_received(outcome) for outcome in batch.outcomes])


def _received(outcome: Outcome) -> Outcome:
    if not isinstance(outcome, Completed) or all(each.channel != NOWHERE for each in outcome.effects.sent):
        return outcome
    sent = tuple(each for each in outcome.effects.sent if each.channel != NOWHERE)
    return Completed(outcome.envelope, msgspec.structs.replace(outcome.effects, sent=sent, unheard=True))
