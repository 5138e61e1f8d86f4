"""Which fields a saga's state has in JSON, however deep, and what a stored state holds that this release does not know.

A state says by which shape it was written. An equal shape is read at once; any other one is looked at here, so that no
worker writes back a state without the fields that another release keeps in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast
from zlib import crc32

import msgspec
from msgspec import inspect as reflection

from sagabus.field_types import paths
from sagabus.json_text import join
from sagabus.pydantic_codec import is_model, unknown_in_model

__all__ = ["CARRIES", "shape_text", "unknown_part", "version_of"]

CARRIES = "+"
"""Ends the shape of a state that holds fields of another release beside its own."""
_OBJECTS = (reflection.DataclassType, reflection.StructType, reflection.TypedDictType)
_ARRAYS = (reflection.ListType, reflection.SetType, reflection.FrozenSetType, reflection.VarTupleType)


def shape_text(cls: type[object], version: int) -> str:
    """The shape of a class: its version, and a checksum of the names of its fields at every depth."""
    return f"{version}.{crc32(' '.join(paths(cls)).encode()):08x}"


def version_of(shape: str | None) -> int:
    """The version in a shape; 1 for a state of a release that wrote none."""
    number = (shape or "1").partition(".")[0]
    return int(number) if number.isdecimal() else 1


def unknown_part(described: reflection.Type, raw: object, path: str = "") -> str | None:
    """The path of the first field in JSON data that the type does not have; None where all of it is known."""
    return next(_unknown(described, raw, path), None)


def _unknown(described: reflection.Type, raw: object, path: str) -> Iterator[str]:
    if isinstance(described, reflection.UnionType):
        yield from _unknown_in_union(described.types, raw, path)
    elif isinstance(raw, dict):
        yield from _unknown_in_object(described, cast("dict[str, object]", raw), path)
    elif isinstance(raw, list):
        for index, (inner, part) in enumerate(_items(described, cast("list[object]", raw))):
            yield from _unknown(inner, part, f"{path}[{index}]")


def _unknown_in_union(members: Iterable[reflection.Type], raw: object, path: str) -> Iterator[str]:
    fitting = [member for member in members if _takes(member, raw)]
    found = [next(_unknown(member, raw, path), None) for member in fitting]
    if found and None not in found:
        yield from filter(None, found[:1])


def _takes(member: reflection.Type, raw: object) -> bool:
    if isinstance(member, reflection.AnyType | reflection.CustomType):
        return True
    if isinstance(raw, dict):
        return isinstance(member, (*_OBJECTS, reflection.DictType))
    return isinstance(member, (*_ARRAYS, reflection.TupleType)) if isinstance(raw, list) else False


def _unknown_in_object(described: reflection.Type, raw: Mapping[str, object], path: str) -> Iterator[str]:
    if isinstance(described, reflection.DictType):
        for key, part in raw.items():
            yield from _unknown(described.value_type, part, join(path, key))
    elif isinstance(described, _OBJECTS):
        fields = {field.encode_name: field.type for field in described.fields}
        tag = described.tag_field if isinstance(described, reflection.StructType) else None
        for key, part in raw.items():
            if key in fields:
                yield from _unknown(fields[key], part, join(path, key))
            elif key != tag:
                yield join(path, key)
    elif isinstance(described, reflection.CustomType) and is_model(described.cls):
        yield from (join(path, name) for name in unknown_in_model(described.cls, raw))


def _items(described: reflection.Type, raw: list[object]) -> Iterator[tuple[reflection.Type, object]]:
    if isinstance(described, _ARRAYS):
        return ((described.item_type, part) for part in raw)
    if isinstance(described, reflection.TupleType):
        return zip(described.item_types, raw, strict=False)
    return iter(())


def described(cls: type[Any]) -> Mapping[str, reflection.Type]:
    """The fields of a dataclass by their names in JSON."""
    found = reflection.type_info(cls)
    return {field.encode_name: field.type for field in found.fields} if isinstance(found, _OBJECTS) else {}


def mapping_of(body: bytes) -> dict[str, msgspec.Raw]:
    """The fields of a stored state, none of them read; raises msgspec's errors for what is no JSON object."""
    return msgspec.json.decode(body, type=dict[str, msgspec.Raw])
