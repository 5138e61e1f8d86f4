"""Pydantic models on the wire, through pydantic itself: the model's own configuration decides what it accepts.

Used by `form` for messages that are models, and for models inside dataclasses, Structs and states. Nothing is imported
from pydantic, which is optional.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, ForwardRef, Protocol, TypedDict, cast, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect as reflection

from sagabus.codec.marks import Hidden, bare, is_hidden, marked

__all__ = [
    "decode_model",
    "described_type",
    "encode_model",
    "equality_is_its_own",
    "explain",
    "field_types",
    "hides_all",
    "is_model",
    "model_parts",
    "model_types",
    "read_inner",
    "root_type",
    "secrets_without_serializer",
    "write_inner",
]


class ModelField(Protocol):
    """The part of pydantic.fields.FieldInfo that is used here."""

    annotation: object
    exclude: bool | None
    metadata: list[object]
    alias: str | None
    serialization_alias: str | None
    validation_alias: object


class Model(Protocol):
    """The part of pydantic.BaseModel that is used here."""

    model_fields: Mapping[str, ModelField]
    model_computed_fields: Mapping[str, ModelField]
    model_config: Mapping[str, object]
    __pydantic_extra__: Mapping[str, object] | None

    def model_dump_json(self, *, by_alias: bool, warnings: bool) -> str: ...

    @classmethod
    def model_rebuild(cls, *, raise_errors: bool) -> bool | None: ...

    @classmethod
    def model_validate_json(cls, json_data: bytes) -> "Model": ...


class Detail(TypedDict):
    """One entry of a pydantic.ValidationError."""

    loc: tuple[str | int, ...]
    msg: str


class Refusal(Protocol):
    """The part of pydantic.ValidationError that is used here."""

    def errors(self, *, include_url: bool, include_context: bool, include_input: bool) -> list[Detail]: ...


def is_model(cls: type[object]) -> bool:
    """Whether the class is a pydantic model, by its attributes: pydantic is optional and slow to load."""
    return hasattr(cls, "model_validate_json")


def encode_model(message: object) -> bytes:
    """The model as JSON, by alias because that is what validation reads; decoding finds wrong values, not warnings."""
    return cast(Model, message).model_dump_json(by_alias=True, warnings=False).encode()


def decode_model(cls: type[object], body: bytes) -> object:
    """The model in the body; raises msgspec's or pydantic's error."""
    # pydantic's parser takes NaN, Infinity and 1e999; this pass makes the same JSON valid for every shape of message.
    msgspec.json.decode(body)
    return cast("type[Model]", cls).model_validate_json(body)


def write_inner(value: object) -> object:
    """A model inside another value, for msgspec's encoder; raises TypeError for any other object."""
    if not is_model(type(value)):
        raise TypeError(f"{type(value).__qualname__} has no form in JSON")
    return msgspec.Raw(encode_model(value))


def read_inner(cls: type[Any], value: object) -> object:
    """A model inside another value, from what msgspec's decoder found there."""
    # As JSON, where a strict model takes dates and decimals as text, as it does in a message of its own.
    return cls.model_validate_json(msgspec.json.encode(value)) if is_model(cls) else value


def model_parts(value: object) -> Mapping[str, object]:
    """Fields and extra values of a model; its private attributes never travel."""
    model = cast(Model, value)
    values = {name: getattr(value, name, None) for name in type(model).model_fields}
    return {**values, **(model.__pydantic_extra__ or {})}


def field_types(cls: type[object]) -> Iterator[tuple[str, reflection.Type | None, bool]]:
    """The fields of a model by their names in JSON, with their types, and whether they are hidden.

    The type is None if msgspec cannot describe it.
    """
    for name, field in _fields_of(cls).items():
        yield field.serialization_alias or name, *_field_type(field)


def _fields_of(cls: type[object]) -> Mapping[str, ModelField]:
    """The fields with what their types mean. A model that names a later class learns it here, and else at its first
    use.
    """
    model = cast("type[Model]", cls)
    if not getattr(model, "__pydantic_complete__", True):
        with suppress(Exception):  # pydantic raises it again at the first use
            model.model_rebuild(raise_errors=False)
    return model.model_fields


def _field_type(field: ModelField) -> tuple[reflection.Type | None, bool]:
    """A secret of pydantic counts as hidden, and so does a mark inside a type of which nothing says where it is."""
    described = described_type(field.annotation)
    if _is_marked(field):
        return described, True
    return described, (described is None or _is_cut(field.annotation)) and _holds_mark(field.annotation, set())


def _is_cut(hint: object) -> bool:
    """Whether msgspec describes something in a type without what stands in its brackets, such as a deque."""
    arguments = get_args(hint)
    described = described_type(hint) if arguments else None
    is_custom = described is not None and isinstance(bare(described), reflection.CustomType)
    return is_custom or any(map(_is_cut, arguments))


def _is_marked(field: ModelField) -> bool:
    return Hidden in field.metadata or _holds_secret(field.annotation, in_clear=True)


def hides_all(described: reflection.Type) -> bool:
    """Whether people see nothing of a value: its type is marked, or a secret, or nothing says where in it a mark is."""
    if is_hidden(described):
        return True
    return (
        isinstance(described, reflection.CustomType)
        and not is_model(described.cls)
        and _holds_mark(described.cls, set())
    )


