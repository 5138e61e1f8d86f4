"""A stored state of another release is brought to this one, or carried along, or left to who knows it: never cut."""

import re
import types
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypedDict

import msgspec
import pytest
from pydantic import BaseModel, RootModel, computed_field

from sagabus import Bus, ConfigurationError, Saga, command, event, starts, timer
from sagabus.codec.shape import version_of
from sagabus.codec.states import StateCodec
from sagabus.errors import StateInvalid, StateTooNew


@event("evolve.begun")
class Begun:
    key: str


class Line(msgspec.Struct):
    sku: str
    amount: int = 1


class Detail(BaseModel):
    text: str


class Tagged(TypedDict):
    tag: str


@dataclass
class Address:
    street: str
    tags: list[Tagged] = field(default_factory=list)


class Old(Saga, name="evolve", key="key"):
    key: str
    lines: list[Line] = field(default_factory=list)
    address: Address | None = None
    detail: Detail | None = None
    notes: dict[str, str] = field(default_factory=dict)

    @starts
    def begun(self, message: Begun) -> None: ...


class Second(Saga, name="evolve", key="key", version=2, upcast={1: lambda old: {**old, "total": len(old["lines"])}}):
    key: str
    total: int

    @starts
    def begun(self, message: Begun) -> None: ...


codec = StateCodec()


def read(cls: type[Any], stored: dict[str, Any], shape: str | None = None) -> Any:
    return codec.read(cls, msgspec.json.encode(stored), shape)


def test_a_state_of_an_equal_shape_is_read_as_it_is() -> None:
    body, _, shape = codec.write(Old(key="A", lines=[Line("s")]))

    found = codec.read(Old, body, shape)

    assert (found.state, found.carried) == (Old(key="A", lines=[Line("s")]), None)


def test_unknown_fields_are_carried_to_the_bytes_that_they_had() -> None:
    stored = b'{"key":"A","later":{"x":1.10, "y":[null]},"more":"\xc3\xa9"}'
    state, carried = codec.read(Old, stored, None)
    state.notes["n"] = "m"

    body, _, shape = codec.write(state, carried)

    assert b'"later":{"x":1.10, "y":[null]}' in body
    assert msgspec.json.decode(body)["more"] == "é"
    assert msgspec.json.decode(body)["notes"] == {"n": "m"}
    assert shape != codec.shape_of(Old)
    assert codec.read(Old, body, shape).carried == carried


@pytest.mark.parametrize(
    ("stored", "path"),
    [
        ({"lines": [{"sku": "s"}, {"sku": "t", "gift": True}]}, "lines[1].gift"),
        ({"address": {"street": "x", "zip": "1"}}, "address.zip"),
        ({"address": {"street": "x", "tags": [{"tag": "t", "by": "me"}]}}, "address.tags[0].by"),
        ({"detail": {"text": "x", "author": "me"}}, "detail.author"),
    ],
)
def test_an_unknown_field_inside_a_known_one_is_left_to_who_knows_it(stored: dict[str, Any], path: str) -> None:
    with pytest.raises(StateTooNew) as refused:
        read(Old, {"key": "A", **stored})

    assert refused.value.path == path


def test_what_a_mapping_holds_is_no_unknown_field() -> None:
    assert read(Old, {"key": "A", "notes": {"any": "thing"}}).carried is None


def test_a_field_listed_as_dropped_is_lost_on_purpose_at_every_depth() -> None:
    class Dropping(Saga, name="evolve", key="key", dropped=["gone", "lines[].gift"]):
        key: str
        lines: list[Line] = field(default_factory=list)

    found = read(Dropping, {"key": "A", "gone": 1, "lines": [{"sku": "s", "gift": 1}]})

    assert (found.state, found.carried) == (Dropping(key="A", lines=[Line("s")]), None)


def test_a_higher_version_is_left_to_who_knows_it() -> None:
    body, _, shape = codec.write(Second(key="A", total=1))

    assert version_of(shape) == 2
    with pytest.raises(StateTooNew, match="version 2"):
        codec.read(Old, body, shape)


def test_a_lower_version_goes_through_the_upcasters_in_order() -> None:
    class Third(
        Saga,
        name="evolve",
        key="key",
        version=4,
        upcast={1: lambda old: {**old, "trace": [1]}, 3: lambda old: {**old, "trace": [*old["trace"], 3]}},
        renamed={"name": "title"},
        dropped=["lines"],
    ):
        key: str
        title: str
        trace: list[int]

    found = read(Third, {"key": "A", "name": "n", "lines": []})

    assert (found.state, found.carried) == (Third(key="A", title="n", trace=[1, 3]), None)


@pytest.mark.parametrize("upcast", [lambda _: None, lambda old: old["missing"]])
def test_an_upcaster_that_fails_costs_the_message_and_leaves_the_state(upcast: Any) -> None:
    class Failing(Saga, name="evolve", key="key", version=2, upcast={1: upcast}):
        key: str

    with pytest.raises(StateInvalid, match="of version 1"):
        read(Failing, {"key": "A"})


def test_shapes_tell_nested_fields_and_versions_apart() -> None:
    class Inner(msgspec.Struct):
        sku: str
        gift: bool = False

    class Grown(Saga, name="evolve", key="key"):
        key: str
        lines: list[Inner] = field(default_factory=list)
        address: Address | None = None
        detail: Detail | None = None
        notes: dict[str, str] = field(default_factory=dict)

    class Again(Old, name="evolve", key="key", version=2): ...

    assert len({codec.shape_of(cls) for cls in (Old, Grown, Again)}) == 3


