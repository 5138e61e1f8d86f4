"""Runs a coroutine in a context of its own without a task of its own.

The task that awaits it stays the current one, so time-outs, task groups and cancellation work as usual. Only the
context variables are those of the run. A task per run would cost two turns of the event loop.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import Context
from typing import Any, TypeVar

from sagabus.engine.time_limit import TimeLimits, Watched

T = TypeVar("T")


@types.coroutine
def stepped(
    coroutine: Coroutine[Any, Any, T], context: Context, run: Watched, limits: TimeLimits
) -> Generator[Any, Any, T]:
    """Await `coroutine`, each step of it inside `context`; its result. A cancellation is raised inside it.

    From its first wait on, `limits` looks after the run. A run that it gives up is closed, and CancelledError raised.
    """
    step: Callable[..., Any] = coroutine.send
    given: object = None
    waits = False
    try:
        while True:
            try:
                waits_for = context.run(step, given)
            except StopIteration as end:
                result: T = end.value
                return result
            if not waits:
                waits = True
                limits.begin(run)
            try:
                given = yield waits_for
                step = coroutine.send
            except BaseException as error:
                if isinstance(error, GeneratorExit) or limits.gives_up(run):
                    _close(coroutine, context)
                    raise
                step, given = coroutine.throw, error
    finally:
        if waits:
            limits.end(run)


def _close(coroutine: Coroutine[Any, Any, Any], context: Context) -> None:
    with suppress(RuntimeError):  # it goes on waiting even now
        context.run(coroutine.close)
