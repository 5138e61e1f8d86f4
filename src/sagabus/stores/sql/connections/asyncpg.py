"""asyncpg: a connection of its own, or one out of a pool."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from sagabus.stores.sql.connections.native import POSTGRES, AwaitedNative, no_transaction
from sagabus.stores.sql.dialect import DOLLARS
from sagabus.stores.sql.steps import Answer


class AsyncpgConnection(AwaitedNative):
    """An `asyncpg.Connection` inside `async with connection.transaction():`."""

    classes = frozenset({("asyncpg", "Connection"), ("asyncpg", "PoolConnectionProxy")})
    database = POSTGRES
    style = DOLLARS

    def __init__(self, native: Any) -> None:
        super().__init__(native)
        self._record: Any = sys.modules["asyncpg"].Record

    def check(self) -> None:
        if self._native.is_closed() or not self._native.is_in_transaction():
            raise no_transaction("the asyncpg connection", "use `async with connection.transaction():`")

    async def run(self, sql: str, parameters: Sequence[Any], *, gives: bool) -> Answer:
        if gives:
            return Answer(await self._native.fetch(sql, *parameters, record_class=self._record))
        status: str = await self._native.execute(sql, *parameters)
        last = status.rpartition(" ")[2]  # such as INSERT 0 5
        return Answer((), int(last) if last.isdigit() else 0)
