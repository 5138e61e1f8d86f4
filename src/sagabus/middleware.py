"""What runs around every handler: an ordered list of functions, put together once per subscription."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

from sagabus.context import Context

Next: TypeAlias = Callable[[object, Context], Awaitable[None]]


class Middleware(Protocol):
    """Wraps each run: may look, measure, replace the message, buffer through the context, or raise; calls `call_next`
    once to go on.

    What it raises counts as the handler's failure. Not calling `call_next` completes the message without its handler.
    """

    async def __call__(self, message: object, ctx: Context, call_next: Next) -> None:
        """Handle one run."""
        ...


def compose(middlewares: Sequence[Middleware], innermost: Next) -> Next:
    """One function that runs the middlewares in order, the first outermost, and then `innermost`."""
    composed = innermost
    for middleware in reversed(middlewares):
        composed = _around(middleware, composed)
    return composed


def _around(middleware: Middleware, call_next: Next) -> Next:
    async def run(message: object, ctx: Context) -> None:
        await middleware(message, ctx, call_next)

    return run
