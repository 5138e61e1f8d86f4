"""One connection to the server: commands go out as they come, and replies are matched in order.

A task of its own writes, and another one reads. So a call that is cancelled leaves the connection as it is, and its
reply is dropped when it comes.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from sagabus.errors import TransportError
from sagabus.transports.lifetime import Lifetime
from sagabus.transports.redis import answers
from sagabus.transports.redis.driver import NoScriptError, RedisError, ResponseError, cut
from sagabus.transports.redis.scripts import Script

Part: TypeAlias = bytes | str | int
Reply: TypeAlias = Any
"""Bytes, a number, None, an error, or a list of those."""
PATIENCE = 20.0
"""Seconds until a server that does not answer counts as lost."""
_FAREWELL = 0.5
"""Seconds for the end of an encrypted connection, which both sides have to say."""


class Pipe:
    """A connection from its begin to its end. It ends the life of the link, and ends with it."""

    def __init__(self, connection: Any, life: Lifetime, place: str) -> None:
        """`connection`: the driver's, connected."""
        self._connection, self._life, self._place = connection, life, place
        self._unsent: list[bytes] = []
        self._has_unsent = asyncio.Event()
        self._waiting: deque[asyncio.Future[Reply]] = deque()
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._guarded(work), name="sagabus-redis") for work in (self._write, self._read)
        ]

    async def ask(self, *command: Part, patience: float = PATIENCE) -> Reply:
        """The reply to a command. TransportError where the connection ends before, or `patience` seconds pass.

        Raises the server's error, as the driver has it.
        """
        self._life.check()
        found: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._unsent += self._connection.pack_command(*command)
        self._waiting.append(found)
        self._has_unsent.set()
        try:
            async with asyncio.timeout(patience):
                return await found
        except TimeoutError:
            self._life.end(f"no answer for {patience:g} s")
            raise self._life.error() from None

    async def run(self, script: Script, keys: Sequence[Part], arguments: Sequence[Part]) -> Reply:
        """The reply of a script, which the server learns where it does not know it."""
        rest = (len(keys), *keys, *arguments)
        try:
            return await self.ask("EVALSHA", script.sha, *rest)
        except NoScriptError:
            return await self.ask("EVAL", script.text, *rest)

    async def close(self) -> None:
        """End. Twice is harmless. Cancelled, it ends at once."""
        for task in self._tasks:
            task.cancel()
        try:
            await asyncio.wait(self._tasks)
            self._drop()
            with suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(_FAREWELL):
                    await self._connection.disconnect()
        finally:
            self.cut()

    def cut(self) -> None:
        """End without a farewell."""
        for task in self._tasks:
            task.cancel()
        self._drop()
        cut(self._connection)

    async def _guarded(self, work: Callable[[], Any]) -> None:
        """Work until the connection ends, and say so to all who wait."""
        try:
            await work()
        except RedisError as error:
            self._life.end(answers.text(error))
        except OSError as error:
            self._life.end(f"{type(error).__name__}: {error}")
        finally:
            self._life.end("the connection has ended")
            self._drop()

    async def _write(self) -> None:
        while True:
            await self._has_unsent.wait()
            self._has_unsent.clear()
            unsent, self._unsent = self._unsent, []
            await self._connection.send_packed_command(unsent, check_health=False)

    async def _read(self) -> None:
        while True:
            try:
                reply: Reply = await self._connection.read_response(
                    disable_decoding=True, timeout=math.inf, disconnect_on_error=False
                )
            except ResponseError as error:
                reply = error
            if not self._waiting:
                raise TransportError("a reply came to no command", transport=self._place)
            found = self._waiting.popleft()
            if found.done():
                continue  # who asked was cancelled
            if isinstance(reply, ResponseError):
                found.set_exception(reply)
            else:
                found.set_result(reply)

    def _drop(self) -> None:
        """No call waits for what cannot come."""
        waiting, self._waiting = self._waiting, deque()
        for found in waiting:
            if not found.done():
                found.set_exception(self._life.error())