class Part(BaseModel):
    text: str = ""


class Priced(BaseModel):
    part: Part = Part()
    parts: list[Part] = []

    @computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def total(self) -> int:
        return len(self.parts)


class Wide(RootModel[dict[str, Part]]): ...


class Pair(NamedTuple):
    line: Line = Line("s")


class Row(msgspec.Struct, array_like=True):
    amount: int = 1


class Left(msgspec.Struct, tag="left"):
    at: int = 1


class Right(msgspec.Struct, tag="right"):
    on: int = 1


class Deep(Saga, name="deep", key="key", dropped=["lines[].note"]):
    key: str
    lines: list[Line] = field(default_factory=lambda: [Line("s")])
    priced: Priced = field(default_factory=lambda: Priced(parts=[Part()]))
    wide: Wide = field(default_factory=lambda: Wide({"a": Part()}))
    pair: Pair = Pair()
    row: Row = field(default_factory=Row)
    either: Left | Right = field(default_factory=Left)


def test_what_a_release_writes_itself_is_known_to_it() -> None:
    assert codec.read(Deep, codec.write(Deep(key="A"))[0], None).carried is None


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("priced.more", lambda stored: stored["priced"]),
        ("priced.part.more", lambda stored: stored["priced"]["part"]),
        ("priced.parts[0].more", lambda stored: stored["priced"]["parts"][0]),
        ("wide.a.more", lambda stored: stored["wide"]["a"]),
        ("pair[0].more", lambda stored: stored["pair"][0]),
        ("either.on", lambda stored: stored["either"]),
        ("lines[0].more", lambda stored: stored["lines"][0].setdefault("note", "dropped") and stored["lines"][0]),
    ],
)
def test_no_kind_of_object_inside_a_field_hides_what_a_release_does_not_know(path: str, inside: Any) -> None:
    stored = msgspec.json.decode(codec.write(Deep(key="A"))[0])
    inside(stored)[path.rpartition(".")[2]] = 2

    with pytest.raises(StateTooNew, match=re.escape(f": {path};")):
        read(Deep, stored)


def test_an_element_too_many_of_an_object_that_is_an_array_is_an_unknown_field() -> None:
    with pytest.raises(StateTooNew, match=re.escape("row[1]")):
        read(Deep, {"key": "A", "row": [1, 2]})


def test_fields_of_a_type_that_another_field_has_already_are_part_of_the_shape() -> None:
    class Ship(msgspec.Struct):
        sku: str
        amount: int = 1
        gift: bool = False

    def shape(**more: Any) -> str:
        body = {"key": str, "line": Line, "ship": Ship, "detail": Detail, **more}
        cls: Any = types.new_class("Kin", (Saga,), {"name": "kin"}, lambda space: space.update(__annotations__=body))
        return codec.shape_of(cls)

    kinds = ({}, {"second": Line}, {"second": Ship}, {"second": list[Line]}, {"second": Detail})
    assert len({shape(**more) for more in kinds}) == len(kinds)


def test_names_in_json_are_part_of_the_shape() -> None:
    def shape(**options: Any) -> str:
        inner = msgspec.defstruct("Inner", [("sku_code", str, "")], **options)
        body = {"key": str, "inner": inner}
        cls: Any = types.new_class("Kin", (Saga,), {"name": "kin"}, lambda space: space.update(__annotations__=body))
        return codec.shape_of(cls)

    assert shape() != shape(rename="camel")


def test_declarations_that_cannot_be_meant_are_refused_in_one_list() -> None:
    class Wrong(
        Saga, name="wrong", key="key", renamed={"a": "nothing", "key": "status"}, upcast={1: dict}, dropped=["status"]
    ):
        key: str
        status: Literal["x"] = "x"

        @starts
        def begun(self, message: Begun) -> None: ...

    with pytest.raises(ConfigurationError) as refused:
        Bus("memory:", Wrong)

    text = "\n".join(refused.value.problems)
    for part in ("needs version=2", "'nothing' is no field", "'key' is a field still", "upcast names", "dropped names"):
        assert part in text


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"dropped": "note"}, "dropped must be a list of names, not 'note'"),
        ({"dropped": [1]}, "dropped must be a list of names"),
        ({"version": 2, "upcast": [dict]}, "upcast must be a mapping"),
        ({"version": 2, "upcast": {1: "x"}}, "upcast takes functions, not 'x'"),
        ({"version": 2, "renamed": ["a"]}, "renamed must be a mapping"),
    ],
)
def test_options_of_a_wrong_kind_are_refused_before_any_state_is_read(options: dict[str, Any], problem: str) -> None:
    class Wrong(Saga, name="wrong", key="key", **options):
        key: str

        @starts
        def begun(self, message: Begun) -> None: ...

    with pytest.raises(ConfigurationError, match=problem):
        Bus("memory:", Wrong)


@pytest.mark.parametrize("declare", [event("evolve.x", aliases=["evolve.y"]), timer("x", aliases=["y"])])
def test_a_list_of_aliases_is_fine(declare: Any) -> None:
    assert callable(declare)


@pytest.mark.parametrize("declare", [event, command, timer])
def test_one_text_is_no_list_of_aliases(declare: Any) -> None:
    with pytest.raises(ConfigurationError, match="aliases must be a list of names"):
        declare("evolve.x", aliases="evolve.y")
