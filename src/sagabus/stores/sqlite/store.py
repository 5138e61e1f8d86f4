"""SQLite as the store: one file, one writing thread, one reading thread.

The port's calls hop to the thread that owns the connection; what they do there stands in the modules beside this one.
Handlers that ask for the open transaction get a connection of their own, and while it is open other writes wait for
their turn.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import apsw

from sagabus.clock import Clock, SystemClock
from sagabus.envelope import Envelope
from sagabus.errors import ForkedProcess, StoreUnavailable
from sagabus.failpoint import hit
from sagabus.outcome import Admission, Parameters, Settled
from sagabus.store import (
    Batch,
    Capability,
    Cursor,
    Fetched,
    Lane,
    Loaded,
    Purged,
    ReplayResult,
    Retention,
    Routing,
    Subscription,
)
from sagabus.stores.sqlite import appending, leasing, letters, reading, registering, schema, settling
from sagabus.stores.sqlite.driver import Driver
from sagabus.stores.sqlite.file import DatabaseFile, translated
from sagabus.stores.sqlite.guard import Authorizer, StatementChecker
from sagabus.stores.sqlite.inspecting import SqliteInspection
from sagabus.stores.sqlite.joining import JoinedTransaction
from sagabus.stores.sqlite.thread import DatabaseThread
from sagabus.stores.sqlite.unit import SqliteUnit
from sagabus.stores.sqlite.waking import Waking

T = TypeVar("T")


class SqliteStore:
    """See `sagabus.store.Store`. One instance per process and file, opened where it is used, after any fork."""

    capabilities = frozenset(Capability)

    def __init__(
        self, path: str | os.PathLike[str], *, clock: Clock | None = None, lanes: int = 16, busy_timeout: float = 30.0
    ) -> None:
        self.path: str = os.path.abspath(path)  # noqa: PTH100  # links stay, `..` goes: no method of Path does that
        self._clock = clock or SystemClock()
        self._lanes = lanes
        self._file = DatabaseFile(self.path, busy_timeout=busy_timeout)
        self._pid = 0
        self._opened = False

    @property
    def inspect(self) -> SqliteInspection:
        """The read-only side."""
        return SqliteInspection(self._read, self._clock)

    async def open(self) -> None:
        """Make or open the file and bring its schema up to date."""
        if self._opened:
            return
        self._file.prepare()
        self._writer = DatabaseThread("sagabus-sqlite-writer")
        self._reader = DatabaseThread("sagabus-sqlite-reader")
        self._turn = asyncio.Lock()
        try:
            self._write_connection = await self._writer.run(self._connect)
            self._read_connection = await self._reader.run(self._file.connect)
            self._unit_connection = await self._writer.run(self._file.connect, 0)
            self._authorizer = Authorizer(self._unit_connection)
            self._checker = StatementChecker(await self._writer.run(self._file.connect))
        except BaseException:
            await self._stop()
            raise
        self._waking = Waking(self._file.connect(), self._clock)
        self._pid = os.getpid()
        self._opened = True

    async def close(self) -> None:
        """Finish what runs and close every connection; the last one out tidies the write-ahead log."""
        if not self._opened:
            return
        self._opened = False
        async with self._turn:
            await self._stop()
        self._waking.close()
        for connection in (
            self._read_connection,
            self._unit_connection,
            self._checker.connection,
            self._write_connection,
        ):
            connection.close()

    async def register(self, subscriptions: Sequence[Subscription]) -> Routing:
        """Add subscriptions."""
        routing = await self._write(lambda c: registering.register(c, subscriptions, self._lanes))
        hit("register.after_commit")
        return routing

    async def unregister(self, channel: str, message_type: str) -> Routing:
        """Remove one subscription."""
        return await self._write(lambda c: registering.unregister(c, channel, message_type))

    async def routing(self) -> Routing:
        """The subscriptions as they are now."""
        return await self._read(registering.read)

    async def append(self, envelopes: Sequence[Envelope], routing: int) -> Sequence[Admission] | None:
        """Accept addressed envelopes durably."""
        now = self._clock.now()
        answers = await self._write(lambda c: appending.append_at(c, envelopes, routing, now))
        hit("append.after_commit")
        return answers

    def join(self, native: apsw.Connection | sqlite3.Connection | object) -> JoinedTransaction:
        """Enter a transaction of the caller's on this file."""
        self._check_process()
        return JoinedTransaction(native, self.path, self._clock)

    async def lease(self, worker: str, channels: Sequence[str], *, duration: int, window: int) -> Sequence[Lane]:
        """Renew, share out and take over."""
        now = self._clock.now()
        return await self._write(
            lambda c: leasing.lease(c, worker, channels, now, duration=duration, window=window, lanes=self._lanes)
        )

    async def release(self, worker: str, lanes: Sequence[Lane] | None = None) -> None:
        """Give lanes back."""
        await self._write(lambda c: leasing.release(c, worker, lanes))

    async def fetch(self, cursors: Sequence[Cursor], limit: int) -> Fetched:
        """Due envelopes of the lanes."""
        now = self._clock.now()
        return await self._read(lambda c: reading.fetch(c, cursors, limit, now))

    async def load(self, saga: str, keys: Sequence[str]) -> Sequence[Loaded]:
        """What is stored under each key."""
        return await self._read(lambda c: reading.load(c, saga, keys))

    async def commit(self, batch: Batch) -> Sequence[Settled]:
        """The transaction."""
        now = self._clock.now()
        answers = await self._write(lambda c: settling.settle(c, batch, now, self._checker.check))
        hit("commit.after_commit")
        return answers

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[SqliteUnit, None]:
        """Open a transaction on a connection of its own; other writers of this process wait for their turn."""
        self._check_process()
        async with self._turn:
            unit = SqliteUnit(
                self._unit_connection,
                self._authorizer,
                self._file,
                self._writer,
                clock=self._clock,
                check=self._checker.check,
            )
            try:
                await unit.begin()  # cancelled meanwhile it has begun all the same, and is to end
                yield unit
            finally:
                await unit.end()
        self._waking.wake()

    async def replay(self, letter: int, *, force: bool = False) -> ReplayResult:
        """Put an open dead letter back."""
        now = self._clock.now()
        result = await self._write(lambda c: letters.replay(c, letter, now, force=force))
        hit("replay.after_commit")
        return result

    async def discard(self, letter: int) -> ReplayResult:
        """Close an open dead letter for good."""
        now = self._clock.now()
        return await self._write(lambda c: letters.discard(c, letter, now))

    async def purge(self, retention: Sequence[Retention], limit: int) -> Purged:
        """Forget what is older than its window."""
        now = self._clock.now()
        purged = await self._write(lambda c: letters.purge(c, retention, limit, now))
        hit("purge.after_commit")
        return purged

    async def changed(self, timeout: float | None) -> None:
        """Return when something may have become due."""
        await self._waking.wait(timeout)

    def execute_check(self, sql: str, parameters: Parameters) -> None:
        """Raise at once for a statement that the commit would refuse."""
        self._checker.check(sql)

    def _connect(self) -> Driver:
        connection = self._file.connect()
        self._file.hold()
        try:
            with translated(self.path):
                if schema.check(connection, self.path):
                    self._file.write(connection, lambda c: schema.migrate(c, self.path, self._clock.now()))
                    hit("migrate.after_commit")
        except BaseException:
            self._file.let_go()
            raise
        return connection

    async def _write(self, work: Callable[[Driver], T]) -> T:
        self._check_process()
        async with self._turn:
            result: T = await self._writer.call(self._file.write, self._write_connection, work)
        self._waking.wake()
        return result

    async def _read(self, work: Callable[[Driver], T]) -> T:
        self._check_process()
        return await self._reader.run(self._translated, work)

    def _translated(self, work: Callable[[Driver], T]) -> T:
        with translated(self.path):
            return work(self._read_connection)

    async def _stop(self) -> None:
        await self._reader.stop()
        await self._writer.stop()
        self._file.let_go()

    def _check_process(self) -> None:
        if not self._opened:
            raise StoreUnavailable(f"{self.path} is not open", store=self.path)
        if self._pid != os.getpid():
            raise ForkedProcess(
                f"{self.path} was opened by process {self._pid}, this is {os.getpid()}: "
                "open a bus of its own after the fork",
                store=self.path,
            )
