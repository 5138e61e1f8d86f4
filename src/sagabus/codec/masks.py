"""What people get to see of a stored message or state: the values of hidden fields are left out.

Asked when something is shown, by `bus.inspection` and `bus.mending`, and never on the way of a message.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import msgspec
from msgspec import inspect as reflection

from sagabus.codec.field_types import hidden_paths
from sagabus.codec.json_text import join
from sagabus.codec.marks import bare
from sagabus.codec.pydantic_codec import hides_all, is_model, root_type, write_inner
from sagabus.codec.shape import Part, parts_of, tag_in
from sagabus.introspection.local_names import resolve_fields
from sagabus.text import HIDDEN

__all__ = ["HIDDEN", "Kept", "Mask", "Masked", "Place", "path_of", "plain_of"]

Place: TypeAlias = tuple[str | int, ...]
"""The names and indices that lead to a value."""

_OBJECTS = (reflection.DataclassType, reflection.StructType, reflection.TypedDictType, reflection.DictType)
_ARRAYS = (reflection.ListType, reflection.SetType, reflection.FrozenSetType, reflection.VarTupleType)
_ROWS = (reflection.TupleType, reflection.NamedTupleType)
_ANYTHING = (reflection.AnyType, reflection.RawType, reflection.CustomType)


class Masked(NamedTuple):
    """What is shown of a value."""

    value: Any
    places: frozenset[Place]
    """Where something is left out."""


class Kept(NamedTuple):
    """A value that people gave, with what they did not get to see filled in."""

    value: Any
    refused: list[str]
    """The paths at which "(hidden)" stands for nothing that can be filled in."""


class Mask:
    """What is shown of the JSON data of one class; of data whose class is not known, the names of its fields.

    If a class has a hidden field, however deep, what it does not declare is hidden as well. Another release, or a
    sender who has misspelt a name, may have put the value there.
    """

    def __init__(self, cls: type[Any] | None) -> None:
        self.is_known = cls is not None
        self._described: reflection.Type | None = None
        self.shows_all = False
        """Nothing of the class is hidden."""
        if cls is not None:
            resolve_fields(cls, getattr(cls, "__sagabus_names__", {}))
            self._described = reflection.type_info(cls)
            self.shows_all = not hidden_paths(cls)

    def over(self, value: object) -> Masked:
        """What is shown of a value."""
        if self.shows_all:
            return Masked(value, frozenset())
        places = frozenset(_names_of(value) if self._described is None else _hidden(self._described, value, ()))

        def covered(part: object, place: Place) -> object:
            return HIDDEN if place in places else part

        return Masked(_rebuilt(value, (), covered), places)

    def over_text(self, text: bytes) -> Masked:
        """The same for JSON as JSON. A text that is none, or is too deep, is hidden as a whole if the class hides
        anything.
        """
        if self.shows_all or not text:
            return Masked(text, frozenset())
        try:
            masked = self.over(msgspec.json.decode(text))
            return Masked(msgspec.json.encode(masked.value), masked.places)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            return Masked(msgspec.json.encode(HIDDEN), frozenset({()}))

    def hidden_values(self, value: object) -> Iterator[object]:
        """The texts and numbers that are left out of a value. Names of fields are none; other keys are."""
        return (leaf for place in self.over(value).places for leaf in _leaves(_at(value, place)))

    def hidden_values_of_text(self, text: bytes) -> list[object]:
        """The same of JSON as JSON; none of a text that cannot be read."""
        if self.shows_all or not text:
            return []
        try:
            return list(self.hidden_values(msgspec.json.decode(text)))
        except (msgspec.MsgspecError, RecursionError, ValueError):
            return []

    def keep(self, given: object, stored: object) -> Kept:
        """What was given, with the stored values where "(hidden)" stands for them.

        It stands for none of a list, because its items may have moved, and for none that is shown.
        """
        places, refused = self.over(stored).places, list[str]()

        def filled(value: object, place: Place) -> object:
            if value == HIDDEN:
                if place in places and all(isinstance(step, str) for step in place):
                    return _at(stored, place)
                refused.append(path_of(place))
            return value

        return Kept(_rebuilt(given, (), filled), refused)


def plain_of(value: object) -> Any:
    """A message or a state as the JSON data that is stored of it."""
    return msgspec.json.decode(msgspec.json.encode(value, enc_hook=write_inner))


def path_of(place: Collection[str | int]) -> str:
    """A place as people write it: `lines[2].amount`."""
    path = ""
    for step in place:
        path = join(path, step)
    return path


def _names_of(value: object) -> Iterator[Place]:
    """Of data of which no class says what is hidden, only the names of fields are shown."""
    if isinstance(value, dict):
        yield from ((name,) for name in cast("dict[str, object]", value))
    elif value is not None:
        yield ()


def _hidden(described: reflection.Type, raw: object, place: Place) -> dict[Place, bool]:
    """The places at which something is hidden, and whether it is by a mark: else it is not declared."""
    if _is_marked(described, raw):
        return {place: True}
    described = _resolved(described)
    # A value of another kind, such as text for a number, is what people look for; what has parts may hold anything.
    if not _fits(described, raw) and (_has_parts(described) or isinstance(raw, dict | list)):
        return {place: False}
    if isinstance(described, reflection.UnionType):
        return _hidden_in_union([each for each in described.types if _fits(each, raw)], raw, place)
    if isinstance(described, _ANYTHING) and not _is_model(described):
        return {}
    parts: dict[object, Part] = dict(parts_of(described, raw))
    found: dict[Place, bool] = {}
    for step, part in _parts(raw):
        declared = parts.get(step, (None, None))[0]
        if declared is not None and not _is_computed(described, step):
            found |= _hidden(declared, part, (*place, step))
        elif step != getattr(described, "tag_field", None):
            found[(*place, step)] = False
    return found


def _hidden_in_union(members: Sequence[reflection.Type], raw: object, place: Place) -> dict[Place, bool]:
    """Which member is meant is not known: what one of them marks is hidden, and what none of them declares."""
    found = [_hidden(each, raw, place) for each in members]
    together: dict[Place, bool] = {inside: True for each in found for inside, is_mark in each.items() if is_mark}
    for inside in {inside for each in found for inside in each}:
        if all(_is_within(inside, each) for each in found):
            together.setdefault(inside, False)
    return together


def _is_within(place: Place, places: Collection[Place]) -> bool:
    return any(place[:length] in places for length in range(len(place) + 1))


def _is_marked(described: reflection.Type, raw: object) -> bool:
    """Whether a mark hides all of the value: its own, that of the keys in it, or that of a type of a union."""
    if _hides(described):
        return True
    described = _resolved(described)
    if isinstance(described, reflection.DictType):
        return _marks_text(described.key_type)
    return isinstance(described, reflection.UnionType) and raw is not None and any(map(_hides, described.types))


def _hides(described: reflection.Type) -> bool:
    """Whether the type is marked, or that of the one value for which a model stands."""
    if hides_all(described):
        return True
    inner = bare(described)
    root = root_type(inner.cls) if isinstance(inner, reflection.CustomType) and is_model(inner.cls) else None
    return root is not None and _hides(root)


def _marks_text(described: reflection.Type) -> bool:
    inner = bare(described)
    return _hides(described) or (isinstance(inner, reflection.UnionType) and any(map(_marks_text, inner.types)))


def _resolved(described: reflection.Type) -> reflection.Type:
    """The type itself, and of a model that stands for one value, the type of that."""
    described = bare(described)
    if isinstance(described, reflection.CustomType) and is_model(described.cls):
        inner = root_type(described.cls)
        return described if inner is None else _resolved(inner)
    return described


def _fits(described: reflection.Type, raw: object) -> bool:
    """Whether the value is of the kind of JSON that the type has."""
    described = _resolved(described)
    if isinstance(described, reflection.UnionType):
        return any(_fits(member, raw) for member in described.types)
    if isinstance(described, reflection.StructType) and described.tag_field and tag_in(described, raw) != described.tag:
        return False
    if _has_parts(described):
        is_object = isinstance(described, _OBJECTS) and not getattr(described, "array_like", False)
        return isinstance(raw, dict if is_object or _is_model(described) else list)
    if isinstance(described, _ANYTHING):
        return True
    if isinstance(described, reflection.NoneType):
        return raw is None
    if isinstance(described, reflection.BoolType | reflection.IntType | reflection.FloatType):
        kinds = {reflection.BoolType: (bool,), reflection.IntType: (int,), reflection.FloatType: (int, float)}
        return type(raw) in kinds[type(described)]
    return isinstance(raw, str | int | float)


def _has_parts(described: reflection.Type) -> bool:
    if isinstance(described, reflection.UnionType):
        return any(_has_parts(_resolved(member)) for member in described.types)
    return isinstance(described, (*_OBJECTS, *_ARRAYS, *_ROWS)) or _is_model(described)


def _is_model(described: reflection.Type) -> bool:
    return isinstance(described, reflection.CustomType) and is_model(described.cls)


def _is_computed(described: reflection.Type, name: object) -> bool:
    """Whether a model makes the value itself: of a hidden field, perhaps."""
    fields: Mapping[str, Any] = getattr(getattr(described, "cls", None), "model_computed_fields", {})
    return any(name in (own, field.alias) for own, field in fields.items())


def _parts(value: object) -> Iterator[tuple[str | int, object]]:
    if isinstance(value, dict):
        yield from cast("dict[str, object]", value).items()
    elif isinstance(value, list):
        yield from enumerate(cast("list[object]", value))


def _rebuilt(value: object, place: Place, change: Callable[[object, Place], object]) -> object:
    """The value with other parts; what takes the place of a whole is not looked into."""
    if (found := change(value, place)) is not value or not isinstance(value, dict | list):
        return found
    parts = {step: _rebuilt(part, (*place, step), change) for step, part in _parts(cast("object", value))}
    return parts if isinstance(value, dict) else list(parts.values())


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, dict | list):
        for step, part in _parts(cast("object", value)):
            if isinstance(step, str) and not step.isidentifier():
                yield step
            yield from _leaves(part)
    else:
        yield value


def _at(value: Any, place: Place) -> object:
    for step in place:
        value = value[step]
    return value
