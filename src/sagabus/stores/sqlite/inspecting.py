"""The read-only questions, each one hop to the reading thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sagabus.clock import Clock
from sagabus.envelope import DeadLetter, Envelope, Instance
from sagabus.store import ChannelCounts
from sagabus.stores.sqlite import reading


class SqliteInspection:
    """See `sagabus.store.Inspection`."""

    def __init__(self, read: Callable[[Callable[[Any], Any]], Awaitable[Any]], clock: Clock) -> None:
        self._read = read
        self._clock = clock

    async def due(self, channels: Sequence[str]) -> bool:
        """Whether any envelope of the channels could run now."""
        now = self._clock.now()
        due: bool = await self._read(lambda c: reading.due(c, channels, now))
        return due

    async def counts(self) -> Sequence[ChannelCounts]:
        """How much waits in each channel."""
        now = self._clock.now()
        found: list[ChannelCounts] = await self._read(lambda c: reading.counts(c, now))
        return found

    async def instances(
        self, saga: str, *, status: str | None = None, after: str = "", limit: int = 100
    ) -> Sequence[Instance]:
        """Instances of a saga by key."""
        found: list[Instance] = await self._read(lambda c: reading.instances(c, saga, status, after, limit))
        return found

    async def envelopes(
        self, channel: str, *, key: str | None = None, timers: bool = False, limit: int = 100
    ) -> Sequence[Envelope]:
        """What is stored in a channel."""
        found: list[Envelope] = await self._read(lambda c: reading.envelopes(c, channel, key, limit, timers=timers))
        return found

    async def dead_letters(
        self, *, channel: str | None = None, status: str | None = "open", after: int = 0, limit: int = 100
    ) -> Sequence[DeadLetter]:
        """Dead letters by id."""
        found: list[DeadLetter] = await self._read(lambda c: reading.dead_letters(c, channel, status, after, limit))
        return found

    async def dead_letter(self, letter: int) -> DeadLetter | None:
        """One dead letter."""
        found: DeadLetter | None = await self._read(lambda c: reading.dead_letter(c, letter))
        return found
