"""What runs around every handler: an ordered list of functions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from sagabus.context import Context

Next: TypeAlias = Callable[[object, Context], Awaitable[None]]


class Middleware(Protocol):
    """Wraps each run: may look, measure, replace the message, buffer through the context, or raise; calls
    and awaits `call_next` once to go on. Returns None.

    What it raises counts as the handler's failure. Not calling `call_next` completes the message without its handler.
    """

    async def __call__(self, message: object, ctx: Context, call_next: Next) -> None:
        """Handle one run."""
        ...
