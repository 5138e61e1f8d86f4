"""What is shown of messages and states of which some fields are hidden."""

from collections import deque
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypedDict, TypeVar

import msgspec
import pydantic
import pytest
from typing_extensions import TypeAliasType

from sagabus import Hidden
from sagabus.codec.field_types import hidden_paths, walk
from sagabus.codec.form import Rules, native_form
from sagabus.codec.masks import HIDDEN, Mask
from sagabus.codec.shape import shape_text
from sagabus.errors import MessageInvalid, MessageTooDeep, MessageTooLarge

T = TypeVar("T")
S = "s3cret"


@dataclass
class Address:
    city: str
    street: Annotated[str, Hidden] = ""


@dataclass
class Box(Generic[T]):
    it: T


class Paid(msgspec.Struct, tag="paid", rename="camel"):
    card_number: Annotated[str, Hidden]
    amount_due: int


class Free(msgspec.Struct, tag="free"):
    why: str


class Row(NamedTuple):
    name: str
    pin: Annotated[int, Hidden]


class Wire(msgspec.Struct, array_like=True):
    name: str
    pin: Annotated[int, Hidden]


class Typed(TypedDict, total=False):
    name: str
    pin: Annotated[int, Hidden]


class Inner(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    name: str = ""
    pin: Annotated[str, Hidden] = ""
    word: Annotated[
        pydantic.SecretStr, pydantic.PlainSerializer(lambda each: each.get_secret_value(), return_type=str)
    ] = pydantic.SecretStr("")
    phone: Annotated[str, Hidden] | None = pydantic.Field(default=None, alias="Phone")

    @pydantic.computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def both(self) -> str:
        return self.name + self.pin


@dataclass
class Tree:
    name: str
    children: list["Tree"] = field(default_factory=list)
    note: Annotated[str, Hidden] = ""


@dataclass
class Order:
    order_id: str
    card: Annotated[str, Hidden]
    address: Address | None = None
    lines: list[Address] = field(default_factory=list)
    by_name: dict[str, Address] = field(default_factory=dict)
    numbers: list[Annotated[int, Hidden]] = field(default_factory=list)
    either: Paid | Free | None = None
    box: Box[Annotated[int, Hidden]] | None = None
    row: Row | None = None
    wire: Wire | None = None
    typed: Typed | None = None
    model: Inner | None = None
    tree: Tree | None = None
    phone: Annotated[str, Hidden] | None = None
    whole: Annotated[Address | None, Hidden] = None
    keys: dict[Annotated[str, Hidden], int] = field(default_factory=dict)
    pair: tuple[str, Annotated[str, Hidden]] | None = None
    limited: Annotated[str, msgspec.Meta(max_length=9), Hidden] = ""
    anything: Any = None
    amount: int = 0
    count: int | None = None


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a field": ({"card": S}, {"card": HIDDEN}),
    "no text": ({"card": 4111}, {"card": HIDDEN}),
    "nested": ({"address": {"city": "X", "street": S}}, {"address": {"city": "X", "street": HIDDEN}}),
    "absent": ({"address": None, "phone": None}, {"address": None, "phone": None}),
    "in a list": ({"lines": [{"city": "X", "street": S}]}, {"lines": [{"city": "X", "street": HIDDEN}]}),
    "in a mapping": ({"by_name": {"a.b": {"street": S}}}, {"by_name": {"a.b": {"street": HIDDEN}}}),
    "items": ({"numbers": [1, 2]}, {"numbers": [HIDDEN, HIDDEN]}),
    "tagged": (
        {"either": {"type": "paid", "cardNumber": S, "amountDue": 3}},
        {"either": {"type": "paid", "cardNumber": HIDDEN, "amountDue": 3}},
    ),
    "tagged, the other": ({"either": {"type": "free", "why": "x"}}, {"either": {"type": "free", "why": "x"}}),
    "tagged, none": ({"either": {"type": "odd", "why": S}}, {"either": HIDDEN}),
    "generic": ({"box": {"it": 5}}, {"box": {"it": HIDDEN}}),
    "named tuple": ({"row": ["X", 5]}, {"row": ["X", HIDDEN]}),
    "array": ({"wire": ["X", 5, S]}, {"wire": ["X", HIDDEN, HIDDEN]}),
    "typed dictionary": ({"typed": {"name": "X", "pin": 5}}, {"typed": {"name": "X", "pin": HIDDEN}}),
    "model": (
        {"model": {"name": "X", "pin": S, "word": S, "Phone": S, "both": S, "extra": S}},
        {"model": {"name": "X", "pin": HIDDEN, "word": HIDDEN, "Phone": HIDDEN, "both": HIDDEN, "extra": HIDDEN}},
    ),
    "recursive": (
        {"tree": {"name": "X", "note": S, "children": [{"name": "Y", "note": S}]}},
        {"tree": {"name": "X", "note": HIDDEN, "children": [{"name": "Y", "note": HIDDEN}]}},
    ),
    "optional": ({"phone": S}, {"phone": HIDDEN}),
    "whole": ({"whole": {"city": "X"}}, {"whole": HIDDEN}),
    "keys": ({"keys": {S: 1}}, {"keys": HIDDEN}),
    "tuple": ({"pair": ["X", S]}, {"pair": ["X", HIDDEN]}),
    "with a constraint": ({"limited": S}, {"limited": HIDDEN}),
    "anything": ({"anything": {"a": [1]}}, {"anything": {"a": [1]}}),
    "of the wrong kind": ({"amount": "12", "order_id": 7}, {"amount": "12", "order_id": 7}),
    "of no kind of a union": ({"count": "12", "either": S}, {"count": "12", "either": HIDDEN}),
    "an object for a number": ({"amount": {"card": S}}, {"amount": HIDDEN}),
    "a text for an object": ({"address": S, "lines": S}, {"address": HIDDEN, "lines": HIDDEN}),
    "undeclared": ({"crad": S, "address": {"stret": S}}, {"crad": HIDDEN, "address": {"stret": HIDDEN}}),
}


