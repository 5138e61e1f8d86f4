"""The guarded handle of an open transaction on a server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from sagabus.errors import TransactionLost
from sagabus.outcome import Parameters
from sagabus.stores.sql.link import Link

Within: TypeAlias = Callable[[Awaitable[Any], Link], Awaitable[Any]]
"""Waits for something that is done on a connection, as long as a call may take."""


class GuardedLink:
    """The open transaction as a handler sees it: `await connection.execute(sql, parameters)`, and its rows.

    Transaction control, schema changes and the library's own tables raise StatementRefused; the commit is the bus's. A
    database error gives up the whole transaction: it can no longer commit, even if user code hides the error and
    continues. After the handler it is closed and every call raises TransactionLost.
    """

    def __init__(self, link: Link, check: Callable[[str], None], within: Within) -> None:
        self._link: Link | None = link
        self._check = check
        self._within = within
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
            found: Sequence[tuple[Any, ...]] = await self._within(link.query(sql, parameters), link)
        except BaseException as error:
            self.broken_by = error
            raise
        return found

    async def executemany(self, sql: str, parameters: Sequence[Parameters]) -> None:
        """Run one statement once for each set of parameters."""
        for each in parameters:
            await self.execute(sql, each)

    def close(self) -> None:
        """Take the transaction away from code that kept the handle."""
        self._link = None
