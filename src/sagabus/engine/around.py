"""Puts the middlewares around a handler, and looks at what each of them returned and awaited."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeAlias

from sagabus.context import Context
from sagabus.engine.returned import finish
from sagabus.errors import HandlingError
from sagabus.introspection.callables import label_of
from sagabus.middleware import Middleware

Step: TypeAlias = Callable[[object, Context], Coroutine[Any, Any, None]]


def compose(middlewares: Sequence[Middleware], innermost: Step) -> Step:
    """One function that runs the middlewares in order, the first outermost, and then `innermost`."""
    composed = innermost
    for middleware in reversed(middlewares):
        composed = _around(middleware, composed)
    return composed


def _around(middleware: Middleware, call_next: Step) -> Step:
    async def run(message: object, ctx: Context) -> None:
        begun: list[Coroutine[Any, Any, None]] = []

        def go_on(message: object, ctx: Context) -> Awaitable[None]:
            begun.append(call_next(message, ctx))
            return begun[-1]

        where = f"middleware {label_of(middleware)}"
        await finish(middleware(message, ctx, go_on), where, ctx)
        _check_awaited(begun, where, ctx)

    return run


def _check_awaited(begun: Sequence[Coroutine[Any, Any, None]], where: str, ctx: Context) -> None:
    """Without this the message would count as completed, and its handler would not have run."""
    if all(inspect.getcoroutinestate(each) == inspect.CORO_CLOSED for each in begun):
        return
    for each in begun:
        if inspect.getcoroutinestate(each) == inspect.CORO_CREATED:
            each.close()
    raise HandlingError(
        f"{where} called call_next and did not wait for it: write `await call_next(message, ctx)`",
        message_id=ctx.message_id,
        subscription=ctx.subscription,
        key=ctx.key,
    )
