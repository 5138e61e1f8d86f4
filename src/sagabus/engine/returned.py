"""What a handler returned: nothing, something to await, or a mistake that names itself.

Python lets a function be made in many ways, so nothing is concluded from its definition: `processing` asks here about
the value that came back.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
from collections.abc import Awaitable, Iterable, Sequence
from typing import TypeGuard, cast

from sagabus.context import Context
from sagabus.errors import MessageNotDeclared, ValueReturned
from sagabus.message import message_type_of

_GENERATOR = "a generator, whose body never runs: remove `yield`; send messages with ctx.publish(...) or ctx.send(...)"


async def finish(result: object, where: str, ctx: Context) -> None:
    """Await what a handler returned, and what that comes to, until it comes to nothing.

    Raises ValueReturned for a value that is neither None nor awaitable.
    """
    while result is not None:
        if isinstance(result, concurrent.futures.Future):
            result = await asyncio.wrap_future(cast("concurrent.futures.Future[object]", result))
        elif _is_awaitable(result):
            result = await result
        elif _is_nothing(result):
            return
        else:
            await _close(result)
            raise ValueReturned(
                f"{where} returned {_described(result)}",
                message_id=ctx.message_id,
                subscription=ctx.subscription,
                key=ctx.key,
            )


def _is_awaitable(result: object) -> TypeGuard[Awaitable[object]]:
    return inspect.isawaitable(result)


def _is_nothing(result: object) -> bool:
    # What `asyncio.gather` makes of coroutines that return nothing.
    if not isinstance(result, (list, tuple)):
        return False
    values = cast("Sequence[object]", result)
    return len(values) > 0 and all(value is None for value in values)


async def _close(result: object) -> None:
    if inspect.isasyncgen(result):
        await result.aclose()
    elif inspect.isgenerator(result):
        result.close()


def _described(result: object) -> str:
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        return _GENERATOR
    what = f"a value of type {type(result).__qualname__}"
    call = _call(result)
    if call is None:
        return f"{what}, which has no effect: return None; send messages with ctx.publish(...) or ctx.send(...)"
    return f"{what}, which sends nothing: call ctx.{call}(message) for each message, and return None"


def _call(result: object) -> str | None:
    """The method of the context that sends what was returned; None for what is no message."""
    several = isinstance(result, (list, tuple, set, frozenset))
    first = next(iter(cast("Iterable[object]", result)), None) if several else result
    try:
        return "send" if message_type_of(first).kind == "command" else "publish"
    except MessageNotDeclared:
        return None
