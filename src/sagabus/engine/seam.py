"""Where a test harness meets the engine: what it puts in the place of parts, and what it asks of a bus.

A bus in production has one that changes nothing. The harness goes through it, and neither overrides nor reads what is
the bus's own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from sagabus.engine.sender import Sender
from sagabus.middleware import Middleware


class Seam:
    """One for each bus; `is_idle` and `abandon` work once the bus has it.

    `sender`: makes the sender. `rereads`: each run gets its saga as it is stored, and never as the run before left it.
    """

    _is_idle: Callable[[], Awaitable[bool]]
    _abandon: Callable[[], Awaitable[None]]

    def __init__(
        self,
        *,
        sender: Callable[..., Sender] = Sender,
        rereads: bool = False,
    ) -> None:
        self.sender = sender
        self.rereads = rereads
        self.middleware: list[Middleware] = []
        """What the runs of the bus go through, the outermost first."""

    def attach(self, is_idle: Callable[[], Awaitable[bool]], abandon: Callable[[], Awaitable[None]]) -> None:
        """The bus says how it is asked."""
        self._is_idle, self._abandon = is_idle, abandon

    def put_around(self, middleware: Sequence[Middleware]) -> None:
        """Put middleware around all other, once. The next message goes through it."""
        self.middleware[:0] = [each for each in middleware if each not in self.middleware]

    async def is_idle(self) -> bool:
        """Whether nothing is in flight and nothing is due, now."""
        return await self._is_idle()

    async def abandon(self) -> None:
        """Drop the bus as a killed process would: nothing is finished, committed or released."""
        await self._abandon()
