"""Hints between processes by NOTIFY, for those who ask for them: each in a transaction of its own, after the data's.

Inside a data transaction NOTIFY would take a lock over all commits of the database. A hint that gets lost costs
nothing: every worker looks for itself at short intervals.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Any

log = logging.getLogger("sagabus")

_PAUSE_SECONDS = 1.0


class Announcing:
    """Tells other processes of changes, and hears of theirs, on a connection of its own."""

    def __init__(
        self, connect: Callable[[], Awaitable[Any]], place: str, table: str, heard: Callable[[], None]
    ) -> None:
        self._connect = connect
        self._place = place
        self._channel = "sagabus_" + blake2b(table.encode(), digest_size=8).hexdigest()
        self._heard = heard
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._own = 0

    def start(self) -> None:
        """Begin to listen and to tell."""
        self._task = asyncio.get_running_loop().create_task(self._work(), name="sagabus-notify")
        self._task.add_done_callback(self._ended)

    def tell(self) -> None:
        """Something changed; many changes become one hint."""
        self._news.set()

    async def stop(self) -> None:
        """Hang up; calling twice is harmless."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if task is self._task:  # or this has stopped it
            log.error(
                "%s: sagabus-notify ended before the store was closed, so there are no hints between processes",
                self._place,
                exc_info=error,
            )

    async def _work(self) -> None:
        while True:
            try:
                await self._converse()
            except Exception as error:  # noqa: BLE001  # hints only: whatever it is, looking goes on
                log.warning("%s: no hints between processes for a moment: %r", self._place, error)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _converse(self) -> None:
        connection = await self._connect()
        try:
            self._own = connection.get_server_pid()
            await connection.add_listener(self._channel, self._hear)
            while not connection.is_closed():
                await self._news.wait()
                self._news.clear()
                await connection.execute(f"NOTIFY {self._channel}")
        finally:
            connection.terminate()

    def _hear(self, connection: Any, pid: int, channel: str, payload: str) -> None:
        if pid != self._own:
            self._heard()
