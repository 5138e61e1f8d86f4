"""What a definition is made of is judged when the bus is built, never by the first value."""

from __future__ import annotations

import dataclasses
import fractions
import pathlib
import typing
import zoneinfo
from decimal import Decimal
from typing import Any, Generic, NamedTuple, TypedDict, TypeVar

import msgspec
import pydantic
import pytest

from sagabus.codec import JsonCodec
from sagabus.codec.field_types import walk
from sagabus.errors import ConfigurationError
from sagabus.message import event, message_type_of

if typing.TYPE_CHECKING:
    from datetime import date

T = TypeVar("T")


class Money:
    pass


@dataclasses.dataclass
class Place:
    path: pathlib.Path | None = None


class Point(NamedTuple):
    zone: zoneinfo.ZoneInfo


class Options(TypedDict):
    shares: list[fractions.Fraction]


@dataclasses.dataclass
class Page(Generic[T]):
    rows: list[T]


class Login(pydantic.BaseModel):
    name: str
    password: pydantic.SecretStr


class Revealed(pydantic.BaseModel):
    password: pydantic.SecretStr

    @pydantic.field_serializer("password")
    def reveal(self, password: pydantic.SecretStr) -> str:
        return password.get_secret_value()


class Tree(pydantic.BaseModel):
    where: pathlib.Path
    children: list[Tree] = []
    mark: Annotated_Secret | None = None


def to_money(value: object) -> Money:
    return Money()


class Purse(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)

    spare: list[Money] = []
    cache: Money | None = pydantic.Field(default=None, exclude=True)


class Owner(pydantic.BaseModel):
    purse: Purse | None = None


@dataclasses.dataclass
class Pocket:
    coins: list[int]
    kind: type[int] | None = None


class Coat(pydantic.BaseModel):
    pocket: Pocket


class Seam(pydantic.BaseModel):
    page: Page[int]


class Guarded(pydantic.BaseModel):
    by: Guard  # a class that comes later


class Guard(pydantic.BaseModel):
    word: pydantic.SecretStr


class Converted(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)

    token: pydantic.SecretStr | None = pydantic.Field(default=None, exclude=True)
    before: typing.Annotated[Money, pydantic.BeforeValidator(to_money)]
    plain: typing.Annotated[Money, pydantic.PlainValidator(to_money)]
    url: pydantic.HttpUrl
    kind: typing.Literal["a"] | int
    pair: tuple[pathlib.Path, fractions.Fraction]


class WithCallable(pydantic.BaseModel):
    call: typing.Callable[[], None] | None = None
    kind: type[Money] | None = None


Annotated_Secret = typing.Annotated[
    pydantic.SecretStr, pydantic.PlainSerializer(lambda secret: secret.get_secret_value())
]
Tree.model_rebuild()

REFUSED: list[tuple[Any, str]] = [
    (Money, "it"),
    (complex, "it"),
    (type, "it"),
    (list[Money], "it[]"),
    (dict[str, Place], "it[].path"),
    (tuple[int, Point], "it[].zone"),
    (Options | None, "it.shares[]"),
    (Page[Money], "it.rows[]"),
    (msgspec.Raw, "it"),
    (msgspec.msgpack.Ext, "it"),
    (Login, "it.password"),
    (list[Login], "it[].password"),
    (Purse, "it.spare"),
    (dict[str, Owner], "it[].purse.spare"),
    (Coat, "it.pocket.kind"),
    (Guarded, "it.by.word"),
]

TAKEN: list[Any] = [
    Any,
    object,
    dict[str, object],
    Page[int],
    Tree,
    list[Tree],
    Revealed,
    Seam,
    Converted,
    set[tuple[int, Decimal]],
]


def holder(hint: Any) -> type[object]:
    return msgspec.defstruct("Holder", [("it", hint)])


@pytest.mark.parametrize(("hint", "path"), REFUSED)
def test_a_type_without_a_form_in_json_is_found_wherever_it_stands(hint: Any, path: str) -> None:
    (problem,) = walk(holder(hint)).problems

    assert problem.startswith(f'field "{path}": ')


@pytest.mark.parametrize("hint", TAKEN)
def test_a_type_that_json_can_hold_is_taken(hint: Any) -> None:
    assert walk(holder(hint)).problems == ()


def test_what_pydantic_reads_from_no_json_is_found_in_a_message_of_its_own() -> None:
    problems = walk(WithCallable).problems

    assert [problem.split('"')[1] for problem in problems] == ["call", "kind"]


def test_every_wrong_field_is_listed() -> None:
    @event("types.wrong")
    @dataclasses.dataclass
    class Wrong:
        money: Money
        places: list[Place]
        total: int

    with pytest.raises(ConfigurationError) as refused:
        JsonCodec().prepare(message_type_of(Wrong))

    assert [problem.split('"')[1] for problem in refused.value.problems] == ["money", "places[].path"]


def test_a_name_that_only_type_checkers_see_is_named_where_a_field_needs_it() -> None:
    @event("types.hidden")
    @dataclasses.dataclass
    class Hidden:
        day: date

    with pytest.raises(ConfigurationError, match=r"'date' is not defined.*TYPE_CHECKING"):
        JsonCodec().prepare(message_type_of(Hidden))


def test_classes_of_the_enclosing_function_are_found_however_deep() -> None:
    class Part(msgspec.Struct):
        node: Node | None = None

    class Extra(TypedDict):
        parts: list[Part]

    @dataclasses.dataclass
    class Node:
        extra: Extra | None = None

    @event("types.local")
    class Local:
        nodes: dict[str, Node]
        page: Page[Node]

    codec = JsonCodec()
    message = Local(nodes={"a": Node({"parts": [Part(Node())]})}, page=Page([Node()]))

    assert codec.decode(message_type_of(Local), codec.encode(message)) == message
