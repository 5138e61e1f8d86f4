"""A savepoint in the clothes of asyncpg's transaction."""

from __future__ import annotations

from itertools import count
from typing import Any

from sagabus.stores.postgres.driver import asyncpg

_numbers = count(1)


class Savepoint:
    """See `asyncpg.transaction.Transaction`."""

    def __init__(self, native: Any) -> None:
        self._native = native
        self._name = f"sagabus_lent_{next(_numbers)}"
        self._is_open = False

    async def start(self) -> None:
        """Set it."""
        if self._is_open:
            raise asyncpg.InterfaceError("cannot start; the transaction is already started")
        await self._native.execute(f"SAVEPOINT {self._name}")
        self._is_open = True

    async def commit(self) -> None:
        """Release it."""
        await self._end("RELEASE SAVEPOINT")

    async def rollback(self) -> None:
        """Roll back to it."""
        await self._end("ROLLBACK TO SAVEPOINT")

    async def __aenter__(self) -> None:
        await self.start()

    async def __aexit__(self, kind: object, *_: object) -> None:
        await (self.commit() if kind is None else self.rollback())

    async def _end(self, word: str) -> None:
        if not self._is_open:
            raise asyncpg.InterfaceError("the transaction is not open")
        self._is_open = False
        await self._native.execute(f"{word} {self._name}")
