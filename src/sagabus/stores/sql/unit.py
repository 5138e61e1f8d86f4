"""One open transaction on a server, lent to a handler or to `bus.transaction()`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from sagabus.clock import Clock
from sagabus.envelope import Envelope
from sagabus.errors import StoreBusy, StoreError, TransactionLost
from sagabus.failpoint import hit
from sagabus.outcome import Admission, Settled, Verdict
from sagabus.store import Batch
from sagabus.stores.sql import appending, settling
from sagabus.stores.sql.guard import GuardedLink, Within
from sagabus.stores.sql.lending import Lender, Loan
from sagabus.stores.sql.link import Link
from sagabus.stores.sql.shielding import unbroken
from sagabus.stores.sql.steps import drive_async


class ServerUnit:
    """See `sagabus.store.Unit`."""

    def __init__(
        self,
        link: Link,
        clock: Clock,
        check: Callable[[str], None],
        within: Within,
        *,
        lender: Lender,
    ) -> None:
        self._link = link
        self._clock = clock
        self._check_statement = check
        self._within = within
        self._lender = lender
        self._loan: Loan | None = None
        self._open = False
        self._handle = GuardedLink(link, check, within)

    @property
    def connection(self) -> GuardedLink:
        """The guarded handle."""
        return self._handle

    async def lend(self, kind: type | None) -> Loan:
        """The same as another type."""
        self._check()
        self._loan = self._lender.loan(kind, self._link, self._handle)
        await self._within(self._loan.begin(), self._link)
        return self._loan

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
        """Commit everything, or roll everything back and say why. Cancelled, it ends first."""
        self._handle.close()
        # Not broken off: a driver that is cancelled has the server cancel a COMMIT that waits for its replica.
        settled: Sequence[Settled] = await unbroken(self._within(self._commit(batch), self._link))
        self._open = False
        hit("unit.after_commit")
        return settled

    async def end(self) -> None:
        """Roll back unless committed; calling twice is harmless."""
        self._handle.close()
        if self._open:
            self._open = False
            try:
                await self._within(self._roll_back(), self._link)
            except StoreError:
                self._link.terminate()  # the server rolls back what has lost its connection
            hit("unit.ended")

    async def _roll_back(self) -> None:
        if self._loan is not None:
            with suppress(Exception):  # the database undoes it all the same
                await self._loan.close()
        await self._link.rollback()

    async def _commit(self, batch: Batch | None) -> Sequence[Settled]:
        self._check()
        settled: Sequence[Settled] = []
        if batch is not None:
            steps = settling.settle(batch, self._clock.now, self._check_statement)
            try:
                settled = await drive_async(steps, self._link.answer)
            except appending.Raced as error:
                raise StoreBusy("another transaction claimed the same key at the same time") from error
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
