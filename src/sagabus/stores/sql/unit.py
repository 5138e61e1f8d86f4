"""One open transaction on a server, lent to a handler or to `bus.transaction()`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from sagabus.clock import Clock
from sagabus.envelope import Envelope
from sagabus.errors import StoreError, TransactionLost
from sagabus.failpoint import hit
from sagabus.outcome import Admission, Parameters, Settled, Verdict
from sagabus.store import Batch
from sagabus.stores.sql import appending, settling
from sagabus.stores.sql.asking import drive_async
from sagabus.stores.sql.link import Link


class GuardedLink:
    """The open transaction as a handler sees it: `await connection.execute(sql, parameters)`, and its rows.

    Transaction control, schema changes and the library's own tables raise StatementRefused; the commit is the bus's.
    A database error gives the transaction up as a whole: nothing of it can commit any more, even if user code hides the
    error and goes on. After the handler it is closed and every call raises TransactionLost.
    """

    def __init__(self, link: Link, check: Callable[[str], None]) -> None:
        self._link: Link | None = link
        self._check = check
        self.broken_by: BaseException | None = None
        """The error after which only a rollback is possible."""

    async def execute(
        self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
    ) -> Sequence[tuple[Any, ...]]:
        """Run one statement in the transaction; its rows. The driver's errors (a constraint, say) come through."""
        link = self._link
        if link is None:
            raise TransactionLost("the transaction of this handle has ended") from self.broken_by
        if self.broken_by is not None:
            raise TransactionLost("an error has ended this transaction; only a rollback is left") from self.broken_by
        self._check(sql)
        try:
            return await link.query(sql, parameters)
        except BaseException as error:
            self.broken_by = error
            raise

    async def executemany(self, sql: str, parameters: Sequence[Parameters]) -> None:
        """Run one statement once for each set of parameters."""
        for each in parameters:
            await self.execute(sql, each)

    def close(self) -> None:
        """Take the transaction away from whoever kept the handle."""
        self._link = None


class ServerUnit:
    """See `sagabus.store.Unit`."""

    def __init__(
        self,
        link: Link,
        clock: Clock,
        check: Callable[[str], None],
        within: Callable[[Awaitable[Any], Link], Awaitable[Any]],
    ) -> None:
        self._link = link
        self._clock = clock
        self._check_statement = check
        self._within = within
        self._open = False
        self._handle = GuardedLink(link, check)

    @property
    def connection(self) -> GuardedLink:
        """The guarded handle."""
        return self._handle

    async def begin(self) -> None:
        """Begin."""
        self._open = True
        await self._within(self._link.begin(), self._link)
        hit("unit.begun")

    async def append(self, envelopes: Sequence[Envelope], routing: int) -> Sequence[Admission] | None:
        """Accept envelopes inside this transaction."""
        self._check()
        steps = appending.append_at(envelopes, routing, self._clock.now(), inside=True)
        answers: Sequence[Admission] | None = await self._within(drive_async(steps, self._link.answer), self._link)
        return answers

    async def commit(self, batch: Batch | None = None) -> Sequence[Settled]:
        """Commit everything, or roll everything back and say why."""
        self._handle.close()
        settled: Sequence[Settled] = await self._within(self._commit(batch), self._link)
        self._open = False
        hit("unit.after_commit")
        return settled

    async def end(self) -> None:
        """Roll back unless committed; calling twice is harmless."""
        self._handle.close()
        if self._open:
            self._open = False
            try:
                await self._within(self._link.rollback(), self._link)
            except StoreError:
                self._link.terminate()  # the server rolls back what has lost its connection
            hit("unit.ended")

    async def _commit(self, batch: Batch | None) -> Sequence[Settled]:
        self._check()
        settled: Sequence[Settled] = []
        if batch is not None:
            steps = settling.settle(batch, self._clock.now(), self._check_statement)
            settled = await drive_async(steps, self._link.answer)
        if all(answer.verdict is Verdict.COMMITTED for answer in settled):
            hit("unit.before_commit")
            await self._link.commit()
        else:
            await self._link.rollback()
        return settled

    def _check(self) -> None:
        if not self._open:
            raise TransactionLost("the transaction of this unit has ended")
        broken_by = self._handle.broken_by
        if isinstance(broken_by, StoreError):
            raise broken_by
        if broken_by is not None:
            raise TransactionLost(
                f"a statement failed inside the transaction, which cannot commit any more: {broken_by}"
            ) from broken_by
