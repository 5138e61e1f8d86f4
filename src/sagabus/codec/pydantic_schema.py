"""What a pydantic model can read from JSON, by the core schema that pydantic made of it.

`field_types` asks when the bus is built. A schema is a tree of dictionaries; nothing is imported from pydantic.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias, cast

__all__ = ["Unreadable", "unreadable_fields"]

Schema: TypeAlias = Mapping[str, Any]
_NOT_IN_JSON = {"is-instance", "is-subclass", "callable"}
_READS_ANYTHING = {"function-before", "function-plain", "function-wrap"}
"""A function of the user's is given the JSON value, and may make any object of it."""


class Unreadable(NamedTuple):
    """A field that no JSON value fits."""

    path: str
    type_name: str


def unreadable_fields(model: type[object]) -> Iterator[Unreadable]:
    """The fields of a model, however deep, that only an object of Python fits; those that are excluded do not count."""
    schema: object = getattr(model, "__pydantic_core_schema__", None)
    if isinstance(schema, dict):  # else the model is not complete yet, and pydantic says so at the first use
        yield from _walk(cast("Schema", schema), "")


def _walk(node: Mapping[str, Any], path: str) -> Iterator[Unreadable]:
    kind = node.get("type")
    if kind in _NOT_IN_JSON:
        yield Unreadable(path, getattr(node.get("cls"), "__qualname__", str(kind)))
    elif kind not in _READS_ANYTHING:
        for step, part in _parts(node):
            yield from _walk(part, f"{path}.{step}".strip(".") if step else path)


def _parts(node: Schema) -> Iterator[tuple[str, Schema]]:
    """The schemas inside a schema, each with the field that it is of."""
    kind = node.get("type")
    if kind == "chain":
        yield "", node["steps"][0]  # what follows gets what the first made
    elif kind in ("json-or-python", "lax-or-strict"):
        yield "", node["json_schema" if kind == "json-or-python" else "lax_schema"]
    else:
        yield from _fields(node)
        for name in ("schema", "items_schema", "keys_schema", "values_schema", "choices", "definitions"):
            for part in _listed(node.get(name)):
                yield "", part


def _fields(node: Schema) -> Iterator[tuple[str, Schema]]:
    found: object = node.get("fields", ())
    if isinstance(found, Mapping):
        fields = list(cast("Mapping[str, Schema]", found).items())
    elif node.get("type") == "dataclass":
        fields = []  # their names; the schema inside of this one has the rest
    else:
        fields = [(str(field["name"]), field) for field in cast("Iterable[Schema]", found)]
    for name, field in fields:
        if field.get("serialization_exclude") is not True:
            yield name, field["schema"]


def _listed(found: object) -> Iterator[Schema]:
    """One schema, several, several with labels, or several by tag."""
    if isinstance(found, Mapping):
        schema = cast("Schema", found)
        each: Iterable[object] = [schema] if isinstance(schema.get("type"), str) else schema.values()
    else:
        each = cast("Iterable[object]", found or ())
    for part in each:
        yield cast("tuple[Schema, str]", part)[0] if isinstance(part, tuple) else cast("Schema", part)
