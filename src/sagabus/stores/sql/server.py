"""A store on a database server: transactions over the event loop, deadlines, and what to do when connections fail.

An adapter adds the driver: how to connect, and the words of its dialect.
"""

from __future__ import annotations

import asyncio
import os
from abc import abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar

from sagabus.clock import Clock, SystemClock
from sagabus.envelope import Envelope, Instance
from sagabus.errors import StoreBusy, StoreError, StoreUnavailable, UnsupportedCapability
from sagabus.outcome import Parameters
from sagabus.store import AsyncJoined, Capability, Cursor, Fetched, Joined, Lane, Loaded
from sagabus.store.examination import Conditions
from sagabus.store.loud import Sift
from sagabus.store.survey import LONGEST_LOOK
from sagabus.stores.process import check_process
from sagabus.stores.sql import leasing, rows
from sagabus.stores.sql.appending import Raced
from sagabus.stores.sql.calls import SqlCalls
from sagabus.stores.sql.clocks import DatabaseClock
from sagabus.stores.sql.deadline import Deadline, LookLimit
from sagabus.stores.sql.fetching import Fetching
from sagabus.stores.sql.home import ServerHome
from sagabus.stores.sql.joining import join
from sagabus.stores.sql.keeping import ServerKeeper
from sagabus.stores.sql.lending import Lender
from sagabus.stores.sql.link import Link
from sagabus.stores.sql.migrating import Migration, migrate, versions
from sagabus.stores.sql.pool import Pool
from sagabus.stores.sql.shielding import unbroken
from sagabus.stores.sql.steps import Answer, Query, Steps, UserQuery, drive_async
from sagabus.stores.sql.unit import ServerUnit
from sagabus.stores.sql.vetting import vet
from sagabus.stores.sql.waiting import Waiting
from sagabus.stores.texts import storable

T = TypeVar("T")

_ROUNDS = 5
"""How often a transaction begins again because another one was quicker."""
_FIRST_PAUSE = 0.001
_LOOKS = 2
"""Connections for tools that look on. The work of the store never waits for one of them."""

Bound: TypeAlias = Callable[[Awaitable[Any]], Awaitable[Any]]
"""Waits for a step on a connection, as long as it may take."""


