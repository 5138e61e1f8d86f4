"""The calls of the store port on any SQL database: which piece of the logic each one runs, in which transaction.

An adapter adds what differs: how connections are kept, how a transaction begins and ends, how changes are heard of.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from sagabus.clock import Clock
from sagabus.envelope import Envelope, lanes_problem
from sagabus.errors import ConfigurationError
from sagabus.failpoint import hit
from sagabus.outcome import Admission, Parameters, Settled
from sagabus.store import Batch, Cursor, Fetched, Lane, Loaded, ReplayResult, Retention, Routing, Subscription
from sagabus.store.erasing import Erasure, Order, Place, Subject
from sagabus.store.examination import Conditions, Fault
from sagabus.store.keeper import Keeper
from sagabus.store.loud import Loud, Sift
from sagabus.store.mending import Edit, Entry, Mend
from sagabus.store.running import Running
from sagabus.store.upkeep import Divided, Purged
from sagabus.stores.sql import (
    appending,
    dead_letters,
    dividing,
    erasing,
    examination,
    leasing,
    mending,
    reading,
    registering,
    settling,
)
from sagabus.stores.sql.inspecting import SqlInspection
from sagabus.stores.sql.steps import Steps

T = TypeVar("T")


class SqlCalls(ABC):
    """The set-based calls of `sagabus.store.Store`, and the read-only side."""

    _clock: Clock
    _lanes: int

    @abstractmethod
    async def _write(self, begin: Callable[[], Steps[T]]) -> T:
        """Run the logic in one write transaction and commit; on any error nothing of it remains."""

    async def _write_long(self, begin: Callable[[], Steps[T]]) -> T:
        """The same for what may have to look at everything there is."""
        return await self._write(begin)

    @abstractmethod
    async def _read(self, steps: Steps[T]) -> T:
        """Run logic that only reads."""

    @abstractmethod
    async def _look_into(self, steps: Steps[T], seconds: float | None = None) -> T:
        """Run logic that only reads, apart from the work of the store; no longer than so many seconds."""

    @abstractmethod
    def execute_check(self, sql: str, parameters: Parameters) -> None:
        """Raise at once for a statement that the commit would refuse."""

    @property
    def inspect(self) -> SqlInspection:
        """The read-only side."""
        return SqlInspection(self._read, self._look_into, self._clock, self._conditions)

    async def _conditions(self) -> Conditions:
        """What the store works with: the clock of this machine, if it has no other."""
        return Conditions(self._clock.now())

    async def register(self, subscriptions: Sequence[Subscription]) -> Routing:
        """Add subscriptions."""
        routing = await self._write(lambda: registering.register(subscriptions, self._lanes))
        hit("register.after_commit")
        return routing

    async def unregister(self, channel: str, message_type: str) -> Routing:
        """Remove one subscription."""
        return await self._write(lambda: registering.unregister(channel, message_type))

    async def routing(self) -> Routing:
        """The subscriptions as they are now."""
        return await self._read(registering.read())

    async def identity(self, fresh: int, *, renew: bool = False, keeps: bool = True) -> str:
        """Its own number, and what a copy of it has not."""
        if keeps:
            number = await self._write(lambda: registering.identity(fresh, renew=renew))
        else:
            number = await self._read(registering.known_identity(fresh))
        return f"{number:x}{await self._not_in_a_copy()}"

    async def _not_in_a_copy(self) -> str:
        """What the database knows of itself that a copy of its rows has not; empty if it knows nothing."""
        return ""

    async def divide(self, lanes: int) -> Divided:
        """Divide every channel into so many lanes."""
        if (problem := lanes_problem(lanes)) is not None:
            raise ConfigurationError(problem)
        divided = await self._write_long(lambda: dividing.divide(lanes, self._clock.now()))
        hit("divide.after_commit")
        return divided

    async def fence_all(self) -> int:
        """Fence all lanes."""
        return await self._write(dividing.fence_all)

    async def append(self, envelopes: Sequence[Envelope], routing: int) -> Sequence[Admission] | None:
        """Accept addressed envelopes durably."""
        answers = await self._write(lambda: appending.append_at(envelopes, routing, self._clock.now()))
        hit("append.after_commit")
        return answers

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
        """Renew, share out and take over."""
        asked = self._clock.now()
        return await self._write(
            lambda: leasing.lease(
                worker,
                channels,
                asked,
                duration=duration,
                window=window,
                lanes=self._lanes,
                patient=patient,
                clock=self._clock.now,
                knows=knows,
            )
        )

    @abstractmethod
    def keeper(self) -> Keeper:
        """A way to renew leases that needs no event loop."""

    async def note_loud(self, worker: str, loud: Sequence[Loud]) -> bool:
        """Note loud keys."""
        return await self._write(lambda: leasing.note_loud(worker, loud))

    async def note_running(self, worker: str, running: Mapping[str, Sequence[Running]]) -> None:
        """Note which runs last."""
        await self._write(lambda: leasing.note_running(worker, running, self._clock.now()))

    async def leave(self, worker: str, keeping: Sequence[Lane], *, duration: int, window: int) -> None:
        """Give back all lanes but some."""
        await self._write(lambda: leasing.leave(worker, keeping, self._clock.now(), duration=duration, window=window))

    async def release(self, worker: str, lanes: Sequence[Lane] | None = None) -> None:
        """Give lanes back."""
        await self._write(lambda: leasing.release(worker, lanes))

    async def fetch(self, cursors: Sequence[Cursor], limit: int) -> Fetched:
        """Due envelopes of the lanes."""
        return await self._read(reading.fetch(cursors, limit, self._clock.now()))

    async def sift(self, sift: Sift, limit: int) -> Fetched:
        """Due envelopes of some keys of one lane."""
        return await self._read(reading.sift(sift, limit, self._clock.now()))

    async def load(self, saga: str, keys: Sequence[str]) -> Sequence[Loaded]:
        """What is stored under each key."""
        return await self._read(reading.load(saga, keys))

    async def commit(self, batch: Batch) -> Sequence[Settled]:
        """The transaction."""
        answers = await self._write(lambda: settling.settle(batch, self._clock.now, self._check))
        hit("commit.after_commit")
        return answers

    async def replay(
        self,
        letter: int,
        *,
        force: bool = False,
        edit: Edit | None = None,
        entry: Entry | None = None,
        dry: bool = False,
    ) -> ReplayResult:
        """Put an open dead letter back."""
        if dry:
            return await self._read(dead_letters.would_replay(letter, force=force))
        result = await self._write(
            lambda: dead_letters.replay(letter, self._clock.now(), force=force, edit=edit, entry=entry)
        )
        hit("replay.after_commit")
        return result

    async def discard(self, letter: int, *, entry: Entry | None = None) -> ReplayResult:
        """Close an open dead letter for good."""
        result = await self._write(lambda: dead_letters.discard(letter, self._clock.now(), entry))
        hit("discard.after_commit")
        return result

    async def change(self, mend: Mend, entry: Entry) -> int | None:
        """Make a change with its entry in the audit log."""
        audit = await self._write(lambda: mending.mend(mend, entry, self._clock.now()))
        hit("mend.after_commit")
        return audit

    async def traces(self, subject: Subject, place: Place) -> Erasure:
        """What one step of an erasure would find."""
        return await self._look_into(erasing.look(subject, place, self._clock.now()))

    async def erase(self, subject: Subject, place: Place, order: Order) -> Erasure:
        """Make one step of an erasure."""
        done = await self._write(lambda: erasing.erase(subject, place, order, self._clock.now()))
        hit("erase.after_commit")
        return done

    async def purge(self, retention: Sequence[Retention], limit: int) -> Purged:
        """Forget what is older than its window."""
        purged = await self._write(lambda: dead_letters.purge(retention, limit, self._clock.now()))
        hit("purge.after_commit")
        return purged

    async def mend(self, fault: Fault) -> int:
        """Remove what a fault consists of."""
        return await self._write(lambda: examination.mend(fault))

    def _check(self, sql: str) -> None:
        self.execute_check(sql, ())
