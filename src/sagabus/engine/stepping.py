"""Runs a coroutine in a context of its own without a task of its own.

The task that awaits it stays the current one, so time-outs, task groups and cancellation work as usual; only the
context variables are those of the run. A task per run would cost two turns of the event loop.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


@types.coroutine
def stepped(coroutine: Coroutine[Any, Any, T], context: Context) -> Generator[Any, Any, T]:
    """Await `coroutine`, each step of it inside `context`; its result. A cancellation is raised inside it."""
    step: Callable[..., Any] = coroutine.send
    given: object = None
    while True:
        try:
            waits_for = context.run(step, given)
        except StopIteration as end:
            result: T = end.value
            return result
        try:
            given = yield waits_for
            step = coroutine.send
        except GeneratorExit:
            context.run(coroutine.close)
            raise
        except BaseException as error:  # noqa: BLE001  # raised again, where the coroutine waits
            step, given = coroutine.throw, error