DEEP = b'{"anything":' + b"[" * 900 + b"]" * 900 + b"}"


@pytest.mark.parametrize("what", CASES)
def test_a_hidden_value_is_left_out_wherever_it_stands(what: str) -> None:
    raw, shown = CASES[what]

    masked = Mask(Order).over(raw)

    assert masked.value == shown
    assert S not in repr(masked)


def test_a_class_without_marks_is_shown_as_it_is() -> None:
    raw = {"why": {"anything": S}, "other": 1}

    assert Mask(Free).over(raw).value is raw
    assert Mask(Free).over_text(b"{").value == b"{"


def test_of_a_class_that_is_not_known_the_names_of_the_fields_are_shown() -> None:
    mask = Mask(None)

    assert mask.over({"card": S, "address": {"street": S}}).value == {"card": HIDDEN, "address": HIDDEN}
    assert [mask.over(each).value for each in (None, S, [S])] == [None, HIDDEN, HIDDEN]
    assert mask.over_text(S.encode()).value == b'"(hidden)"'


@pytest.mark.parametrize("text", [b"{", S.encode(), b'\xff"', b"[" * 5000, DEEP])
def test_a_text_that_is_no_json_or_too_deep_is_hidden(text: bytes) -> None:
    assert Mask(Order).over_text(text).value == b'"(hidden)"'


def test_of_nothing_there_is_nothing_to_hide() -> None:
    assert Mask(Order).over_text(b"") == (b"", frozenset())


def test_of_a_field_that_stands_twice_neither_value_is_shown() -> None:
    assert Mask(Order).over_text(b'{"order_id":{"a":"s3cret"},"order_id":"A1"}').value == b'{"order_id":"A1"}'


def test_a_model_as_a_message_hides_its_secrets() -> None:
    assert Mask(Inner).over({"name": "X", "word": S}).value == {"name": "X", "word": HIDDEN}


class Renamed(pydantic.BaseModel):
    card: Annotated[str, Hidden] = pydantic.Field(alias="number")
    number: str = pydantic.Field(alias="order")
    other: str = pydantic.Field(alias="card")


class Pin(pydantic.RootModel[Annotated[str, Hidden]]):
    """A model that stands for one value."""


class Pins(pydantic.RootModel[list[Pin]]):
    """The same of models that do."""


@dataclass
class Pinned:
    it: Pin
    maybe: Pin | None = None
    many: list[Pin] = field(default_factory=list)
    keys: dict[Pin, int] = field(default_factory=dict)
    pins: Pins | None = None


class PinnedModel(pydantic.BaseModel):
    it: Pin
    maybe: Pin | None = None
    many: list[Pin] = []
    pins: Pins | None = None


