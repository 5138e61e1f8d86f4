"""SQLite as the store: one file, one writing thread, one reading thread.

The port's calls hop to the thread that owns the connection. The other modules of this package have what they do there.
Handlers that ask for the open transaction get a connection of their own, and while it is open other writes wait for
their turn.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from shlex import quote
from typing import Any, TypeVar

import msgspec

from sagabus.clock import Clock, SystemClock
from sagabus.envelope import LANES, Envelope
from sagabus.errors import StoreUnavailable
from sagabus.failpoint import hit
from sagabus.outcome import Admission, Parameters, Settled
from sagabus.store import AsyncJoined, Batch, Capability, Cursor, Fetched, Joined
from sagabus.store.examination import Conditions
from sagabus.store.loud import Sift
from sagabus.stores.process import check_process
from sagabus.stores.sql import settling
from sagabus.stores.sql.calls import SqlCalls
from sagabus.stores.sql.joining import join
from sagabus.stores.sql.planning import Lost
from sagabus.stores.sql.shielding import unbroken
from sagabus.stores.sql.steps import Answer, Query, Steps, UserQuery, drive
from sagabus.stores.sqlite import fetch_query, handing, schema
from sagabus.stores.sqlite.driver import Driver
from sagabus.stores.sqlite.file import DatabaseFile, translated
from sagabus.stores.sqlite.forwarding import Noting
from sagabus.stores.sqlite.guard import Authorizer, StatementChecker
from sagabus.stores.sqlite.handing import Handing
from sagabus.stores.sqlite.joining import SqliteHome
from sagabus.stores.sqlite.keeping import SqliteKeeper
from sagabus.stores.sqlite.lending import check_lending
from sagabus.stores.sqlite.looking import Looker
from sagabus.stores.sqlite.quiet_lanes import OtherWriters, QuietLanes, ends_of
from sagabus.stores.sqlite.sets import Executor
from sagabus.stores.sqlite.statements import STATEMENTS
from sagabus.stores.sqlite.surroundings import check_name, network_file_system, room, warn_of_writers
from sagabus.stores.sqlite.thread import DatabaseThread
from sagabus.stores.sqlite.unit import SqliteUnit
from sagabus.stores.sqlite.waking import Waking

T = TypeVar("T")


class SqliteStore(SqlCalls):
    """See `sagabus.store.Store`. One instance per process and file, opened where it is used, after any fork."""

    capabilities = frozenset(Capability)

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Clock | None = None,
        lanes: int = LANES,
        busy_timeout: float = 30.0,
    ) -> None:
        check_name(os.fspath(path))
        self.path: str = os.path.abspath(path)  # noqa: PTH100  # links stay, `..` goes: no method of Path does that
        self._clock = clock or SystemClock()
        self._lanes = lanes
        self._file = DatabaseFile(self.path, busy_timeout=busy_timeout)
        self._looker = Looker(self._file)
        self._pid = 0
        self._opened = False
        self._connections: list[Driver] = []
        """In the order in which they were made; closed in the other, the one that writes last."""

    async def open(self) -> None:
        """Make or open the file and bring its schema up to date."""
        if self._opened:
            return
        self._file.prepare()
        warn_of_writers(self.path)
        self._writer = DatabaseThread("sagabus-sqlite-writer")
        self._reader = DatabaseThread("sagabus-sqlite-reader")
        self._turn = asyncio.Lock()
        self._others = OtherWriters(self._clock)
        self._quiet = QuietLanes(self._others)
        self._handing = Handing(self._quiet)
        try:
            await unbroken(self._begin())
        except BaseException:
            await unbroken(self._end())
            raise
        self._pid = os.getpid()
        self._opened = True

    async def _begin(self) -> None:
        self._write_connection = await self._made(self._writer, self._connect)
        self._read_connection = await self._made(self._reader, self._file.connect)
        self._unit_connection = await self._made(self._writer, self._file.connect, 0)
        self._execute = Executor(self._write_connection, STATEMENTS)
        self._execute_read = Executor(self._read_connection, STATEMENTS)
        self._authorizer = Authorizer(self._unit_connection)
        self._checker = StatementChecker(await self._made(self._writer, self._file.connect))
        self._waking = Waking(self._version_of_others, self._clock)

    async def _made(self, thread: DatabaseThread, connect: Callable[..., Driver], *arguments: Any) -> Driver:
        connection = await thread.run(connect, *arguments)
        self._connections.append(connection)
        return connection

    async def durability_risks(self) -> Sequence[str]:
        """Whether the file lies where several machines may share it."""
        kind = network_file_system(os.path.realpath(self.path))  # noqa: ASYNC240  # read once, when a bus opens
        if kind is None:
            return ()
        way_out = "put it on a disk of this machine, or use PostgreSQL or MySQL"
        return [
            f"{self.path} lies on a network file system ({kind}), where SQLite's locks and log are not safe: {way_out}"
        ]

    async def _conditions(self) -> Conditions:
        """The clock and the disk of this machine."""
        free, folder = await asyncio.to_thread(room, self.path)
        return Conditions(self._clock.now(), room=free, room_command=f"df -h {quote(folder)}")

    async def _not_in_a_copy(self) -> str:
        """The number of the file in its file system: a copy has another one."""
        return f"-{os.stat(self.path).st_ino}"  # noqa: PTH116  # once for each link to a broker

    async def versions(self) -> list[int]:
        """The schema versions that the file has had."""
        return schema.versions_of(self.path)

    async def absence(self) -> str | None:
        """That there is no file, or no tables in it."""
        if not os.path.exists(self.path):  # noqa: ASYNC240, PTH110  # a path is a text here; a look, as at the versions
            return f"{self.path}: no such file"
        self._file.check()
        return None if schema.versions_of(self.path) else f"{self.path} has no tables of sagabus"

    def newest_version(self) -> int:
        """The last of the migrations."""
        return schema.LATEST

    def script(self) -> str:
        """All migrations as one text."""
        return schema.script()

    async def close(self) -> None:
        """Finish what runs and close every connection; the last one out tidies the write-ahead log. Cancelled, it does
        so without waiting for open transactions, which are rolled back.
        """
        if not self._opened:
            return
        self._opened = False
        if self._pid != os.getpid():
            return  # all of it is the parent's
        self._waking.wake()
        try:
            async with self._turn:
                await unbroken(self._end())
        except asyncio.CancelledError:
            await unbroken(self._end())
            raise

    async def _end(self) -> None:
        """Calling twice is harmless."""
        await self._reader.stop()
        await self._looker.stop()
        await self._writer.stop()
        self._file.let_go()
        while self._connections:
            self._connections.pop().close()

    def join(self, native: object) -> Joined | AsyncJoined:
        """Enter a transaction of the caller's on this file; whether this store is open makes no difference."""
        return join(native, SqliteHome(self.path, self._clock))

    def keeper(self) -> SqliteKeeper:
        """A way to renew leases that needs no event loop."""
        return SqliteKeeper(self.path, self._clock, self._check_process)

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
                try:
                    await unit.end()
                finally:
                    self._ask_all()
        self._waking.look()  # it has a connection of its own
        self._waking.wake()

    async def changed(self, timeout: float | None) -> None:
        """Return when something may have become due."""
        self._check_process()
        if await self._waking.wait(self._quiet.patience(timeout)):
            self._quiet.news_anywhere()

    def _version_of_others(self) -> int | None:
        """Another number whenever another connection has changed the file; None while the thread that writes is at it.

        Only then may its connection be asked from here.
        """
        if self._turn.locked():
            return None
        version: int = self._write_connection.execute("PRAGMA data_version").get
        return version

    def check_lending(self, kind: type | None) -> None:
        """Raise for a type that a unit cannot lend."""
        check_lending(kind, self.path)

    def execute_check(self, sql: str, parameters: Parameters) -> None:
        """Raise at once for a statement that the commit would refuse."""
        self._check_process()
        self._checker.check(sql)

    def _connect(self) -> Driver:
        connection = self._file.connect()
        self._file.hold()
        try:
            with translated(self.path):
                if schema.check(connection, self.path):
                    self._file.write(connection, lambda: schema.migrate(connection, self.path, self._clock.now()))
                    hit("migrate.after_commit")
        except BaseException:
            self._file.let_go()
            raise
        return connection

    async def append(self, envelopes: Sequence[Envelope], routing: int) -> Sequence[Admission] | None:
        """Accept addressed envelopes durably."""
        lanes = self._handing.ends_of(envelopes)
        answers, news = await self._written(
            lambda: handing.append_and_tell(envelopes, routing, self._clock.now(), lanes)
        )
        self._handing.stored(envelopes, lanes, news)
        self._waking.wake()
        hit("append.after_commit")
        return answers

    async def commit(self, batch: Batch) -> Sequence[Settled]:
        """The transaction."""
        noting: Noting | None = Noting(self._execute, self._write_connection)
        try:
            # Without a savepoint: it would keep a copy of each page that the flush changes.
            begin = partial(settling.settle, batch, self._clock.now, self._check, whole=True)
            answers = await self._written(begin, noting)
        except Lost:
            noting = None
            answers = await self._written(lambda: settling.settle(batch, self._clock.now, self._check))
        self._handing.committed(batch, answers, noting)
        self._waking.wake()
        hit("commit.after_commit")
        return answers

    async def fetch(self, cursors: Sequence[Cursor], limit: int) -> Fetched:
        """Due envelopes of the lanes."""
        self._check_process()
        now = self._clock.now()
        if (given := self._handing.give(cursors, limit, now)) is not None:
            if self._handing.forwards or self._quiet.has_news:
                self._waking.wake()  # for the other lanes
            return given
        asked = self._quiet.worth_asking(cursors, now)
        forwarded = self._handing.forwarded(cursors, asked.cursors, limit)
        if cursors and not asked.cursors:
            return Fetched(tuple(forwarded), self._quiet.until(now))
        fetched = await self._read(fetch_query.fetch(asked.cursors, limit, now))
        ends = ends_of(asked.cursors, fetched.envelopes, limit)
        self._handing.fetched(ends)
        fetched = self._quiet.came(asked, fetched, ends, now)
        return msgspec.structs.replace(fetched, envelopes=(*forwarded, *fetched.envelopes)) if forwarded else fetched

    async def sift(self, sift: Sift, limit: int) -> Fetched:
        """Due envelopes of some keys of one lane, from the file. Until the whole lane is fetched again, nothing of it
        comes by another way.
        """
        self._handing.sifting((sift.channel, sift.lane))
        return await super().sift(sift, limit)

    async def _write(self, begin: Callable[[], Steps[T]]) -> T:
        result = await self._written(begin)
        self._ask_all()
        self._waking.wake()
        return result

    async def _written(self, begin: Callable[[], Steps[T]], execute: Noting | None = None) -> T:
        self._check_process()
        async with self._turn:
            try:
                result: T = await self._writer.call(
                    self._file.write, self._write_connection, lambda: self._settled(begin, execute or self._execute)
                )
            except BaseException:  # cancelled, or cut at the end of its commit, it may have stored all of it
                self._ask_all()
                raise
            return result

    def _settled(self, begin: Callable[[], Steps[T]], execute: Callable[[Query | UserQuery], Answer]) -> T:
        self._others.exclude(self._write_connection.execute("PRAGMA data_version").get)
        try:
            return drive(begin(), execute)
        finally:
            self._others.admit()

    def _ask_all(self) -> None:
        """Anything may have changed: the next fetch asks the file for all."""
        self._handing.drop()
        self._quiet.news_anywhere()

    async def _read(self, steps: Steps[T]) -> T:
        self._check_process()
        return await self._reader.run(self._answered, steps)

    async def _look_into(self, steps: Steps[T], seconds: float | None = None) -> T:
        self._check_process()
        return await self._looker.look(steps, seconds)

    def _answered(self, steps: Steps[T]) -> T:
        with translated(self.path):
            return drive(steps, self._execute_read)

    def _check_process(self) -> None:
        if not self._opened:
            raise StoreUnavailable(f"{self.path} is not open", store=self.path)
        check_process(self._pid, self.path)
