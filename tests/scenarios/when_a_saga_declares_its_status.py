"""Whatever a status may be declared as works in `when`, in the store and in views, or the bus refuses it."""

import asyncio
import enum
from typing import Annotated, Any, Literal, NewType

import pytest

from sagabus import Bus, ConfigurationError, Saga, event, handles, starts
from sagabus.testing import Harness

Name = NewType("Name", str)


class Word(enum.StrEnum):
    NEW = "new"
    PAID = "paid"


class Plain(enum.Enum):
    NEW = "new"
    PAID = "paid"


class Mixed(str, enum.Enum):  # noqa: UP042  # older code has it
    NEW = "new"
    PAID = "paid"


class Number(enum.IntEnum):
    NEW = 1


class Half(enum.Enum):
    NEW = "new"
    PAID = 2


@event("status.begun")
class Begun:
    id: str


@event("status.done")
class Done:
    id: str


WORKS: list[tuple[Any, Any, Any]] = [
    (str, "new", "paid"),
    (str | None, None, "paid"),
    (Literal["new", "paid"], "new", "paid"),
    (Literal["new", "paid"] | None, None, "paid"),
    (Annotated[Literal["new", "paid"], "a note"], "new", "paid"),
    (Name, "new", "paid"),
    (Word, Word.NEW, Word.PAID),
    (Mixed, Mixed.NEW, Mixed.PAID),
    (Plain, Plain.NEW, Plain.PAID),
    (Plain | None, None, Plain.PAID),
    (Annotated[Plain, "a note"], Plain.NEW, Plain.PAID),
]

REFUSED: list[Any] = [int, float, bool, Any, object, bytes, list[str], Number, Half, Literal[1, 2], str | int, None]


def saga_with(hint: Any, first: Any, second: Any, when: Any) -> type[Saga]:
    def begin(self: Any, message: Begun) -> None:
        self.status = second

    def finish(self: Any, message: Done) -> None:
        self.done += 1

    body: dict[str, Any] = {"__annotations__": {"id": str, "status": hint, "done": int}, "__module__": __name__}
    body |= {"status": first, "done": 0, "begin": starts(begin), "finish": handles(when=when)(finish)}
    return type(Saga)("Made", (Saga,), body, name="made", key="id")


@pytest.mark.parametrize("reread_states", [True, False])
@pytest.mark.parametrize(("hint", "first", "second"), WORKS, ids=lambda value: str(value)[:40])
def test_it_is_recognised_in_when_and_shown_as_text(hint: Any, first: Any, second: Any, reread_states: bool) -> None:
    async def run() -> None:
        for when in (second, (second, "new"), "paid"):
            saga = saga_with(hint, first, second, when)
            async with Harness(saga, reread_states=reread_states) as bus:
                await bus.publish(Begun(id="1"))
                await bus.publish(Done(id="1"))

                record = await bus.record(saga, "1")
                assert record is not None
                assert (record.status, record.state.status, record.state.done) == ("paid", second, 1)
                assert len(await bus.bus.sagas.list(saga, status="paid")) == 1

    asyncio.run(run())


@pytest.mark.parametrize("hint", REFUSED, ids=str)
def test_what_is_no_text_is_refused_when_the_bus_is_built(hint: Any) -> None:
    with pytest.raises(ConfigurationError, match="its status is declared as"):
        Bus("memory:", saga_with(hint, "new", "paid", lambda state: True))


@pytest.mark.parametrize(("hint", "first", "second"), WORKS[2:], ids=lambda value: str(value)[:40])
def test_a_status_that_its_type_does_not_have_is_refused(hint: Any, first: Any, second: Any) -> None:
    if hint is Name:
        hint = Word

    with pytest.raises(ConfigurationError, match="status 'payed' is not among those of the saga: new, paid"):
        Bus("memory:", saga_with(hint, first, second, "payed"))


@pytest.mark.parametrize("when", [3, (1, 2), (), Number.NEW, [None]])
def test_a_when_that_is_no_status_is_refused(when: Any) -> None:
    with pytest.raises(ConfigurationError, match="is no status"):
        Bus("memory:", saga_with(str, "new", "paid", when))
