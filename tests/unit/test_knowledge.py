"""What a worker says that it knows: a release that only adds knows all that the one before knows, and more."""

from dataclasses import field
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from sagabus import Bus, Context, Saga, event, handler, starts, timer
from sagabus.codec.states import StateCodec
from sagabus.engine.knowledge import known_types
from sagabus.errors import MessageTooNew, StateTooNew


@event("known.placed")
class Placed:
    key: str


@event("known.placed", version=3, aliases=["known.ordered"])
class NewPlaced:
    key: str


class Line(msgspec.Struct):
    sku: str


class NewLine(msgspec.Struct):
    sku: str
    gift: bool = False


class Old(Saga, name="known", key="key"):
    key: str
    lines: list[Line] = field(default_factory=list)

    @starts
    def placed(self, message: Placed) -> None: ...


class WithNested(Saga, name="known", key="key"):
    key: str
    lines: list[NewLine] = field(default_factory=list)

    @starts
    def placed(self, message: Placed) -> None: ...


class WithVersion(Old, name="known", key="key", version=3): ...


class WithTimer(Old, name="known", key="key"):
    @timer("ring", aliases=["bell"])
    def ring(self, ctx: Context) -> None:
        ctx.set_timer("ring", after=timedelta(1))


@handler("known")
def old(message: Placed) -> None: ...


@handler("known")
def new(message: NewPlaced) -> None: ...


def known_by(definition: Any) -> frozenset[str]:
    (defined,) = Bus("memory:", definition).definitions
    return frozenset(known_types(defined))


@pytest.mark.parametrize(
    ("before", "after"),
    [(Old, WithNested), (Old, WithVersion), (Old, WithTimer), (old, new)],
    ids=["field", "version", "timer", "message"],
)
def test_a_release_that_only_adds_knows_more(before: Any, after: Any) -> None:
    assert known_by(before) < known_by(after)


def test_what_an_error_needs_is_among_what_the_newer_release_says() -> None:
    states = StateCodec()
    nested, _, shape = states.write(WithNested(key="A", lines=[NewLine("s", gift=True)]))
    with pytest.raises(StateTooNew) as by_field:
        states.read(Old, nested, shape)
    versioned, _, shape = states.write(WithVersion(key="A"))
    with pytest.raises(StateTooNew) as by_version:
        states.read(Old, versioned, shape)

    assert by_field.value.needs in known_by(WithNested) - known_by(Old)
    assert by_version.value.needs in known_by(WithVersion) - known_by(Old)
    assert MessageTooNew("known.placed", 3, 1).needs in known_by(new) - known_by(old)