@pytest.mark.parametrize("cls", [Pinned, PinnedModel])
def test_a_model_that_stands_for_a_marked_value_hides_it(cls: type[object]) -> None:
    raw = {"it": S, "maybe": S, "many": [S], "pins": [S]}

    shown = Mask(cls).over(raw).value

    assert shown == {"it": HIDDEN, "maybe": HIDDEN, "many": [HIDDEN], "pins": [HIDDEN]}
    assert Mask(cls).over({"it": S, "maybe": None}).value == {"it": HIDDEN, "maybe": None}
    assert Mask(Pinned).over({"keys": {S: 1}}).value == {"keys": HIDDEN}
    assert [Mask(each).over(raw).value for each, raw in ((Pin, S), (Pins, [S]))] == [HIDDEN, [HIDDEN]]


def test_an_alias_that_is_the_name_of_another_field_stays_hidden() -> None:
    assert Mask(Renamed).over({"number": S, "order": "A1", "card": S}).value == {
        "number": HIDDEN,
        "order": "A1",
        "card": HIDDEN,  # an older release may have had the value there
    }


class Early(pydantic.BaseModel):
    name: str
    later: "Later"


class Later(pydantic.BaseModel):
    pin: Annotated[int, Hidden]


class Unclear(pydantic.BaseModel):
    name: str
    whose: "list[NowhereToBeFound]"  # type: ignore[name-defined]  # noqa: F821  # on purpose


def test_a_model_may_name_a_class_that_comes_later() -> None:
    assert Mask(Early).over({"name": "X", "later": {"pin": 3}}).value == {"name": "X", "later": {"pin": HIDDEN}}
    assert Mask(Unclear).over({"name": "X", "whose": [S]}).value == {"name": "X", "whose": HIDDEN}


class Token(pydantic.SecretStr):
    pass


IN_CLEAR = pydantic.PlainSerializer(lambda each: each.get_secret_value(), return_type=str)


@dataclass
class Login:
    name: str
    token: Annotated[pydantic.SecretStr, IN_CLEAR]


Card = NewType("Card", Annotated[str, Hidden])
Named = TypeAliasType("Named", Annotated[str, Hidden])


class Wallet(pydantic.BaseModel):
    text: str = ""
    login: Login | None = None
    token: Annotated[Token, IN_CLEAR] = Token("")
    secret: Annotated[pydantic.Secret[str], IN_CLEAR] | None = None
    by_name: dict[str, deque[Inner]] = {}
    numbers: deque[int] = deque()
    named: Named = ""
    either: "Leaf | list[Leaf] | Card | Wallet" = Card("")
    boxed: "Crate[Leaf | Cat] | None" = None


@dataclass
class Crate(Generic[T]):
    it: T
    pin: Annotated[str, Hidden] = ""


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ({"text": "X", "numbers": [1]}, {"text": "X", "numbers": [1]}),
        ({"login": {"name": "X", "token": S}}, {"login": {"name": "X", "token": HIDDEN}}),
        ({"token": S}, {"token": HIDDEN}),
        ({"secret": S}, {"secret": HIDDEN}),
        ({"by_name": {"a": [{"pin": S}]}}, {"by_name": HIDDEN}),
        ({"named": S}, {"named": HIDDEN}),
        ({"either": S}, {"either": HIDDEN}),
        ({"boxed": {"it": {"name": "X"}, "pin": S}}, {"boxed": HIDDEN}),
    ],
)
def test_a_mark_that_only_pydantic_understands_hides(raw: dict[str, Any], shown: dict[str, Any]) -> None:
    assert Mask(Wallet).over(raw).value == shown


def test_a_secret_of_the_users_own_class_needs_a_serializer_as_any_other() -> None:
    class Signed(pydantic.BaseModel):
        token: Token

    (problem,) = walk(Signed).problems

    assert 'field "token": pydantic writes a secret as stars' in problem


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]
    chip: Annotated[str, Hidden]
    colour: str = ""


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]
    chip: str
    size: int = 0


class Owner(pydantic.BaseModel):
    name: str = ""
    pets: list[Cat | Dog]


class Bird(pydantic.BaseModel):
    kind: Literal["bird"]


class Keeper(pydantic.BaseModel):
    pets: list[Dog | Bird]


def test_where_one_of_several_models_may_be_marked_all_of_the_field_is_hidden() -> None:
    raw = {"name": "X", "pets": [{"kind": "dog", "chip": S, "size": 3, "other": S}]}

    assert Mask(Owner).over(raw).value == {"name": "X", "pets": HIDDEN}
    assert Mask(Keeper).shows_all


