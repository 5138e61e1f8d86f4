"""Pydantic models on the wire, through pydantic itself: the model's own configuration decides what it accepts.

Used by `codec` for messages whose shape is "pydantic". Nothing is imported from pydantic, which is optional.
"""

from typing import Protocol, TypedDict, cast

import msgspec

__all__ = ["decode_model", "encode_model", "explain", "plain_model"]


class Model(Protocol):
    """The part of pydantic.BaseModel that is used here."""

    def model_dump_json(self, *, by_alias: bool, warnings: bool) -> str: ...

    def model_dump(self, *, by_alias: bool, warnings: bool) -> object: ...

    @classmethod
    def model_validate_json(cls, json_data: bytes) -> "Model": ...


class Detail(TypedDict):
    """One entry of a pydantic.ValidationError."""

    loc: tuple[str | int, ...]
    msg: str


class Refusal(Protocol):
    """The part of pydantic.ValidationError that is used here."""

    def errors(self, *, include_url: bool, include_context: bool, include_input: bool) -> list[Detail]: ...


def encode_model(message: object) -> bytes:
    """The model as JSON, by alias because that is what validation reads; decoding finds wrong values, not warnings."""
    return cast(Model, message).model_dump_json(by_alias=True, warnings=False).encode()


def plain_model(message: object) -> object:
    """The model as dicts, lists and scalars, with NaN still visible."""
    return cast(Model, message).model_dump(by_alias=True, warnings=False)


def decode_model(cls: type[object], body: bytes) -> object:
    """The model in the body; raises msgspec's or pydantic's error."""
    # pydantic's parser takes NaN, Infinity and 1e999; this pass makes the same JSON valid for every shape of message.
    msgspec.json.decode(body)
    return cast("type[Model]", cls).model_validate_json(body)


def explain(error: Exception) -> tuple[str, str] | None:
    """Field path and reason of a pydantic ValidationError; None for any other error."""
    kind = type(error)
    if kind.__name__ != "ValidationError" or not kind.__module__.startswith("pydantic"):
        return None
    first = cast(Refusal, error).errors(include_url=False, include_context=False, include_input=False)[0]
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
    reason = first["msg"]
    return "".join(steps).removeprefix("."), reason[:1].lower() + reason[1:]
