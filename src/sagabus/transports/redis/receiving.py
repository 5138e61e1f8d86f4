"""Takes from the stream of a service, by the right of a lease. Links without it stand by.

What was handed out before and never settled comes first, in order. Then the link waits for what is new, on a
connection of its own: a connection that waits answers nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Sequence
from contextlib import suppress

from sagabus.errors import SagaBusError, TransportError
from sagabus.transport import Delivery
from sagabus.transports.lifetime import Lifetime
from sagabus.transports.redis import answers, entries, scripts
from sagabus.transports.redis.connection import Pipe, Reply
from sagabus.transports.redis.driver import RedisError
from sagabus.transports.redis.lease import Lease
from sagabus.transports.redis.names import CONSUMER, GROUP, Names

log = logging.getLogger("sagabus")

_GLANCE = 0.25
"""Seconds between two looks of a link that stands by."""
_WAIT = 5.0
"""Seconds of one wait for what is new."""
_BEYOND = 5.0
"""Seconds that its answer may take besides: a server that was frozen, or a connection that is dead, says nothing."""
_MOST_BYTES = 8 << 20
"""Of one reply, but for its last page: what a link holds is bounded, however large its messages are."""
_IN_HASTE = 0.5
_RENEW = 2.0
"""Seconds, at most, until a link notices that its lease is gone: what was sent after a loss waits for all to notice."""


class Receiving:
    """Receives for one service, for as long as its link lasts."""

    def __init__(self, service: str, names: Names, pipe: Pipe, waiting: Pipe, life: Lifetime, *, lease: Lease) -> None:
        """`waiting`: the connection that waits for what is new."""
        self.service = service
        self._name = names.queue(service)
        self._queue, self._key = self._name.encode(), names.lease(service).encode()
        self._pipe, self._waiting, self._life, self._lease = pipe, waiting, life, lease
        self._holds = False
        self._cursor, self._last = b"0-0", b"0-0"
        self._ready: deque[Delivery] = deque()
        self._open: dict[int, tuple[Delivery, str]] = {}
        self._tags = 0
        self._fetching: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None

    async def receive(self, most: int) -> Sequence[Delivery]:
        """See `sagabus.transport.Link`. Cancelled, it loses nothing: the next call hands out what came."""
        while not self._ready:
            if self._fetching is None:
                self._fetching = asyncio.get_running_loop().create_task(self._fetch(most), name="sagabus-redis-take")
            fetching = self._fetching
            await asyncio.wait([fetching])
            self._fetching = None
            if fetching.cancelled():
                raise self._life.error() if self._life.is_over else TransportError("the link is being closed")
            fetching.result()
        return [self._ready.popleft() for _ in range(min(most, len(self._ready)))]

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        """See `sagabus.transport.Link`."""
        found = [self._open.get(each.tag) for each in deliveries]
        known = [each for each, mine in zip(deliveries, found, strict=True) if mine is not None and mine[0] is each]
        ids = [self._open[each.tag][1] for each in known]
        if not ids:
            return
        lease = self._lease
        self._check(await self._run(scripts.SETTLE, GROUP, lease.token, lease.milliseconds, *ids))
        for each in known:
            self._open.pop(each.tag, None)

    async def take_over(self) -> float:
        """Take the lease if it is free; else the seconds for which it lasts. Raises the server's error."""
        lease = self._lease
        arguments: list[str | int] = [GROUP, CONSUMER, lease.token, lease.milliseconds, *lease.ended]
        taken, found = await self._pipe.run(scripts.TAKE_OVER, (self._queue, self._key), arguments)
        if not taken:
            return max(0.0, float(found) / 1000)
        if found:
            log.error(
                "%d messages of the service %s were deleted from %s before they were settled: no bus of ours does that",
                found,
                self.service,
                self._name,
            )
        self._holds = True
        self._renewing = asyncio.get_running_loop().create_task(self._renew(), name="sagabus-redis-lease")
        return 0.0

    async def close(self) -> None:
        """Release the lease at once, where the server can be reached."""
        tasks = [each for each in (self._fetching, self._renewing) if each is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._holds and not self._life.is_over:
            with suppress(RedisError, SagaBusError, TimeoutError):
                async with asyncio.timeout(_IN_HASTE):
                    await self._pipe.run(scripts.RELEASE, (self._key,), (self._lease.token,))

    # --- work of its own ----------------------------------------------------------------------------------------------

    async def _fetch(self, most: int) -> None:
        """Come to hold messages."""
        while not self._ready:
            if self._holds:
                await self._take(most)
            else:
                await self._stand_by()

    async def _stand_by(self) -> None:
        rest = await self._said(self.take_over())
        if not self._holds:
            await asyncio.sleep(min(_GLANCE, max(rest, 0.01)))

    async def _take(self, most: int) -> None:
        lease = self._lease
        arguments = (GROUP, CONSUMER, lease.token, lease.milliseconds, most, _MOST_BYTES, self._cursor)
        reply = self._check(await self._run(scripts.TAKE, *arguments))
        self._cursor, last, again, packed = reply
        found = entries.unpacked(packed)
        for number, (entry, parts) in enumerate(found):
            if not isinstance(parts, bool):  # else deleted by a stranger, and named when the lease was taken
                self._hand_out(entry, parts, is_again=number < again)
        if not found:
            command = ("XREAD", "COUNT", 1, "BLOCK", int(_WAIT * 1000), "STREAMS", self._queue, last)
            await self._said(self._waiting.ask(*command, patience=_WAIT + _BEYOND))

    def _hand_out(self, entry: str, parts: entries.Parts, *, is_again: bool) -> None:
        self._tags += 1
        message = entries.message(self._name, entry, parts)
        delivery = Delivery(message, self._tags, is_again)
        self._open[self._tags] = (delivery, entry)
        self._ready.append(delivery)

    async def _renew(self) -> None:
        lease = self._lease
        while True:
            await asyncio.sleep(min(lease.seconds / 3, _RENEW))
            with suppress(SagaBusError):  # the link has ended, and says why
                reply = await self._said(self._pipe.run(scripts.RENEW, (self._key,), (lease.token, lease.milliseconds)))
                self._check(reply)

    async def _run(self, script: scripts.Script, *arguments: bytes | str | int) -> Reply:
        return await self._said(self._pipe.run(script, (self._queue, self._key), arguments))

    async def _said(self, reply: Awaitable[Reply]) -> Reply:
        """What the server says; an error ends the link."""
        try:
            return await reply
        except RedisError as error:
            why = answers.text(error)
            if answers.is_missing(error):
                why = f"the server has lost the queue of service {self.service!r}: {why}"
            self._life.end(why)
            raise self._life.error() from None

    def _check(self, reply: Reply) -> Reply:
        """The reply; the link ends where its lease has."""
        if reply[0] == scripts.FENCED:
            self._life.end(
                f"its right to receive for service {self.service!r} has passed: it was silent for longer than "
                f"{self._lease.seconds:g} s, or the server lost its data"
            )
            raise self._life.error()
        return reply
