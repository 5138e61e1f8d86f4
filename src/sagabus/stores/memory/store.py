"""The memory store: the port's promises kept by plain tables, one call at a time. Only `changed` ever waits."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from itertools import islice
from typing import NoReturn

from sagabus.clock import Clock, SystemClock
from sagabus.envelope import LANES, Envelope, lanes_problem
from sagabus.errors import ConfigurationError, UnsupportedCapability
from sagabus.outcome import Admission, Parameters, Settled, Verdict
from sagabus.store import (
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
    Subscription,
    Unit,
)
from sagabus.store.erasing import Erasure, Order, Place, Subject
from sagabus.store.examination import Fault
from sagabus.store.inspection import Inspection
from sagabus.store.loud import Loud, Sift
from sagabus.store.mending import Edit, Entry, Mend
from sagabus.store.running import Running
from sagabus.store.upkeep import Divided, Purged
from sagabus.stores.lane_shares import knowledge
from sagabus.stores.memory import dead_letters, erasing, examination, mending, subscribing
from sagabus.stores.memory.admission import admit
from sagabus.stores.memory.committing import ADAPTER, settle
from sagabus.stores.memory.inspecting import MemoryInspection
from sagabus.stores.memory.keeping import MemoryKeeper, take_note
from sagabus.stores.memory.leasing import (
    Leasing,
    crew,
    divide,
    ensure_lanes,
    fence_all,
    give_back,
    leave,
    note_loud,
    note_running,
)
from sagabus.stores.memory.retention import forget, tidy
from sagabus.stores.memory.tables import Tables
from sagabus.stores.memory.unit import MemoryUnit
from sagabus.stores.memory.waking import Bell
from sagabus.stores.process import check_process
from sagabus.stores.texts import storable


class MemoryStore:
    """All promises of the port but durability and the user's own SQL. Closing it keeps what it holds."""

    def __init__(self, clock: Clock | None = None, *, lanes: int = LANES) -> None:
        _check_lanes(lanes)
        self._clock = clock or SystemClock()
        self._lanes = lanes
        self._pid: int | None = None
        self._tables = Tables()
        self._bell = Bell(self._clock)
        self._inspection = MemoryInspection(self._tables, self._clock)

    @property
    def capabilities(self) -> frozenset[Capability]:
        return frozenset()

    @property
    def inspect(self) -> Inspection:
        return self._inspection

    async def open(self) -> None:
        """It belongs to this process from now on."""
        self._pid = os.getpid()

    async def close(self) -> None:
        """Nothing is to be done."""

    async def versions(self) -> None:
        """It has no schema."""

    async def absence(self) -> None:
        """It is there, though nothing may be in it."""

    def newest_version(self) -> None:
        """It has no schema."""

    def script(self) -> None:
        """It has no schema."""

    async def durability_risks(self) -> Sequence[str]:
        """None: that memory ends with its process is what it is for."""
        return ()

    async def identity(self, fresh: int, *, renew: bool = False, keeps: bool = True) -> str:
        """None: it ends with its process, and the next one takes its place."""
        return ""

    async def register(self, subscriptions: Sequence[Subscription]) -> Routing:
        with self._call():
            if subscribing.add(self._tables, subscriptions, self._lanes):
                self._bell.ring()
            return subscribing.routing(self._tables, self._lanes)

    async def unregister(self, channel: str, message_type: str) -> Routing:
        self._check_process()
        if subscribing.remove(self._tables, channel, message_type):
            self._bell.ring()
        return subscribing.routing(self._tables, self._lanes)

    async def divide(self, lanes: int) -> Divided:
        self._check_process()
        _check_lanes(lanes)
        take_note(self._tables)
        before, self._lanes = self._lanes, lanes
        moved = divide(self._tables, lanes, self._clock.now()) if before != lanes else 0
        self._bell.ring()
        return Divided(before, lanes, moved)

    async def fence_all(self) -> int:
        self._check_process()
        lanes = fence_all(self._tables)
        self._bell.ring()
        return lanes

    async def routing(self) -> Routing:
        self._check_process()
        return subscribing.routing(self._tables, self._lanes)

    async def append(self, envelopes: Sequence[Envelope], routing: int) -> Sequence[Admission] | None:
        self._check_process()
        if routing != self._tables.version:
            return None
        now = self._clock.now()
        with self._call():
            answers = [admit(self._tables, envelope, now) for envelope in envelopes]
        if Admission.ACCEPTED in answers:
            self._bell.ring()
        return answers

    def join(self, native: object) -> Joined:
        return _refuse(Capability.JOIN)

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
        owned: list[Lane] = []
        take_note(self._tables)
        with self._call():
            call = Leasing(
                self._tables, worker, now=self._clock.now(), duration=duration, window=window, patient=patient
            )
            for channel in dict.fromkeys(channels):
                ensure_lanes(self._tables, channel, self._lanes)
                owned.extend(call.share(channel, self._lanes, knowledge((knows or {}).get(channel))))
        if call.gave_up:
            self._bell.ring()
        return owned

    def keeper(self) -> MemoryKeeper:
        self._check_process()
        return MemoryKeeper(self._tables.renewals, self._clock)

    async def note_loud(self, worker: str, loud: Sequence[Loud]) -> bool:
        with self._call():
            return note_loud(self._tables, worker, loud)

    async def note_running(self, worker: str, running: Mapping[str, Sequence[Running]]) -> None:
        with self._call():
            note_running(self._tables, worker, running, self._clock.now())

    async def leave(self, worker: str, keeping: Sequence[Lane], *, duration: int, window: int) -> None:
        take_note(self._tables)
        with self._call():
            leave(self._tables, worker, keeping, self._clock.now() + duration)
        self._bell.ring()

    async def release(self, worker: str, lanes: Sequence[Lane] | None = None) -> None:
        with self._call():
            give_back(self._tables, worker, lanes)
        self._bell.ring()

    async def fetch(self, cursors: Sequence[Cursor], limit: int) -> Fetched:
        self._check_process()
        now, queue = self._clock.now(), self._tables.queue
        take_note(self._tables)
        envelopes: list[Envelope] = []
        waits: list[int] = []
        for cursor in cursors:
            queue.tidy(cursor.channel, cursor.lane)
            envelopes.extend(self._due(cursor, limit, now))
            if (due_at := queue.next_due(cursor.channel, cursor.lane, now)) is not None:
                waits.append(due_at - now)
        return Fetched(tuple(envelopes), min(waits, default=None), crew=crew(self._tables, now))

    def _due(self, cursor: Cursor, limit: int, now: int) -> list[Envelope]:
        """At most `limit` with a time and `limit` without: neither timers nor a backlog make the other late."""
        queue, is_held = self._tables.queue, self._tables.is_held
        timed = (each for each in queue.due_by(cursor.channel, cursor.lane, now) if not is_held(each))
        found = list(islice(timed, limit))
        at_once = (each for each in queue.at_once(cursor.channel, cursor.lane, cursor.after) if not is_held(each))
        found += islice(at_once, limit)
        return sorted(found, key=lambda each: each.position)

    async def sift(self, sift: Sift, limit: int) -> Fetched:
        now, queue = self._clock.now(), self._tables.queue
        queue.tidy(sift.channel, sift.lane)
        at_once = (each for each in queue.at_once(sift.channel, sift.lane, sift.after) if self._is_wanted(each, sift))
        found = list(islice(at_once, limit))
        if sift.only is not None:
            return Fetched(tuple(found), None, reached=queue.last_position)
        timed = (each for each in queue.due_by(sift.channel, sift.lane, now) if not self._tables.is_held(each))
        found = sorted([*found, *islice(timed, limit)], key=lambda each: each.position)
        due_at = queue.next_due(sift.channel, sift.lane, now)
        return Fetched(tuple(found), None if due_at is None else due_at - now, reached=queue.last_position)

    def _is_wanted(self, envelope: Envelope, sift: Sift) -> bool:
        key = envelope.partition_key
        wanted = key not in sift.without if sift.only is None else key == sift.only
        return wanted and not self._tables.is_held(envelope)

    async def load(self, saga: str, keys: Sequence[str]) -> Sequence[Loaded]:
        self._check_process()
        rows, queue = self._tables.instances, self._tables.queue
        return [
            Loaded(key, row.instance if (row := rows.get((saga, key))) is not None else None, queue.stashed(saga, key))
            for key in keys
        ]

    async def commit(self, batch: Batch) -> Sequence[Settled]:
        with self._call():
            answers = settle(self._tables, batch, self._clock.now())
        if any(answer.verdict is Verdict.COMMITTED for answer in answers):
            self._bell.ring()
        return answers

    def transaction(self) -> AbstractAsyncContextManager[Unit]:
        return self._transaction()

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[Unit, None]:
        self._check_process()
        unit = MemoryUnit(self._tables, self._clock)
        try:
            yield unit
        finally:
            unit.close()
            if unit.has_committed:
                self._bell.ring()

    async def replay(
        self,
        letter: int,
        *,
        force: bool = False,
        edit: Edit | None = None,
        entry: Entry | None = None,
        dry: bool = False,
    ) -> ReplayResult:
        if dry:
            self._check_process()
            return dead_letters.would_replay(self._tables, letter, force=force)
        now = self._clock.now()
        with self._call():
            answer = dead_letters.put_back(
                self._tables, letter, force=force, now=now, lanes=self._lanes, edit=edit, entry=entry
            )
        if answer is ReplayResult.DONE:
            self._bell.ring()
        return answer

    async def discard(self, letter: int, *, entry: Entry | None = None) -> ReplayResult:
        with self._call():
            answer = dead_letters.close(self._tables, letter, self._clock.now(), entry)
        if answer is ReplayResult.DONE:
            self._bell.ring()
        return answer

    async def change(self, mend: Mend, entry: Entry) -> int | None:
        with self._call():
            audit = mending.mend(self._tables, mend, entry, self._clock.now())
        self._bell.ring()
        return audit

    async def traces(self, subject: Subject, place: Place) -> Erasure:
        self._check_process()
        return erasing.step(self._tables, subject, place, self._clock.now(), None)

    async def erase(self, subject: Subject, place: Place, order: Order) -> Erasure:
        with self._call():
            done = erasing.step(self._tables, subject, place, self._clock.now(), order)
        self._bell.ring()
        return done

    async def purge(self, retention: Sequence[Retention], limit: int) -> Purged:
        now = self._clock.now()
        with self._call():
            purged = [forget(self._tables, each, limit=limit, now=now) for each in retention]
        for each in retention:
            tidy(self._tables, each.channel)
        return Purged(
            inbox=sum(each.inbox for each in purged),
            instances=sum(each.instances for each in purged),
            dead_letters=sum(each.dead_letters for each in purged),
            history=sum(each.history for each in purged),
            journal=sum(each.journal for each in purged),
            audits=sum(each.audits for each in purged),
            more=any(each.more for each in purged),
        )

    async def mend(self, fault: Fault) -> int:
        with self._call():
            removed = examination.mend(self._tables, fault)
        self._bell.ring()
        return removed

    async def changed(self, timeout: float | None) -> None:
        self._check_process()
        await self._bell.wait(timeout)

    def check_lending(self, kind: type | None) -> None:
        raise UnsupportedCapability("lending a transaction: there is no database behind it", ADAPTER)

    def execute_check(self, sql: str, parameters: Parameters) -> None:
        _refuse(Capability.STATEMENTS)

    def _check_process(self) -> None:
        if self._pid is not None:
            check_process(self._pid, "memory:")

    @contextmanager
    def _call(self) -> Generator[None, None, None]:
        """All changes of one call stay, or none."""
        self._check_process()
        try:
            with storable("memory"):
                yield
            self._tables.journal.commit()
        finally:
            self._tables.journal.rollback()


def _check_lanes(lanes: int) -> None:
    if (problem := lanes_problem(lanes)) is not None:
        raise ConfigurationError(problem)


def _refuse(capability: Capability) -> NoReturn:
    raise UnsupportedCapability(capability.value, ADAPTER)
