"""Attributes of objects inside a state that are no fields: the next message would not find them."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, TypedDict

import msgspec
import pytest

from sagabus.codec.states import StateCodec
from sagabus.codec.undeclared import check_inside
from sagabus.errors import StateInvalid


@dataclasses.dataclass
class Line:
    article: str = "a"
    pieces: int = 1
    most: ClassVar[int] = 9

    @cached_property
    def label(self) -> str:
        return self.article.upper()


@dataclasses.dataclass(frozen=True)
class Frozen:
    line: Line


@dataclasses.dataclass(slots=True)
class Slotted:
    line: Line | None = None


@dataclasses.dataclass
class Counted:
    """An attribute that each object has from its beginning is there again when it has been read."""

    numbers: list[int]

    def __post_init__(self) -> None:
        self.total = sum(self.numbers)


@dataclasses.dataclass
class Node:
    children: list[Node]


class Wrapped(msgspec.Struct):
    line: Line


class Pair(NamedTuple):
    line: Line
    number: int = 0


class Labelled(TypedDict):
    line: Line


@dataclasses.dataclass
class State:
    one: Line | None = None
    many: list[Line] = dataclasses.field(default_factory=list)
    named: dict[str, Line] = dataclasses.field(default_factory=dict)
    frozen: Frozen | None = None
    slotted: Slotted | None = None
    counted: Counted | None = None
    tree: Node | None = None
    wrapped: Wrapped | None = None
    pair: Pair | None = None
    labelled: Labelled | None = None
    either: list[Line | str] = dataclasses.field(default_factory=list)
    both: tuple[int, Line] | None = None


def marked(value: Any = None, name: str = "note") -> Any:
    """An object with one more attribute."""
    value = Line() if value is None else value
    object.__setattr__(value, name, 7)
    return value


LOST = {
    "one.note": State(one=marked()),
    "many[1].note": State(many=[Line(), marked()]),
    "named.x.note": State(named={"x": marked()}),
    "frozen.note": State(frozen=marked(Frozen(Line()))),
    "frozen.line.note": State(frozen=Frozen(marked())),
    "slotted.line.note": State(slotted=Slotted(marked())),
    "counted.note": State(counted=marked(Counted([1]))),
    "tree.children[0].children[1].note": State(tree=Node([Node([Node([]), marked(Node([]))])])),
    "wrapped.line.note": State(wrapped=Wrapped(marked())),
    "pair[0].note": State(pair=Pair(marked())),
    "labelled.line.note": State(labelled={"line": marked()}),
    "either[1].note": State(either=["text", marked()]),
    "both[1].note": State(both=(1, marked())),
}


@pytest.mark.parametrize("path", LOST)
def test_it_is_refused_with_its_path(path: str) -> None:
    with pytest.raises(StateInvalid, match="so it would be lost") as refused:
        StateCodec().write(LOST[path])

    assert refused.value.path == path


def test_what_is_no_part_of_an_object_is_let_through() -> None:
    line = marked(name="_cache")
    assert line.label == "A"
    state = State(one=line, counted=Counted([1, 2]), tree=Node([Node([])]), labelled={"line": Line()}, either=["a"])

    body, kept, shape = StateCodec().write(state)

    assert StateCodec().read(State, body, shape).state == kept == state


def test_where_nothing_has_room_for_it_nothing_is_looked_at() -> None:
    @dataclasses.dataclass
    class Plain:
        slotted: list[Plainest]
        texts: dict[str, list[str]]

    @dataclasses.dataclass(slots=True)
    class Plainest:
        number: int

    Plain.__annotations__ = {"slotted": list[Plainest], "texts": dict[str, list[str]]}

    assert check_inside(Plain) is None
    assert check_inside(Node) is not None