class ServerStore(SqlCalls):
    """See `sagabus.store.Store`. One instance per process, opened where it is used, after any fork."""

    capabilities = frozenset(Capability)

    _transactions_command: str | None = None
    _fetches_instances = False
    """Whether the dialect has the statement `fetch_few`."""

    def __init__(
        self, place: str, prefix: str, *, clock: Clock | None, lanes: int, pool_size: int, deadline: float
    ) -> None:
        self.place = place
        """The server, without its password."""
        self._prefix = prefix
        self._lanes = lanes
        self._patience = deadline
        self._look_limit = LookLimit(deadline)
        self._deadline = Deadline(deadline, place, self._connect)
        self._pool_size = pool_size
        self._database_clock = DatabaseClock(SystemClock()) if clock is None else None
        self._clock = clock or self._database_clock or SystemClock()
        self._fetching = Fetching(self._clock)
        self._pid = 0
        self._opened = False
        self._test_clock = clock
        self._lender = Lender()
        self._identity: int | None = None
        """What tells its tables from all others of their name."""

    @cached_property
    def _home(self) -> ServerHome:
        return self._make_home(self._test_clock)

    @abstractmethod
    async def _connect(self) -> Link:
        """A new connection; StoreUnavailable or another StoreError with the way out."""

    def _make_home(self, clock: Clock | None) -> ServerHome:
        """What it says of itself to transactions that join it. `clock`: the one that a test moves."""
        raise UnsupportedCapability("joining a transaction", self.place)

    @abstractmethod
    def _migrations(self) -> Sequence[Migration]:
        """Numbered scripts, in order."""

    @abstractmethod
    def script(self) -> str:
        """All migrations as one text."""

    def newest_version(self) -> int:
        """The last of the migrations."""
        return self._migrations()[-1].version

    async def versions(self) -> list[int]:
        """The schema versions that the database has had."""
        link = await self._connect()
        try:
            return await self._within(versions(link), link)
        finally:
            link.terminate()

    async def absence(self) -> str | None:
        """That there are no tables."""
        found = await self.versions()
        return None if found else f"{self.place} has no tables of sagabus with this schema and prefix"

    # --- life ---------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect and bring the schema up to date."""
        if self._opened:
            return
        self._pool = Pool(self._connect, self._pool_size, self._patience, self.place)
        self._looks = Pool(self._connect, _LOOKS, self._patience, self.place)
        self._waiting = Waiting(self._clock)
        self._fetching = Fetching(self._clock)
        self._pid = os.getpid()
        self._opened = True
        try:
            async with self._pool.link() as link:
                await self._within(self._begin_life(link), link)
        except BaseException:
            self._opened = False
            await self._pool.close()
            raise

    async def close(self) -> None:
        """Finish nothing more, and disconnect."""
        if not self._opened:
            return
        self._opened = False
        if self._pid != os.getpid():
            return  # the connections are the parent's: a word on one of them would end its session
        self._waiting.wake()
        try:
            await self._deadline.close()
            await self._looks.close()
        finally:
            await self._pool.close()

    async def _begin_life(self, link: Link) -> None:
        await self._sync(link)
        await migrate(link, self._migrations(), self.place, self._clock.now(), vet=self._vet)
        numbers = {row[0]: row[1] for row in (await link.answer(Query("meta"))).rows}
        self._identity = numbers.get("identity")

    async def _vet(self, link: Link, to_come: Sequence[Migration]) -> None:
        """Refuse to migrate where a table is there that is not ours, if nothing else would."""

    # --- calls that a server answers in its own way -------------------------------------------------------------------

    async def fetch(self, cursors: Sequence[Cursor], limit: int) -> Fetched:
        """Due envelopes of the lanes, and those that were committed late."""
        self._check_process()
        steps = self._fetching.fetch(cursors, limit, self._clock.now(), with_instances=self._fetches_instances)
        try:
            first = next(steps)
        except StopIteration as end:
            fetched: Fetched = end.value  # all of it was handed over: no connection is needed
        else:
            fetched = await self._hasty(lambda link: drive_async(steps, link.answer, first))
        self._waiting.found(bool(fetched.envelopes))
        return fetched

    async def sift(self, sift: Sift, limit: int) -> Fetched:
        """Due envelopes of some keys of one lane, and those that were committed late."""
        return await self._read(self._fetching.sift(sift, limit, self._clock.now()))

    async def load(self, saga: str, keys: Sequence[str]) -> Sequence[Loaded]:
        """What is stored under each key."""
        return await self._look(self._load(saga, keys))

    @staticmethod
    def _load(saga: str, keys: Sequence[str]) -> Steps[list[Loaded]]:
        instances: dict[str, Instance] = {}
        stashed: dict[str | None, list[Envelope]] = {}
        for row in (yield Query("load", (saga,), [(key,) for key in keys])).rows:
            if row[0] is not None:
                instances[row[1]] = rows.instance_of(row)
            else:
                envelope = rows.envelope_of(row[rows.INSTANCE_WIDTH :])
                stashed.setdefault(envelope.partition_key, []).append(envelope)
        for waiting in stashed.values():
            waiting.sort(key=attrgetter("position"))
        return [Loaded(key, instances.get(key), tuple(stashed.get(key, ()))) for key in keys]

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
        """Renew, share out and take over, by the database's clock of this moment."""
        # Half a lease for each call that keeps a worker's lanes going. Without an answer, another connection repeats
        # the call well before the lease ends, whatever the deadline of other calls is.
        self._look_limit.lease = duration / 1_000_000
        if self._database_clock is not None:
            await self._hasty(self._sync)
        return await super().lease(worker, channels, duration=duration, window=window, patient=patient, knows=knows)

    def keeper(self) -> ServerKeeper:
        """A way to renew leases that needs no event loop."""
        return ServerKeeper(self._twin, self._check_process)

    @abstractmethod
    def _twin(self) -> ServerStore:
        """Another store of the same address and clock, not open."""

    async def connect(self) -> Link:
        """A connection of the caller's own; `open` or not."""
        return await self._connect()

    async def renew_on(self, link: Link, worker: str, duration: int) -> None:
        """Renew what the worker still owns, in one transaction on that connection."""
        now = await link.now() if self._test_clock is None else self._test_clock.now()
        await self._transact(link, lambda: leasing.renew(worker, now, duration=duration))

    # --- transactions -------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[ServerUnit, None]:
        """Open a transaction on a connection of its own."""
        self._check_process()
        async with self._pool.lent() as link:
            unit = ServerUnit(link, self._clock, self._check, self._within, lender=self._lender)
            try:
                await unit.begin()  # cancelled meanwhile it has begun all the same, and is to end
                yield unit
            finally:
                await unit.end()
        self._fetching.news_anywhere()
        self._waiting.wake()

    def join(self, native: object) -> Joined | AsyncJoined:
        """Enter a transaction of the caller's; whether this store is open makes no difference."""
        return join(native, self._home.of(self._identity))

    async def changed(self, timeout: float | None) -> None:
        """Return when something may have become due."""
        self._check_process()
        await self._waiting.wait(timeout)

    def check_lending(self, kind: type | None) -> None:
        """Raise for a type that a unit cannot lend."""
        self._lender.check(kind, self.place)

    def execute_check(self, sql: str, parameters: Parameters) -> None:
        """Raise at once for a statement that the commit would refuse."""
        vet(sql, self._prefix)

    async def _write(self, begin: Callable[[], Steps[T]]) -> T:
        """Run the logic in one transaction; from the start again when another transaction was quicker."""
        result: T = await self._alone(lambda link: self._transact(link, begin))
        self._fetching.news_anywhere()
        self._waiting.wake()
        return result

    async def _write_long(self, begin: Callable[[], Steps[T]]) -> T:
        """The deadline holds for each statement, not for all of them."""

        async def work(link: Link) -> T:
            return await self._transact(link, begin, lambda step: self._within(step, link))

        result: T = await self._alone(work, bounded=False)
        self._fetching.news_anywhere()
        self._waiting.wake()
        return result

    async def _read(self, steps: Steps[T]) -> T:
        """Each statement is a transaction of its own."""
        return await self._alone(lambda link: drive_async(steps, link.answer))

    async def _look_into(self, steps: Steps[T], seconds: float | None = None) -> T:
        self._check_process()
        limit = self._patience if seconds is None else min(seconds, self._patience)

        async def looked() -> T:
            with storable(self.place):
                async with self._looks.link() as link:
                    return await self._deadline.within(drive_async(steps, link.answer), link, limit)

        return await unbroken(looked())

    async def _look(self, steps: Steps[T]) -> T:
        """What a worker asks again and again, while it leases lanes."""
        result: T = await self._hasty(lambda link: drive_async(steps, link.answer))
        return result

    async def _conditions(self) -> Conditions:
        """The clock of the server, asked on a connection of those who look on."""
        self._check_process()

        async def asked() -> Conditions:
            async with self._looks.link() as link:
                now = await self._deadline.within(link.now(), link, min(LONGEST_LOOK, self._patience))
                oldest = await self._deadline.within(link.oldest_transaction(), link, min(LONGEST_LOOK, self._patience))
                now = now if self._test_clock is None else self._test_clock.now()
                return Conditions(now, self._is_pooled, oldest, self._transactions_command)

        with storable(self.place):
            return await unbroken(asked())

    @property
    def _is_pooled(self) -> bool:
        """Whether a transaction pooler stands between."""
        return False

    async def _hasty(self, work: Callable[[Link], Awaitable[T]]) -> T:
        with self._look_limit.applied() as seconds:
            return await self._alone(work, seconds=seconds)

    async def _alone(
        self, work: Callable[[Link], Awaitable[T]], *, bounded: bool = True, seconds: float | None = None
    ) -> T:
        """Do it on a separate connection. A cancellation is raised only after it has ended, so that no other call
        follows too early.
        """
        self._check_process()
        return await unbroken(self._on_a_link(work, seconds, bounded=bounded))

    async def _on_a_link(self, work: Callable[[Link], Awaitable[T]], seconds: float | None, *, bounded: bool) -> T:
        with storable(self.place):
            async with self._pool.link() as link:
                result: T = await (self._deadline.within(work(link), link, seconds) if bounded else work(link))
                return result

    async def _transact(self, link: Link, begin: Callable[[], Steps[T]], each: Bound | None = None) -> T:
        """`each`: waits for one step, where the whole is not bounded."""
        bound = each or _as_it_is

        async def answer(ask: Query | UserQuery) -> Answer:
            found: Answer = await bound(link.answer(ask))
            return found

        for round_ in range(_ROUNDS):
            if round_:
                await asyncio.sleep(_FIRST_PAUSE * 3**round_)  # not at once again against the same opponent
            try:
                await bound(link.begin())
                result = await drive_async(begin(), link.answer if each is None else answer)
                await bound(link.commit())
            except BaseException as error:
                await self._undo(link, bound)
                # A deadlock, or the same id twice at the same time: the database has undone it, and nothing is lost.
                if round_ < _ROUNDS - 1 and isinstance(error, (Raced, StoreBusy)):
                    continue
                if isinstance(error, Raced):
                    raise StoreBusy(f"{self.place}: others were always quicker", store=self.place) from error
                raise
            else:
                return result
        raise AssertionError("unreachable")

    @staticmethod
    async def _undo(link: Link, bound: Bound) -> None:
        if link.usable:
            return
        try:
            await bound(link.rollback())
        except StoreError:
            link.terminate()

    async def _within(self, work: Awaitable[T], link: Link) -> T:
        """Wait for it no longer than the deadline; a server that does not answer loses its connection."""
        return await self._deadline.within(work, link)

    async def _sync(self, link: Link) -> None:
        if self._database_clock is not None:
            self._database_clock.set(await link.now())

    def _check_process(self) -> None:
        if not self._opened:
            raise StoreUnavailable(f"{self.place} is not open", store=self.place)
        check_process(self._pid, self.place)


def _as_it_is(step: Awaitable[T]) -> Awaitable[T]:
    return step
