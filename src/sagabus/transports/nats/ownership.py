"""Which link of a service receives: one at a time, by compare-and-set. The others stand by.

The one that receives answers when it is asked whether it is there. Where its connection is gone, the server says at
once that none listens. One that is there and stays silent, as a frozen process is, is replaced after a while. Before it
hands anything out again it looks whether it still may.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from sagabus.transports.nats.client import Raw
from sagabus.transports.nats.connection import Connection
from sagabus.transports.nats.names import Names
from sagabus.transports.nats.registry import Holder, Record, Registry

_LOOK = 1.0
"""Seconds between two looks of a link that stands by, and for an answer of the one that receives, at most."""
_LOOKS = 4
"""How often a link that stands by looks within a lease, at least."""
_FRESH = 0.4
"""The part of a lease for which a look of the holder's own holds; well below the silence that costs it the place."""
_OVER = b"over"
"""What a link answers that receives nothing any more, and whose connection is not closed yet."""


class Ownership:
    """The place of one link among those of its service."""

    def __init__(
        self,
        connection: Connection,
        registry: Registry,
        names: Names,
        service: str,
        *,
        former: Callable[[str], bool],
        lease: float,
    ) -> None:
        """`former`: whether a link has ended, as far as this process knows.

        `lease`: seconds without an answer after which a link that is connected is replaced.
        """
        self._connection, self._registry, self._names = connection, registry, names
        self._service, self._former = service, former
        self._lease, self._look = lease, min(_LOOK, lease / _LOOKS)
        self.link = connection.new_inbox().rpartition(".")[2]
        """What this link is called."""
        self.is_held = False
        self._version = 0
        self._looked = 0.0
        self._silent: tuple[str, float] | None = None
        self._news = asyncio.Event()
        self._listening: list[Callable[[], Any]] = []

    async def listen(self) -> None:
        """Answer those that stand by, and hear of every change. Twice is harmless."""
        if not self._listening:
            self._listening.append(
                await self._connection.subscribe(self._registry.link_subject(self._service), self._heard)
            )
            self._listening.append(await self._connection.subscribe(self._names.link(self.link), self._asked))

    async def attempt(self) -> bool:
        """Take the place if it is free, or its holder is gone; whether we have it."""
        self._news.clear()
        record = await self._registry.holder(self._service)
        if not await self._is_free(record.value.link):
            return False
        asked = self._now()
        if await self._registry.set_holder(self._service, self.link, record.version):
            self.is_held, self._looked = True, asked
        return self.is_held

    async def wait(self) -> None:
        """Wait for something to change, or for a while."""
        try:
            async with asyncio.timeout(self._look):
                await self._news.wait()
        except TimeoutError:
            pass  # no news is a reason to look as well: a holder that died sends none

    async def check(self) -> bool:
        """Whether we still have the place; asks the broker where the last look is old, or something has changed."""
        if self._now() - self._looked < _FRESH * self._lease and not self._news.is_set():
            return True
        self._news.clear()
        asked = self._now()
        record = await self._registry.holder(self._service)
        if record.value.link == self.link:
            self._looked, self._version = asked, record.version
            return True
        return False

    async def give_up(self) -> None:
        """Leave the place to the next one."""
        if not self.is_held:
            return
        self.is_held = False
        record: Record[Holder] = await self._registry.holder(self._service)
        if record.value.link == self.link:
            await self._registry.set_holder(self._service, "", record.version)

    async def _is_free(self, holder: str) -> bool:
        if not holder or holder == self.link or self._former(holder):
            return True
        try:
            reply = await self._connection.ask(self._names.link(holder), patience=self._look)
        except TimeoutError:
            return self._is_silent(holder)
        self._silent = None
        return reply.is_unheard or reply.body == _OVER

    def _is_silent(self, holder: str) -> bool:
        """Whether it has not answered for long enough."""
        if self._silent is None or self._silent[0] != holder:
            self._silent = (holder, self._now() - self._look)
        return self._now() - self._silent[1] >= self._lease

    def _heard(self, raw: Raw) -> None:
        self._news.set()

    def _asked(self, raw: Raw) -> None:
        self._connection.answer(raw.reply, _OVER if self._connection.life.is_over else b"")

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
