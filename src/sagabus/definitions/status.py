"""What the status of a saga may be: texts, declared as a Literal, as an Enum, or as any text.

`saga_reader` asks while a bus is built; `processing` stores a status as the text that it stands for.
"""

import enum
import types
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, NamedTuple, NewType, Union, cast, get_args, get_origin

__all__ = ["Statuses", "read_statuses", "status_of", "texts_of"]


class Statuses(NamedTuple):
    """The values of a field `status`, as its type declares them."""

    known: frozenset[str] | None
    """The texts that they stand for; None where any text may be one."""
    members: tuple[enum.Enum, ...] = ()
    """Those of them that are no texts themselves."""

    def standing_for(self, texts: Iterable[str]) -> frozenset[object]:
        """The texts with the members that stand for them: what a status is looked up in."""
        wanted = frozenset(texts)
        return wanted | {member for member in self.members if member.value in wanted}


def read_statuses(hint: object) -> Statuses | None:
    """What a status of this type may be; None where that is not a text, an Enum of texts, or nothing."""
    known: set[str] = set()
    members: list[enum.Enum] = []
    takes_any = False
    for value in _values(hint):
        if value is str:
            takes_any = True
        elif isinstance(value, enum.Enum) and isinstance(value.value, str):
            members.append(value)
            known.add(value.value)
        elif isinstance(value, str):
            known.add(value)
        elif value is not None:
            return None
    if not (known or takes_any):
        return None
    return Statuses(None if takes_any else frozenset(known), tuple(members))


def status_of(state: Any) -> str | None:
    """The text that the status of a state stands for."""
    status = state.status
    return None if status is None else str(getattr(status, "value", status))


def texts_of(spec: object) -> frozenset[str] | None:
    """The texts that one status or several stand for; None for what is neither a text nor an Enum of texts."""
    if isinstance(spec, str | enum.Enum) or not isinstance(spec, Iterable):
        spec = (spec,)
    texts: set[str] = set()
    for each in cast("Iterable[object]", spec):
        text: object = each.value if isinstance(each, enum.Enum) else each
        if not isinstance(text, str):
            return None
        texts.add(text)
    return frozenset(texts)


def _values(hint: Any) -> Iterator[object]:
    """The values that a type lists; `str` itself for any text, and the type for what lists none."""
    hint = _meaning(hint)
    origin = get_origin(hint)
    if hint is None or hint is types.NoneType:
        yield None
    elif origin is Literal:
        yield from get_args(hint)
    elif origin in (Union, types.UnionType):
        for member in get_args(hint):
            yield from _values(member)
    elif isinstance(hint, enum.EnumType):
        yield from cast("Iterable[object]", hint)
    else:
        yield hint


def _meaning(hint: Any) -> Any:
    """A type without the names and notes around it."""
    while True:
        if get_origin(hint) is Annotated:
            hint = get_args(hint)[0]
        elif isinstance(hint, NewType):
            hint = hint.__supertype__
        elif hasattr(hint, "__value__"):  # `type X = …` of later Pythons
            hint = hint.__value__
        else:
            return hint
