"""A plain class that becomes a dataclass where it is declared: messages and saga states."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from functools import update_wrapper
from typing import Any

from sagabus.errors import ConfigurationError

__all__ = ["become_dataclass", "is_plain_attribute"]


def become_dataclass(
    cls: type[object],
    what: str,
    *,
    frozen: bool = False,
    kw_only: bool = False,
    setter: object = object.__setattr__,
) -> None:
    """Make the class a dataclass, in place. ConfigurationError lists every field that keeps it from being one.

    `setter`: the `__setattr__` that stores a field and does nothing else. With another one, each field is assigned.
    """
    problems = [f"{what}: {problem}" for problem in _shared_defaults(cls)]
    if problems:
        raise ConfigurationError(*problems)
    has_init = "__init__" in vars(cls)
    try:
        # Without slots: those need a new class, which breaks `super()` and references taken earlier.
        dataclasses.dataclass(frozen=frozen, kw_only=kw_only)(cls)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{what} cannot become a dataclass: {error}") from error
    if not has_init and (frozen or cls.__setattr__ is setter) and _is_filled_plainly(cls):
        _fill_quickly(cls)


def is_plain_attribute(cls: type[object], name: str) -> bool:
    """Whether an attribute of the instances is no more than an item of their `__dict__`."""
    found: object = inspect.getattr_static(cls, name, None)
    return not hasattr(type(found), "__set__")


def _is_filled_plainly(cls: type[Any]) -> bool:
    """Whether to make an instance is to store what is given, or the defaults, and nothing else."""
    if not cls.__dictoffset__ or hasattr(cls, "__post_init__"):
        return False
    names = [each.name for each in dataclasses.fields(cls) if each.default_factory is dataclasses.MISSING]
    return {*names} == {*_parameters(cls)[1:]} and all(is_plain_attribute(cls, name) for name in names)


def _parameters(cls: type[Any]) -> tuple[str, ...]:
    code = cls.__init__.__code__
    return tuple(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])


def _fill_quickly(cls: type[Any]) -> None:
    """Have the constructor store its arguments as items: a third of the time that assigning them takes (measured). For
    each message that is handled, two or three instances are made.

    The signature is as it was. Only the names of fields go into the source, and those are identifiers.
    """
    made: Any = cls.__init__
    itself, *names = _parameters(cls)
    count = made.__code__.co_argcount
    parameters = [itself, *names[: count - 1], *(["*", *names[count - 1 :]] if len(names) >= count else [])]
    lines = [f"    __stored__[{name!r}] = {name}" for name in names]
    source = [f"def __init__({', '.join(parameters)}):", f"    __stored__ = {itself}.__dict__", *lines]
    found: dict[str, Any] = {}
    exec("\n".join(source), found)  # noqa: S102  # see above
    quick: Any = update_wrapper(found["__init__"], made)
    del quick.__wrapped__
    quick.__defaults__, quick.__kwdefaults__ = made.__defaults__, made.__kwdefaults__
    cls.__init__ = quick


def _shared_defaults(cls: type[object]) -> Iterator[str]:
    for name in inspect.get_annotations(cls):
        default = vars(cls).get(name)
        if isinstance(default, dataclasses.Field) or type(default).__hash__ is not None:
            continue
        kind = type(default).__name__
        factory = f"lambda: {default!r}" if default else kind
        yield (
            f"field {name!r} has a {kind} as its default, which all instances would share; "
            f"write {name}: ... = field(default_factory={factory})"
        )
