"""Which fields a saga's state has in JSON, however deep, and what a stored state holds that this release does not know.

A state says by which shape it was written. An equal shape is read at once. This module checks any other one, so that no
worker drops fields that another release keeps in a state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any, TypeAlias, cast
from zlib import crc32

import msgspec
from msgspec import inspect as reflection

from sagabus.codec.field_types import paths
from sagabus.codec.json_text import join
from sagabus.codec.marks import bare
from sagabus.codec.pydantic_codec import is_model, model_types, root_type

__all__ = ["CARRIES", "Part", "parts_of", "shape_text", "tag_in", "unknown_part", "version_of"]

CARRIES = "+"
"""Ends the shape of a state that also has fields of another release."""
_OBJECTS = (reflection.DataclassType, reflection.StructType, reflection.TypedDictType)
_ARRAYS = (reflection.ListType, reflection.SetType, reflection.FrozenSetType, reflection.VarTupleType)


def shape_text(cls: type[object], version: int) -> str:
    """The shape of a class: its version, and a checksum of the names of its fields at every depth."""
    return f"{version}.{crc32(' '.join(paths(cls)).encode()):08x}"


def version_of(shape: str | None) -> int:
    """The version in a shape; 1 for a state of a release that wrote none."""
    number = (shape or "1").partition(".")[0]
    return int(number) if number.isdecimal() else 1


def unknown_part(
    described: reflection.Type, raw: object, path: str = "", keeps: Callable[[str], bool] = lambda _: True
) -> str | None:
    """The path of the first field in JSON data that the type does not have; None where all of it is known.

    What lies at a path that nothing `keeps` may go unknown.
    """
    return next(_unknown(described, raw, path, keeps), None)


def _unknown(described: reflection.Type, raw: object, path: str, keeps: Callable[[str], bool]) -> Iterator[str]:
    described = bare(described)
    if isinstance(described, reflection.CustomType) and is_model(described.cls):
        described = bare(root_type(described.cls) or described)
    if isinstance(described, reflection.UnionType):
        yield from _unknown_in_union(described.types, raw, path, keeps)
        return
    for step, (inner, part) in parts_of(described, raw):
        inside = join(path, step)
        if inner is not None:
            yield from _unknown(inner, part, inside, keeps)
        elif keeps(inside):
            yield inside


def _unknown_in_union(
    members: Iterable[reflection.Type], raw: object, path: str, keeps: Callable[[str], bool]
) -> Iterator[str]:
    fitting = [member for member in map(bare, members) if _takes(member, raw)]
    found = [next(_unknown(member, raw, path, keeps), None) for member in fitting]
    if found and None not in found:
        yield from filter(None, found[:1])


def _takes(member: reflection.Type, raw: object) -> bool:
    if isinstance(member, reflection.AnyType | reflection.CustomType):
        return True
    if isinstance(member, reflection.StructType) and member.tag_field is not None:
        return tag_in(member, raw) == member.tag
    if isinstance(raw, dict):
        return isinstance(member, (*_OBJECTS, reflection.DictType)) and not _is_row(member)
    return isinstance(raw, list) and (isinstance(member, (*_ARRAYS, reflection.TupleType)) or _is_row(member))


def tag_in(struct: reflection.StructType, raw: object) -> object:
    """What JSON data says of which Struct it is; None where it says nothing."""
    if isinstance(raw, dict):
        return cast("dict[str, object]", raw).get(struct.tag_field or "")
    return next(iter(cast("list[object]", raw)), None) if isinstance(raw, list) else None


Part: TypeAlias = tuple[reflection.Type | None, object]
"""A part of JSON data with its type; without one where the type around it has no such part."""


def parts_of(described: reflection.Type, raw: object) -> Iterator[tuple[object, Part]]:
    """Names or indices, with what stands there."""
    if isinstance(raw, dict):
        yield from _parts_of_object(described, cast("dict[str, object]", raw))
    elif isinstance(raw, list):
        yield from enumerate(_items(described, cast("list[object]", raw)))


def _parts_of_object(described: reflection.Type, raw: Mapping[str, object]) -> Iterator[tuple[str, Part]]:
    if isinstance(described, reflection.DictType):
        yield from ((key, (described.value_type, part)) for key, part in raw.items())
    elif isinstance(described, _OBJECTS):
        fields = {field.encode_name: field.type for field in described.fields}
        tag = described.tag_field if isinstance(described, reflection.StructType) else None
        yield from ((key, (fields.get(key), part)) for key, part in raw.items() if key != tag)
    elif isinstance(described, reflection.CustomType) and is_model(described.cls):
        known = model_types(described.cls, raw)
        yield from ((key, (known[key], part)) for key, part in raw.items() if key in known)


def _items(described: reflection.Type, raw: list[object]) -> Iterator[Part]:
    if isinstance(described, _ARRAYS):
        yield from ((described.item_type, part) for part in raw)
    elif isinstance(described, reflection.TupleType):
        yield from zip(described.item_types, raw, strict=False)
    elif _is_row(described):
        tag = [reflection.AnyType()] if getattr(described, "tag_field", None) is not None else []
        types = (*tag, *(field.type for field in cast("reflection.StructType", described).fields))
        yield from zip_longest(types[: len(raw)], raw)


def _is_row(described: reflection.Type) -> bool:
    """Whether objects of the type are arrays in JSON."""
    return isinstance(described, reflection.NamedTupleType) or getattr(described, "array_like", False)


def described(cls: type[Any]) -> Mapping[str, reflection.Type]:
    """The fields of a dataclass by their names in JSON."""
    found = reflection.type_info(cls)
    return {field.encode_name: field.type for field in found.fields} if isinstance(found, _OBJECTS) else {}


def mapping_of(body: bytes) -> dict[str, msgspec.Raw]:
    """The fields of a stored state, none of them read; raises msgspec's errors for what is no JSON object."""
    return msgspec.json.decode(body, type=dict[str, msgspec.Raw])
