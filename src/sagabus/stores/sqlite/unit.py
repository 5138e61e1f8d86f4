"""One open transaction, lent to a handler or to `bus.transaction()`."""

from __future__ import annotations

from collections.abc import Sequence

from sagabus.clock import Clock
from sagabus.envelope import Envelope
from sagabus.errors import TransactionLost
from sagabus.failpoint import hit
from sagabus.outcome import Admission, Settled, Verdict
from sagabus.store import Batch
from sagabus.stores.sql import appending, settling
from sagabus.stores.sql.steps import drive
from sagabus.stores.sqlite.driver import Driver
from sagabus.stores.sqlite.file import DatabaseFile, translated
from sagabus.stores.sqlite.guard import Authorizer, GuardedConnection
from sagabus.stores.sqlite.lending import SqliteLoan
from sagabus.stores.sqlite.sets import Executor
from sagabus.stores.sqlite.statements import STATEMENTS
from sagabus.stores.sqlite.thread import DatabaseThread


class SqliteUnit:
    """See `sagabus.store.Unit`. The handle is used in the caller's thread, our own part runs in the writing thread."""

    def __init__(
        self,
        connection: Driver,
        authorizer: Authorizer,
        file: DatabaseFile,
        thread: DatabaseThread,
        *,
        clock: Clock,
        check: settling.Check,
    ) -> None:
        self._connection = connection
        self._execute = Executor(connection, STATEMENTS)
        self._file = file
        self._thread = thread
        self._clock = clock
        self._check_statement = check
        self._open = False
        self._handle = GuardedConnection(connection, authorizer, check)

    @property
    def connection(self) -> GuardedConnection:
        """The guarded handle."""
        return self._handle

    async def lend(self, kind: type | None) -> SqliteLoan:
        """The same as another type."""
        return SqliteLoan(self._handle, kind)

    async def begin(self) -> None:
        """Begin; waits for other processes' writes."""
        self._open = True
        await self._thread.call(self._begin)
        hit("unit.begun")

    async def append(self, envelopes: Sequence[Envelope], routing: int) -> Sequence[Admission] | None:
        """Accept envelopes inside this transaction."""
        return await self._thread.call(self._append, envelopes, routing)

    async def commit(self, batch: Batch | None = None) -> Sequence[Settled]:
        """Commit everything, or roll everything back and say why."""
        self._handle.close()
        settled = await self._thread.call(self._commit, batch)
        self._open = False
        hit("unit.after_commit")
        return settled

    async def end(self) -> None:
        """Roll back unless committed; calling twice is harmless."""
        self._handle.close()
        if self._open:
            self._open = False
            if not self._thread.stopped:  # else the connection is closed by now, and has rolled back
                await self._thread.call(self._file.end, self._connection)
            hit("unit.ended")

    def _begin(self) -> None:
        with translated(self._file.path):
            self._file.begin(self._connection)

    def _append(self, envelopes: Sequence[Envelope], routing: int) -> Sequence[Admission] | None:
        with translated(self._file.path):
            self._check()
            return drive(appending.append_at(envelopes, routing, self._clock.now()), self._execute)

    def _commit(self, batch: Batch | None) -> Sequence[Settled]:
        with translated(self._file.path):
            self._check()
            settled: Sequence[Settled] = []
            if batch is not None:
                settled = drive(settling.settle(batch, self._clock.now, self._check_statement), self._execute)
            if all(answer.verdict is Verdict.COMMITTED for answer in settled):
                hit("unit.before_commit")
                self._file.commit(self._connection)
            else:
                self._file.end(self._connection)
            return settled

    def _check(self) -> None:
        # The database may have rolled back by itself (disk full); what came after would commit on its own.
        if not self._connection.in_transaction:
            raise TransactionLost(
                f"{self._file.path}: the database has rolled the transaction back", store=self._file.path
            ) from self._handle.ended_by
