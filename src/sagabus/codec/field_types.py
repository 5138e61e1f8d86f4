"""The types that a message or a state is made of, walked once when the bus is built.

Finds what has no form in JSON before a value does, and whether `==` shows every difference between two values.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple, cast, get_origin

import msgspec
from msgspec import inspect as reflection

from sagabus.codec.json_text import join
from sagabus.codec.marks import bare
from sagabus.codec.pydantic_codec import (
    equality_is_its_own,
    field_types,
    hides_all,
    is_model,
    secrets_without_serializer,
)
from sagabus.codec.pydantic_schema import unreadable_fields

__all__ = ["FieldTypes", "hidden_paths", "is_field_hidden", "paths", "walk"]


class FieldTypes(NamedTuple):
    """What a class is made of."""

    problems: tuple[str, ...]
    """Each field that has no form in JSON, with what to do."""
    equality_shows_all: bool
    """Whether values that are equal by `==` are equal in every field."""


class _Node(NamedTuple):
    path: str
    type: reflection.Type | None
    """None for what msgspec cannot describe."""
    is_foreign: bool = False
    """Below a pydantic model, which decides itself what it can hold."""
    same_as: str | None = None
    """The path at which its type came before, where it did: there stands what is below it."""
    is_hidden: bool = False
    """People do not get to see what is there."""


def walk(cls: type[object]) -> FieldTypes:
    """What the class is made of, however deep; raises what msgspec raises for a class that it cannot describe."""
    problems: list[str] = []
    shows_all = True
    for node in _nodes(cls):
        if node.same_as is not None:
            continue
        described = _class_of(node)
        shows_all = shows_all and node.type is not None and (described is None or _compares_all(described))
        if described is not None and is_model(described):
            problems += _secrets(node.path, described)
            # The schema of the outermost model holds those of the models inside it.
            problems += [] if node.is_foreign else _unreadable(node.path, described)
        elif not node.is_foreign and (problem := _problem(node.type)) is not None:
            problems.append(f'field "{node.path}": {problem}')
    return FieldTypes(tuple(problems), shows_all)


def paths(cls: type[object]) -> list[str]:
    """The path of every field of the class, however deep; a type that came before is named by the path where it did."""
    return sorted({node.path if node.same_as is None else f"{node.path}={node.same_as}" for node in _nodes(cls)})


def hidden_paths(cls: type[object]) -> list[str]:
    """The path of every field of the class that is marked as hidden, however deep."""
    return sorted({node.path for node in _nodes(cls) if node.is_hidden})


def is_field_hidden(cls: type[object], name: str) -> bool:
    """Whether the field of this name in Python is marked as hidden."""
    names = dict(zip(getattr(cls, "__struct_fields__", ()), getattr(cls, "__struct_encode_fields__", ()), strict=True))
    model_fields: dict[str, Any] = getattr(cls, "model_fields", {})
    names |= {each: field.serialization_alias or each for each, field in model_fields.items()}
    return names.get(name, name) in hidden_paths(cls)


def _node(path: str, described: reflection.Type | None, *, is_foreign: bool, hidden: bool = False) -> _Node:
    if described is None:
        return _Node(path, None, is_foreign, is_hidden=hidden)
    return _Node(path, bare(described), is_foreign, is_hidden=hidden or hides_all(described))


def _class_of(node: _Node) -> type[object] | None:
    cls: object = getattr(node.type, "cls", None)
    found = get_origin(cls) or cls
    return found if isinstance(found, type) else None


def _problem(found: reflection.Type | None) -> str | None:
    if isinstance(found, reflection.RawType):
        return "no type checks what msgspec.Raw holds; declare its type, or Any"
    if isinstance(found, reflection.ExtType):
        return "msgspec.msgpack.Ext has no form in JSON"
    if not isinstance(found, reflection.CustomType) or found.cls is object:
        return None
    name = f"{found.cls.__module__}.{found.cls.__qualname__}".removeprefix("builtins.")
    return f"{name} has no form in JSON; declare text, a number, a dataclass or a pydantic model instead"


def _secrets(path: str, model: type[object]) -> list[str]:
    return [
        f'field "{join(path, name)}": pydantic writes a secret as stars; '
        "give the field a serializer that reveals it, or send a reference to the secret"
        for name in secrets_without_serializer(model)
    ]


def _unreadable(path: str, model: type[object]) -> list[str]:
    return [
        f'field "{join(path, found.path)}": pydantic reads no {found.type_name} from JSON; '
        "give the field a validator that makes it, or another type"
        for found in unreadable_fields(model)
    ]


def _nodes(cls: type[object]) -> Iterator[_Node]:
    """All types below a class, in a fixed order; what is below a type that comes again, the first time only."""
    described: dict[int, _Node] = {}  # it keeps the types alive: an id is unique only among what is
    models: dict[type[object], str] = {}
    waiting = deque([_Node("", reflection.type_info(cls))])
    while waiting:
        node = waiting.popleft()
        model = _class_of(node)
        before = models.get(model) if model is not None else None
        if before is None and id(node.type) in described:
            before = described[id(node.type)].path
        if before is not None:
            yield node._replace(same_as=before)
            continue
        described[id(node.type)] = node
        yield node
        if model is not None and is_model(model):
            models[model] = node.path
            waiting += [
                _node(join(node.path, name), described, is_foreign=True, hidden=hidden)
                for name, described, hidden in field_types(model)
            ]
        else:
            waiting += _children(node)


def _children(node: _Node) -> Iterator[_Node]:
    for name in getattr(node.type, "__struct_fields__", ()):
        value: object = getattr(node.type, name)
        parts = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
        for part in parts:
            if isinstance(part, reflection.Field):
                yield _node(join(node.path, part.encode_name), part.type, is_foreign=node.is_foreign)
            elif isinstance(part, reflection.Type):
                path = node.path if isinstance(node.type, reflection.UnionType) else f"{node.path}[]"
                yield _node(path, part, is_foreign=node.is_foreign)


def _compares_all(cls: type[Any]) -> bool:
    """Whether `==` of two objects of the class looks at every field."""
    if is_model(cls):
        return equality_is_its_own(cls)
    if is_dataclass(cls):
        code = getattr(cls.__eq__, "__code__", None)
        # The module `dataclasses` compiles what it writes from text; an `__eq__` of the user's has a file.
        is_generated = code is not None and code.co_filename == "<string>"
        return is_generated and all(field.compare for field in fields(cls))
    if issubclass(cls, msgspec.Struct):
        return cls.__struct_config__.eq and cls.__eq__ is msgspec.Struct.__eq__
    # Named tuples and typed dictionaries compare all they hold; a class of attrs may leave fields out.
    return not hasattr(cls, "__attrs_attrs__")