def _holds_mark(hint: object, seen: set[object]) -> bool:
    """Whether something is marked in a type that msgspec cannot describe; `seen`: the types that were looked at."""
    if hint is Hidden or _is_secret(hint) or isinstance(hint, ForwardRef):  # what nothing explains may be marked
        return True
    if arguments := get_args(hint):
        return any(_holds_mark(each, seen) for each in (get_origin(hint), *arguments))
    inside = _hints_in(hint) if isinstance(hint, type) else _named(hint)
    if not inside or hint in seen:
        return False
    seen.add(hint)
    return any(_holds_mark(each, seen) for each in inside)


def _named(hint: object) -> list[object]:
    """What a name stands for that was given to a type: by `type X = ...` or `NewType`."""
    if type(hint).__name__ not in ("TypeAliasType", "NewType"):
        return []
    return [getattr(hint, "__value__", None) or getattr(hint, "__supertype__", None)]


def _hints_in(cls: type[Any]) -> list[object]:
    """What a class annotates the fields with that it has in JSON."""
    if is_model(cls):
        return [each for field in _fields_of(cls).values() for each in (field.annotation, *field.metadata)]
    if not _has_fields(cls):
        return []
    try:
        return list(get_type_hints(cls, include_extras=True).values())
    except Exception:  # noqa: BLE001  # evaluating what users wrote may raise anything
        return [Hidden]


def _has_fields(cls: type[object]) -> bool:
    """Whether JSON of the class has the fields that it annotates."""
    marks = ("model_fields", "__dataclass_fields__", "__struct_fields__", "__attrs_attrs__", "__total__", "_fields")
    return any(hasattr(cls, each) for each in marks)


def model_types(cls: type[object], raw: Mapping[str, object]) -> Mapping[str, reflection.Type | None]:
    """The keys of JSON data with the types that the model declares for them; none for those that it would drop without
    a word. Whatever it keeps or refuses apart from its fields is left out, and so is all of it if only the model can
    say.
    """
    model = cast("type[Model]", cls)
    fields = _fields_of(cls).items()
    if any(not isinstance(field.validation_alias, str | None) for _, field in fields):
        return {}  # an alias that is a path or a choice: the model alone can say what it reads
    drops = model.model_config.get("extra", "ignore") == "ignore"
    found: dict[str, reflection.Type | None] = dict.fromkeys(raw if drops else ())
    for name, computed in model.model_computed_fields.items():
        found.update(dict.fromkeys((name, computed.alias or name), reflection.AnyType()))  # written, and never read
    own = {name: _marked_type(field) for name, field in fields}
    found.update(own)
    for name, field in fields:
        for each in (field.alias, field.validation_alias):
            if isinstance(each, str):  # it wins over the name of another field, of which the mark stays
                found[each] = marked(own[name]) if each in own and hides_all(own[each]) else own[name]
    return found


def _marked_type(field: ModelField) -> reflection.Type:
    described, hidden = _field_type(field)
    described = described or reflection.AnyType()
    return marked(described) if hidden else described


def root_type(cls: type[Any]) -> reflection.Type | None:
    """What a model stands for that has no fields and is written as its one value; None for any other model."""
    is_root: bool = getattr(cls, "__pydantic_root_model__", False)
    if not is_root:
        return None
    described, hidden = _field_type(_fields_of(cls)["root"])
    return marked(described or reflection.AnyType()) if hidden else described


def described_type(hint: object) -> reflection.Type | None:
    """How msgspec describes a type; None for one that it cannot."""
    try:
        return reflection.type_info(hint)
    except (TypeError, ValueError, NameError, AttributeError, NotImplementedError):
        return None


def equality_is_its_own(cls: type[object]) -> bool:
    """Whether pydantic compares its objects, and no `__eq__` of the user's."""
    owner = next(base for base in cls.__mro__ if "__eq__" in vars(base))
    return owner.__module__.startswith("pydantic.")


def secrets_without_serializer(cls: type[object]) -> Iterator[str]:
    """The fields of a model that hold a secret and that nothing writes in clear."""
    fields, decorators = _fields_of(cls), getattr(cls, "__pydantic_decorators__", None)
    if getattr(decorators, "field_serializers", None) or getattr(decorators, "model_serializers", None):
        return  # what they write shows when a value is compared
    for name, field in fields.items():
        if field.exclude is not True and _holds_secret(field.annotation) and not _has_serializer(field.metadata):
            yield name


def _holds_secret(hint: object, *, in_clear: bool = False) -> bool:
    """Whether a value of the type is or has a secret that pydantic writes as stars; `in_clear`: or by a serializer."""
    if _is_secret(hint):
        return True
    arguments = get_args(hint)
    if not in_clear and _has_serializer(arguments):
        return False
    return any(_holds_secret(each, in_clear=in_clear) for each in arguments)


def _is_secret(hint: object) -> bool:
    cls = get_origin(hint) or hint
    if not isinstance(cls, type) or not hasattr(cls, "get_secret_value"):
        return False
    return any(base.__module__ == "pydantic.types" for base in cls.__mro__)


def _has_serializer(metadata: Iterable[object]) -> bool:
    return any(type(each).__name__ in ("PlainSerializer", "WrapSerializer") for each in metadata)


def explain(error: Exception) -> tuple[str, str] | None:
    """Field path and reason of a pydantic ValidationError; None for any other error."""
    kind = type(error)
    if kind.__name__ != "ValidationError" or not kind.__module__.startswith("pydantic"):
        return None
    first = cast(Refusal, error).errors(include_url=False, include_context=False, include_input=False)[0]
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
    reason = first["msg"]
    return "".join(steps).removeprefix("."), reason[:1].lower() + reason[1:]
