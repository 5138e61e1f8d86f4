"""The ways in which Python lets a function be made, seen by one rule: bound methods, partials, callable objects,
wrappers.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


def carrying(function: F, attributes: Mapping[str, object]) -> F:
    """The same function with these attributes; where it takes none (a bound method, say) a partial of it, with them."""
    target: object = getattr(function, "__func__", function) if _is_descriptor(function) else function
    try:
        _set(target, attributes)
    except (AttributeError, TypeError):
        partial = functools.partial(function)
        _set(partial, attributes)
        return cast("F", partial)
    return function


def written(function: Callable[..., object]) -> Callable[..., Any]:
    """The function that the user wrote, behind partials, bound methods, callable objects and wrappers."""
    found: Any = function
    while True:
        behind = _behind(found)
        if behind is None:
            return cast("Callable[..., Any]", found)
        found = behind


def called(function: Callable[..., object]) -> Callable[..., Any]:
    """The function whose body a call runs: the same as `written`, but a wrapper stands for itself."""
    found: Any = function
    while not hasattr(found, "__wrapped__"):
        behind = _behind(found)
        if behind is None:
            break
        found = behind
    return cast("Callable[..., Any]", found)


def label_of(function: object) -> str:
    """What to call a function in a text for users."""
    if isinstance(function, functools.partial):
        return label_of(cast("functools.partial[object]", function).func)
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def why_not(function: Callable[..., object]) -> str | None:
    """What keeps it from being a handler, whatever it takes; None where nothing does."""
    if isinstance(function, type):
        return "is a class: decorate a function, or give the bus an object that has `__call__`"
    body = called(function)
    if inspect.isgeneratorfunction(body) or inspect.isasyncgenfunction(body):
        return "contains `yield`, so a call would run nothing of it: write it without"
    return None


def check_answers(function: object, what: str, problems: list[str]) -> None:
    """Note a function whose answer would have to be awaited, where it is needed at once. Anything else is fine."""
    if callable(function) and not isinstance(function, type):
        body = called(function)
        if inspect.iscoroutinefunction(body):
            problems.append(f"{what} is `async def`, and its answer is needed at once: make it a `def`")
        elif inspect.isgeneratorfunction(body) or inspect.isasyncgenfunction(body):
            problems.append(f"{what} contains `yield`, so a call would run nothing of it: write it without")


def given_by_partial(function: object) -> frozenset[str]:
    """Names of parameters that a partial gives by keyword."""
    names: frozenset[str] = frozenset()
    while isinstance(function, functools.partial):
        partial = cast("functools.partial[object]", function)
        names |= partial.keywords.keys()
        function = partial.func
    return names


def _behind(function: Any) -> Any:
    if isinstance(function, functools.partial):
        return cast("functools.partial[object]", function).func
    if inspect.ismethod(function) or _is_descriptor(function):
        return function.__func__
    if hasattr(function, "__wrapped__"):
        return function.__wrapped__
    if inspect.isroutine(function) or isinstance(function, type):
        return None
    kind = cast("Any", type(function))
    return kind.__call__ if callable(function) else None


def _is_descriptor(function: object) -> bool:
    return isinstance(function, (staticmethod, classmethod))


def _set(target: object, attributes: Mapping[str, object]) -> None:
    for name, value in attributes.items():
        setattr(target, name, value)
