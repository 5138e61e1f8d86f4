"""A plain class that becomes a dataclass where it is declared: messages and saga states."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator

from sagabus.errors import ConfigurationError

__all__ = ["become_dataclass"]


def become_dataclass(cls: type[object], what: str, *, frozen: bool = False, kw_only: bool = False) -> None:
    """Make the class a dataclass, in place. ConfigurationError lists every field that keeps it from being one."""
    problems = [f"{what}: {problem}" for problem in _shared_defaults(cls)]
    if problems:
        raise ConfigurationError(*problems)
    try:
        # Without slots: those need a new class, which breaks `super()` and references taken earlier.
        dataclasses.dataclass(frozen=frozen, kw_only=kw_only)(cls)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{what} cannot become a dataclass: {error}") from error


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
