"""The mark of a field whose value people do not get to see, and types of msgspec without their annotations.

Below everything in this package: `field_types`, `shape` and `masks` read types through `bare`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, cast, get_args, get_origin

import msgspec
from msgspec import inspect as reflection

__all__ = ["Hidden", "bare", "is_hidden", "marked", "without_mark"]

_EXTRA = {"sagabus": "hidden"}
Hidden: Final = msgspec.Meta(extra=_EXTRA)
"""Marks a field of a message or of a saga's state: `card: Annotated[str, Hidden]`. Commands and `bus.inspect` then show
"(hidden)" in place of its value. It is stored, sent and handled as without the mark.
"""


def bare(described: reflection.Type) -> reflection.Type:
    """The type itself, without what is annotated about it."""
    while isinstance(described, reflection.Metadata):
        described = described.type
    return described


def is_hidden(described: reflection.Type) -> bool:
    """Whether the type as a whole is marked."""
    while isinstance(described, reflection.Metadata):
        extra = cast("Mapping[str, object]", getattr(described, "extra") or {})  # noqa: B009 - its type is partly unknown
        if extra.get("sagabus") == "hidden":
            return True
        described = described.type
    return False


def marked(described: reflection.Type) -> reflection.Type:
    """The type with the mark."""
    return reflection.Metadata(described, extra=_EXTRA)


def without_mark(hint: Any) -> Any:
    """What is annotated; the hint itself where anything else than the mark is said about it."""
    while get_origin(hint) is Annotated:
        inner, *said = get_args(hint)
        if any(each is not Hidden for each in said):
            return hint
        hint = inner
    return hint
