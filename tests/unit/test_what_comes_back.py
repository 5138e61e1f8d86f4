"""What is written is what was meant: it is read as an equal value, or it is refused where it was made."""

import dataclasses
import enum
import json
import zoneinfo
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagabus import MessageInvalid, Saga, event
from sagabus.codec import JsonCodec
from sagabus.codec.states import StateCodec
from sagabus.errors import StateInvalid
from sagabus.message import message_type_of


class ModelLine(pydantic.BaseModel):
    sku: str


class ModelGift(ModelLine):
    wrapping: str


@dataclasses.dataclass
class Line:
    sku: str


@dataclasses.dataclass
class Gift(Line):
    wrapping: str = ""


class StructLine(msgspec.Struct):
    sku: str


class StructGift(StructLine):
    wrapping: str = ""


class ById(msgspec.Struct, eq=False):
    """Equal by one field only, as entities are."""

    key: int
    lines: list[Line]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ById) and other.key == self.key

    def __hash__(self) -> int:
        return self.key


@dataclasses.dataclass
class Uncompared:
    line: Any = dataclasses.field(compare=False)


class Colour(enum.Enum):
    RED = "red"


@event("back.anything")
@dataclasses.dataclass(frozen=True)
class Anything:
    data: Any


@event("back.lines")
@dataclasses.dataclass(frozen=True)
class Lines:
    lines: list[Line] = dataclasses.field(default_factory=list)
    structs: dict[str, StructLine] = dataclasses.field(default_factory=dict)
    models: tuple[ModelLine, ...] = ()
    entity: ById | None = None
    uncompared: Uncompared | None = None
    price: float | None = None


@event("back.pydantic")
class Pydantic(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(populate_by_name=True)

    lines: list[ModelLine] = []
    internal: int = pydantic.Field(default=0, exclude=True)
    order_id: str = pydantic.Field(default="none", validation_alias="orderId", serialization_alias="order-id")
    gross: Decimal = Decimal(0)
    data: dict[str, Any] = {}
    _cache: object = pydantic.PrivateAttr(default_factory=object)

    @pydantic.field_validator("gross")
    @classmethod
    def with_tax(cls, value: Decimal) -> Decimal:
        return value * 2


@event("back.rounded", lossy=True)
class Rounded(pydantic.BaseModel):
    price: float | None
    secret: str = pydantic.Field(default="", exclude=True)

    @pydantic.field_serializer("price")
    def rounded(self, price: float | None) -> float | None:
        return None if price is None else round(price, 1)


CHANGED: list[tuple[object, str]] = [
    (Lines(lines=[Line("a"), Gift("b", "red")]), "lines[1]"),
    (Lines(structs={"a": StructGift("b", "red")}), "structs.a"),
    (Lines(models=(ModelGift(sku="a", wrapping="red"),)), "models[0]"),
    (Lines(entity=ById(1, [Gift("a")])), "entity.lines[0]"),
    (Lines(uncompared=Uncompared(Decimal(1))), "uncompared.line"),
    (Lines(price=float("nan")), "price"),
    (Anything((1, 2)), "data"),
    (Anything({"when": [Decimal("1.10")]}), "data.when[0]"),
    (Anything({1: "a"}), "data[1]"),
    (Anything(Line("a")), "data"),
    (Anything(ModelLine(sku="a")), "data"),
    (Anything({"day": datetime(2030, 1, 1, tzinfo=UTC)}), "data.day"),
    (Pydantic(lines=[ModelGift(sku="a", wrapping="red")]), "lines[0]"),
    (Pydantic(internal=5), "internal"),
    (Pydantic(orderId="A1"), "order_id"),  # type: ignore[call-arg]
    (Pydantic(gross=Decimal(10)), "gross"),
    (Pydantic(data={"price": Decimal("1.10")}), "data.price"),
]

UNCHANGED: list[object] = [
    Lines(lines=[Line("a")], structs={"a": StructLine("b")}, models=(ModelLine(sku="a"),), entity=ById(1, [Line("a")])),
    Lines(price=2),
    Anything({"n": [1, 2.5, None, True, "x"], "o": OrderedDict(a=1)}),
    Anything(Colour.RED.value),
    Pydantic(lines=[ModelLine(sku="a")], data={"a": [1, {"b": None}]}),
]


@pytest.mark.parametrize(("message", "path"), CHANGED)
def test_a_message_that_would_come_back_changed_is_refused_naming_the_field(message: object, path: str) -> None:
    with pytest.raises(MessageInvalid) as refused:
        JsonCodec().encode(message)

    assert refused.value.path == path


@pytest.mark.parametrize("message", UNCHANGED)
def test_a_message_that_comes_back_equal_passes(message: object) -> None:
    codec = JsonCodec()

    body = codec.encode(message)

    found = codec.decode(message_type_of(message), body)
    assert json.loads(codec.encode(found)) == json.loads(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text() | st.binary() | st.decimals(),
    lambda inner: (
        st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.sets(st.text())
    ),
    max_leaves=8,
)


@given(JSON)
def test_whatever_is_accepted_comes_back_equal(data: object) -> None:
    codec, message = JsonCodec(), Anything(data)

    try:
        body = codec.encode(message)
    except MessageInvalid:
        return

    assert codec.decode(message_type_of(message), body) == message


@pytest.mark.parametrize("hour", range(24))
def test_the_hour_that_summer_time_repeats_is_no_change(hour: int) -> None:
    @event("back.moment")
    @dataclasses.dataclass(frozen=True)
    class Moment:
        at: datetime

    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    for fold in (0, 1):
        at = datetime(2025, 10, 26, hour, 30, tzinfo=berlin, fold=fold)

        body = JsonCodec().encode(Moment(at))

        found = JsonCodec().decode(message_type_of(Moment), body)
        assert isinstance(found, Moment)
        assert found.at.timestamp() == at.timestamp()


def test_a_model_that_means_to_lose_something_may() -> None:
    codec = JsonCodec()

    found = codec.decode(message_type_of(Rounded), codec.encode(Rounded(price=1.26, secret="s")))

    assert found == Rounded(price=1.3)


def test_a_model_that_means_to_lose_something_still_has_no_nan() -> None:
    with pytest.raises(MessageInvalid, match="NaN"):
        JsonCodec().encode(Rounded.model_construct(price=float("nan")))


class Basket(Saga, name="basket", key="id"):
    id: str
    lines: list[Line] = dataclasses.field(default_factory=list)
    data: Any = None
    wait: timedelta = timedelta(0)


class Careless(Basket, name="careless", key="id", lossy=True):
    pass


def test_a_state_that_would_come_back_changed_is_refused_naming_saga_and_field() -> None:
    with pytest.raises(StateInvalid) as refused:
        StateCodec().write(Basket(id="1", lines=[Gift("a", "red")]))

    assert (refused.value.saga, refused.value.path) == ("basket", "lines[0]")


def test_a_saga_that_means_to_lose_something_gets_what_is_stored() -> None:
    body, kept, _ = StateCodec().write(Careless(id="1", data=(1, 2)))

    assert kept == StateCodec().read(Careless, body, None).state == Careless(id="1", data=[1, 2])