class Leaf(pydantic.BaseModel):
    name: str = ""


class Branch(pydantic.BaseModel):
    name: str = ""
    inside: "list[Branch | Leaf]" = []


class Sealed(pydantic.BaseModel):
    inside: "list[Sealed | Leaf]" = []
    pin: Annotated[int, Hidden] = 0


def test_models_that_hold_one_another_are_looked_at_once() -> None:
    raw = {"name": "X", "inside": [{"name": "Y", "inside": []}]}

    assert Mask(Branch).over(raw).value == raw
    assert Mask(Sealed).over({"inside": [{"pin": 3}], "pin": 3}).value == {"inside": HIDDEN, "pin": HIDDEN}


def test_a_marked_model_checks_its_values_as_before() -> None:
    with pytest.raises(pydantic.ValidationError, match="pin"):
        Sealed.model_validate_json('{"pin": "x"}')
    assert Sealed.model_json_schema()["$defs"]["Sealed"]["properties"]["pin"]["type"] == "integer"


def test_hidden_stands_for_the_stored_value_where_it_is_plain_which_one_is_meant() -> None:
    stored = {"order_id": "A1", "card": S, "address": {"city": "X", "street": S}}

    kept = Mask(Order).keep({"order_id": "A2", "card": HIDDEN, "address": {"city": "Y", "street": HIDDEN}}, stored)

    assert kept == ({"order_id": "A2", "card": S, "address": {"city": "Y", "street": S}}, [])


def test_hidden_is_refused_where_it_stands_for_nothing_or_for_an_item() -> None:
    stored = {"order_id": "A1", "numbers": [1], "lines": [{"city": "X", "street": S}]}
    given = {"order_id": HIDDEN, "card": HIDDEN, "numbers": [HIDDEN], "lines": [{"street": HIDDEN}], "phone": "x"}

    assert Mask(Order).keep(given, stored).refused == ["order_id", "card", "numbers[0]", "lines[0].street"]


def test_of_a_class_that_is_not_known_hidden_stands_for_whole_fields() -> None:
    stored = {"card": S, "address": {"street": S}}

    kept = Mask(None).keep({"card": HIDDEN, "address": {"street": HIDDEN}}, stored)

    assert (kept.value, kept.refused) == ({"card": S, "address": {"street": HIDDEN}}, ["address.street"])


@dataclass
class Marked:
    text: Annotated[str, Hidden]
    number: Annotated[int | None, Hidden]
    word: Annotated[Literal["a", "b"], Hidden] | None
    part: Annotated[Address, Hidden]
    parts: list[Annotated[Address, Hidden]]


@dataclass
class Plain:
    text: str
    number: int | None
    word: Literal["a", "b"] | None
    part: Address
    parts: list[Address]


def test_a_mark_changes_neither_the_shape_nor_what_is_checked_of_a_value() -> None:
    rules = Rules(1000, 10, MessageInvalid, MessageTooLarge, MessageTooDeep)
    marked, plain = (native_form(cls, "a", rules) for cls in (Marked, Plain))

    assert shape_text(Marked, 1) == shape_text(Plain, 1)
    assert (marked.exact, marked.equality_shows_all) == (plain.exact, plain.equality_shows_all)
    assert (marked.may_lose is None, plain.may_lose is None) == (False, False)


@dataclass
class Texts:
    text: Annotated[str, Hidden]
    number: Annotated[int, Hidden] | None
    word: Annotated[Literal["a", "b"], Hidden]
    limited: Annotated[str, msgspec.Meta(max_length=9)] = ""


@dataclass
class OnlyTexts:
    text: Annotated[str, Hidden]
    number: Annotated[int, Hidden] | None


def test_a_mark_costs_no_second_look_at_what_is_written() -> None:
    rules = Rules(1000, 10, MessageInvalid, MessageTooLarge, MessageTooDeep)

    assert [name for name, _, _ in native_form(OnlyTexts, "a", rules).exact] == ["text", "number"]
    assert native_form(Texts, "a", rules).exact == ()  # a constraint has to be looked at


def test_the_paths_of_hidden_fields_are_known() -> None:
    assert hidden_paths(Address) == ["street"]
    assert hidden_paths(Tree) == ["note"]
    assert set(hidden_paths(Inner)) == {"pin", "word", "Phone"}
    assert {"card", "address.street", "numbers[]", "whole", "model.pin"} <= set(hidden_paths(Order))
