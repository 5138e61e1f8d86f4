"""Undeclared attributes of objects inside a message or a state: JSON holds none of them.

Asked when a value is written, by `form`. A function that is made once for a class says whether there can be any. It
looks only at objects with room for them, so that a long list of plain objects costs little.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cached_property
from inspect import getattr_static
from typing import Any, TypeAlias, cast, get_origin

from msgspec import inspect as reflection

from sagabus.codec.comparison import parts
from sagabus.codec.json_text import join
from sagabus.codec.marks import bare

__all__ = ["Check", "check_inside", "first_lost"]

Check: TypeAlias = Callable[[Any], bool]
"""Whether something of a value may be lost."""

_LISTS: dict[type[reflection.Type], type[object]] = {
    reflection.ListType: list,
    reflection.SetType: set,
    reflection.FrozenSetType: frozenset,
    reflection.VarTupleType: tuple,
}


def check_inside(cls: type[object]) -> Check | None:
    """A check of all that a value of the class holds, not of the value itself; None where nothing can be lost."""
    checks = _Checks()
    found = checks.of_fields(reflection.type_info(cls))
    return found if checks.have_room else None


def first_lost(value: object, found: object, path: str = "") -> tuple[str, str] | None:
    """Path and reason of the first attribute inside a value that `found`, which was read from its bytes, does not have.

    Names that begin with an underscore may be there, and cached properties.
    """
    if isinstance(value, set | frozenset):
        return None  # what is read has no places there, so nothing says which part is which
    others = dict(parts(found))
    for step, part in parts(value):
        inside, other = join(path, step), others.get(step)
        for name in _undeclared(part) - getattr(other, "__dict__", {}).keys():
            reason = f"no field of {type(part).__qualname__}, so it would be lost: declare it there"
            return join(inside, name), reason
        if (lost := first_lost(part, other, inside)) is not None:
            return lost
    return None


def _undeclared(value: object) -> set[str]:
    cls = type(value)
    if not _has_room(cls):
        return set()
    return {
        name
        for name in value.__dict__
        if not name.startswith("_") and not isinstance(getattr_static(cls, name, None), cached_property)
    }


class _Checks:
    """Makes the checks of the types below one class."""

    def __init__(self) -> None:
        self._made: dict[int, Check | None] = {}
        self._types: list[reflection.Type] = []
        """Kept alive: an id is unique only among what is."""
        self.have_room = False
        """Whether some object can have undeclared attributes."""

    def of(self, described: reflection.Type) -> Check | None:
        """The check of values of a type."""
        described = bare(described)
        if id(described) in self._made:
            return self._made[id(described)]
        self._types.append(described)
        later: list[Check | None] = []

        def recursive(value: object) -> bool:
            return later[0] is not None and later[0](value)

        self._made[id(described)] = recursive
        later.append(self._make(described))
        self._made[id(described)] = later[0]
        return later[0]

    def _make(self, described: reflection.Type) -> Check | None:
        if isinstance(described, reflection.UnionType):
            return self._of_union(described)
        if type(described) in _LISTS:
            item = self.of(cast("reflection.ListType", described).item_type)
            return None if item is None else lambda value: any(map(item, value))
        if isinstance(described, reflection.DictType):
            part = self.of(described.value_type)
            return None if part is None else lambda value: any(map(part, value.values()))
        if isinstance(described, reflection.TupleType):
            checks = [self.of(each) for each in described.item_types]
            return _of_parts([(place, check) for place, check in enumerate(checks) if check], lambda v, at: v[at])
        if isinstance(described, reflection.TypedDictType):
            named = [(field.name, self.of(field.type)) for field in described.fields]
            return _of_parts([(name, check) for name, check in named if check], lambda v, name: v.get(name))
        return self._of_object(described)

    def _of_object(self, described: reflection.Type) -> Check | None:
        inside, cls = self.of_fields(described), _class_of(described)
        if cls is None or not _has_room(cls):
            return inside
        self.have_room, most = True, len(fields(cls) if is_dataclass(cls) else getattr(cls, "__attrs_attrs__", ()))

        def check(value: Any) -> bool:
            return type(value) is cls and (len(value.__dict__) > most or (inside is not None and inside(value)))

        return check

    def of_fields(self, described: reflection.Type) -> Check | None:
        """The check of what an object holds in its fields."""
        if not isinstance(described, reflection.DataclassType | reflection.StructType | reflection.NamedTupleType):
            return None
        named = [(field.name, self.of(field.type)) for field in described.fields]
        return _of_parts([(name, check) for name, check in named if check], getattr)

    def _of_union(self, described: reflection.UnionType) -> Check | None:
        """By the type of the value: of an object that is none of the members, comparing says enough."""
        checks: dict[type[object], Check] = {}
        for member in map(bare, described.types):
            cls = dict if isinstance(member, reflection.DictType | reflection.TypedDictType) else _class_of(member)
            if (check := self.of(member)) is not None and cls is not None:
                checks[cls] = check

        def of_member(value: object) -> bool:
            check = checks.get(type(value))
            return check is not None and check(value)

        return of_member if checks else None


def _of_parts(parts: list[tuple[Any, Check]], get: Callable[[Any, Any], Any]) -> Check | None:
    if not parts:
        return None
    return lambda value: any(check(get(value, name)) for name, check in parts)


def _class_of(described: reflection.Type) -> type[object] | None:
    if type(described) in _LISTS:
        return _LISTS[type(described)]
    if isinstance(described, reflection.TupleType):
        return tuple
    cls: object = getattr(described, "cls", None)
    found = get_origin(cls) or cls
    return found if isinstance(found, type) else None


def _has_room(cls: type[object]) -> bool:
    """Whether objects of a class that names its fields take any other attribute that is assigned to them."""
    return (is_dataclass(cls) or hasattr(cls, "__attrs_attrs__")) and bool(cls.__dictoffset__)
