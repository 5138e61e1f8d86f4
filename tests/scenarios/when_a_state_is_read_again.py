"""What a saga sees never depends on whether its state came from memory or from the store."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import enum
from collections.abc import Callable
from datetime import timedelta
from functools import cached_property
from typing import Any

import pydantic
import pytest

from sagabus import Saga, event, handles, starts
from sagabus.testing import Harness


class Stage(enum.StrEnum):
    PAID = "paid"


class Line(pydantic.BaseModel):
    sku: str


@event("again.begun")
@dataclasses.dataclass
class Begun:
    id: str
    notes: list[str] = dataclasses.field(default_factory=list)


@event("again.seen")
class Seen:
    id: str


class Book(Saga, name="book", key="id"):
    id: str
    status: str = "new"
    share: float = 0.0
    data: Any = None
    notes: list[str] = dataclasses.field(default_factory=list)
    lines: list[Line] = dataclasses.field(default_factory=list)

    @starts
    def begin(self, message: Begun) -> None:
        HABIT[0](self, message)

    @handles
    def look(self, message: Seen) -> None:
        LOOKS.append(
            {
                "names": list(vars(self)),
                **vars(self),
                "types": [type(value) for value in vars(self).values()],
                "total": self.total,
            }
        )

    @cached_property
    def total(self) -> int:
        return len(self.notes)


class Plain(Saga, name="plain", key="id"):
    """All of its fields are exact by their types."""

    id: str
    status: str = "new"

    @starts
    def begin(self, message: Begun) -> None:
        HABIT[0](self, message)

    @handles
    def look(self, message: Seen) -> None:
        LOOKS.append({"names": list(vars(self)), **vars(self), "type": type(self.status), "total": self.total})

    @cached_property
    def total(self) -> str:
        return self.status.upper()


HABIT: list[Callable[[Any, Begun], object]] = []
LOOKS: list[dict[str, object]] = []

HABITS: dict[str, Callable[[Any, Begun], object]] = {
    "an enum in a field for text": lambda saga, _: setattr(saga, "status", Stage.PAID),
    "a whole number in a field for floats": lambda saga, _: setattr(saga, "share", 1),
    "a dictionary with defaults": lambda saga, _: setattr(saga, "data", collections.defaultdict(list, a=[1])),
    "a list that the message holds too": lambda saga, message: saga.notes.append("x") or message.notes.append("y"),
    "a cached property": lambda saga, _: saga.total,
    "a private attribute": lambda saga, _: setattr(saga, "_cache", 1),
    "a pydantic model": lambda saga, _: saga.lines.append(Line(sku="a")),
}


async def looks(saga: type[Saga], habit: Callable[[Any, Begun], object], *, reread_states: bool) -> list[object]:
    HABIT[:], LOOKS[:] = [habit], []
    async with Harness(saga, reread_states=reread_states) as bus:
        await bus.publish(Begun(id="1"))
        await bus.publish(Seen(id="1"))
        await bus.publish(Seen(id="1"))
        assert await bus.dead_letters() == []
    return list(LOOKS)


@pytest.mark.parametrize("habit", HABITS)
def test_from_memory_it_is_as_from_the_store(habit: str) -> None:
    from_memory = asyncio.run(looks(Book, HABITS[habit], reread_states=False))
    from_the_store = asyncio.run(looks(Book, HABITS[habit], reread_states=True))

    assert from_memory == from_the_store
    assert len(from_memory) == 2


@pytest.mark.parametrize("habit", ["an enum in a field for text", "a cached property", "a private attribute"])
def test_so_it_is_where_types_alone_say_that_it_comes_back_equal(habit: str) -> None:
    from_memory = asyncio.run(looks(Plain, HABITS[habit], reread_states=False))
    from_the_store = asyncio.run(looks(Plain, HABITS[habit], reread_states=True))

    assert from_memory == from_the_store
    assert len(from_memory) == 2


def test_a_state_that_would_change_is_held_with_the_path_of_its_field() -> None:
    async def run() -> list[str]:
        HABIT[:] = [lambda saga, _: setattr(saga, "data", {"pair": (1, 2)})]
        async with Harness(Book) as bus:
            await bus.publish(Begun(id="1"))
            await bus.advance(timedelta(hours=1))
            (letter,) = await bus.dead_letters()
            return [letter.reason, str(await bus.record(Book, "1"))]

    reason, saga = asyncio.run(run())

    assert 'book: field "data.pair": tuple comes back as list' in reason
    assert saga == "None"
