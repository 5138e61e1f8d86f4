"""How a class has changed since older releases stored values of it: versions, upcasters, renames, dropped fields.

Declared with the class, checked when the bus is built, and applied to the stored mapping before it is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

__all__ = [
    "UNCHANGED",
    "Evolution",
    "Upcast",
    "is_names",
    "needed_field",
    "needed_message",
    "needed_state",
    "says_a_version",
]

_INDEX = re.compile(r"\[\d+\]")

Upcast: TypeAlias = Callable[[dict[str, Any]], Mapping[str, Any]]
"""Makes the stored mapping of one version into that of the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evolution:
    """What leads from the values of older releases to those of this one."""

    version: int = 1
    upcast: Mapping[int, Upcast] = field(default_factory=dict[int, Upcast])
    """By the version that it starts from; a version without one needs no change."""
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])
    """Old names of fields, with the new ones."""
    dropped: Collection[str] = ()
    """Fields of older releases that no worker needs any more; inside a field by its path, such as `lines[].note`."""

    def problems(self, fields: Collection[str]) -> Iterator[str]:
        """What is wrong with the declaration, for a class with these fields."""
        if problems := list(self._of_a_wrong_kind()):
            yield from problems
            return
        for start in self.upcast:
            if start not in range(1, self.version):
                yield f"upcast names version {start!r}, which is not below version={self.version}"
        if self.renamed and self.version == 1:
            yield "renamed needs version=2 or higher: workers of the release before would read the value without it"
        yield from (f"dropped names {name!r}, which is a field still" for name in self.dropped if name in fields)
        for old, new in self.renamed.items():
            if new not in fields or old in fields:
                wrong = f"{new!r} is no field" if new not in fields else f"{old!r} is a field still"
                yield f"renamed says that {old!r} is {new!r} now, but {wrong}"

    def _of_a_wrong_kind(self) -> Iterator[str]:
        given = (self.version, self.upcast, self.renamed, self.dropped)
        version, upcast, renamed, dropped = cast("tuple[object, ...]", given)
        if type(version) is not int or version < 1:
            yield f"version must be a whole number from 1, not {version!r}"
        if not isinstance(upcast, Mapping):
            yield f"upcast must be a mapping of versions to functions, not {upcast!r}"
        else:
            functions = cast("Mapping[object, object]", upcast).values()
            yield from (f"upcast takes functions, not {each!r}" for each in functions if not callable(each))
        if not isinstance(renamed, Mapping):
            yield f"renamed must be a mapping of old names to new ones, not {renamed!r}"
        if not is_names(dropped):
            yield f"dropped must be a list of names, not {dropped!r}"

    def keeps(self, path: str) -> bool:
        """Whether the field at this path of a stored value must not be lost: nothing says that it was dropped."""
        return _INDEX.sub("[]", path) not in self.dropped

    def bring(self, stored: dict[str, Any], version: int) -> dict[str, Any]:
        """The mapping of an older version as this one has it; raises what an upcaster raises, and TypeError for one
        that returns no mapping.
        """
        for start in range(version, self.version):
            if start in self.upcast:
                stored = _mapping(self.upcast[start](stored), start)
        if version < self.version:
            for old, new in self.renamed.items():
                if old in stored:
                    value = stored.pop(old)
                    stored.setdefault(new, value)
        for name in self.dropped:
            stored.pop(name, None)
        return stored


def is_names(given: object) -> bool:
    """Whether it is a collection of texts, and not one text, whose letters would count as names."""
    return (
        isinstance(given, Collection)
        and not isinstance(given, str | bytes)
        and all(isinstance(each, str) for each in cast("Collection[object]", given))
    )


UNCHANGED = Evolution()
"""Of a class that no release has stored otherwise."""


def _mapping(found: object, start: int) -> dict[str, Any]:
    if not isinstance(found, Mapping):
        raise TypeError(f"the upcaster from version {start} returned {type(found).__name__}, not a mapping")
    return dict(cast("Mapping[str, Any]", found))


def needed_message(name: str, version: int) -> str:
    """What a worker knows that takes this version of a message type."""
    return f"{name} version {version}"


def says_a_version(known: str) -> bool:
    """Whether what a worker says that it knows is a version of a message type or of a state."""
    return " version " in known


def needed_state(what: str) -> str:
    """What a worker knows that takes such a state: `version 2`."""
    return f"saga state {what}"


def needed_field(path: str) -> str:
    """What a worker knows whose state has the field at this path."""
    return f"saga state field {_INDEX.sub('[]', path)}"
