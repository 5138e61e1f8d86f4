"""An attribute that is no field would be gone with the next message: it is refused at once."""

from __future__ import annotations

import asyncio
import dataclasses
from functools import cached_property
from typing import Any, ClassVar

import pytest

from sagabus import ConfigurationError, Saga, event, handles, starts
from sagabus.testing import Harness


@event("undeclared.begun")
class Begun:
    id: str


class Counted:
    """A mixin, as people write them: no dataclass."""

    limit: ClassVar[int] = 3
    seen: int = 0
    notes: list[str] = dataclasses.field(default_factory=list)

    def count(self) -> None:
        self.seen += 1
        self.notes.append(str(self.seen))


class Order(Counted, Saga, name="order", key="id"):
    id: str
    status: str = "new"
    total: int = 0
    shared: ClassVar[int] = 1
    remark = ""

    @starts
    def begin(self, message: Begun) -> None:
        ASSIGN[0](self)

    @property
    def doubled(self) -> int:
        return self.total * 2

    @doubled.setter
    def doubled(self, value: int) -> None:
        self.total = value // 2

    @cached_property
    def label(self) -> str:
        return self.id.lower()


class Special(Order, name="special", key="id"):
    colour: str = ""


ASSIGN: list[Any] = []

REFUSED = {
    "stauts": "did you mean `self.status`?",
    "Total": "did you mean `self.total`?",
    "shared": "it is a ClassVar",
    "remark": "`remark: <type> = <default>`",
    "limit": "declare it",
    "weather": "`weather: <type> = <default>`",
    "begin": "declare it",
}


@pytest.mark.parametrize("saga", [Order, Special])
@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_where_it_is_assigned_naming_what_was_meant(saga: type[Saga], name: str) -> None:
    instance = saga(id="1")

    with pytest.raises(ConfigurationError) as refused:
        setattr(instance, name, "x")

    assert f"`self.{name}` is no field of its state" in str(refused.value)
    assert REFUSED[name] in str(refused.value)
    assert name not in vars(instance)


def test_its_message_is_held_after_one_run_and_nothing_of_the_run_is_kept() -> None:
    async def run() -> None:
        ASSIGN[:] = [lambda saga: setattr(saga, "stauts", "paid")]
        async with Harness(Order) as bus:
            await bus.publish(Begun(id="1"))

            (letter,) = await bus.dead_letters()
            assert (letter.attempts, "did you mean `self.status`?" in letter.reason) == (1, True)
            assert await bus.record(Order, "1") is None

    asyncio.run(run())


def test_a_field_of_a_subclass_is_assigned_there_and_nowhere_else() -> None:
    special, order = Special(id="1"), Order(id="1")
    special.colour = "red"

    with pytest.raises(ConfigurationError, match="colour"):
        order.colour = "red"  # type: ignore[attr-defined]


def test_private_names_properties_and_what_dataclasses_do_go_on_to_work() -> None:
    order = Order(id="A", total=1)

    order._cache = object()  # type: ignore[attr-defined]
    order.doubled = 6
    changed = dataclasses.replace(order, status="paid")

    assert (order.total, order.label, changed.status, changed.total) == (3, "a", "paid", 3)
    assert dataclasses.asdict(changed) == {"seen": 0, "notes": [], "id": "A", "status": "paid", "total": 3}
    assert (Order.limit, Order.shared) == (3, 1)


@pytest.mark.parametrize("saga", [Order, Special])
def test_what_a_mixin_declares_is_part_of_the_state(saga: type[Counted]) -> None:
    async def run() -> None:
        ASSIGN[:] = [lambda saga: saga.count()]
        async with Harness(saga) as bus:
            await bus.publish(Begun(id="1"))
            await bus.publish(Begun(id="1"))

            found: Any = await bus.saga(saga, "1")  # type: ignore[type-var]
            assert (found.seen, found.notes) == (2, ["1", "2"])

    asyncio.run(run())


def test_what_is_put_past_the_assignment_is_not_seen_by_the_next_run() -> None:
    async def run() -> list[bool]:
        seen: list[bool] = []

        def assign(saga: Any) -> None:
            seen.append("stray" in vars(saga))
            vars(saga)["stray"] = 1

        ASSIGN[:] = [assign]
        async with Harness(Order, reread_states=False) as bus:
            await bus.publish(Begun(id="1"))
            await bus.publish(Begun(id="1"))
        return seen

    assert asyncio.run(run()) == [False, False]


def test_a_mixin_may_leave_a_name_to_a_property() -> None:
    class Named:
        name: str
        size: int = 1

    class Thing(Named, Saga, name="thing", key="id"):
        id: str

        @property
        def name(self) -> str:  # type: ignore[override]
            return self.id

        @starts
        def begin(self, message: Begun) -> None:
            self.size += 1

        @handles(when=lambda state: state.size > 5)
        def again(self, message: Begun) -> None: ...

    assert [each.name for each in dataclasses.fields(Thing)] == ["size", "id"]  # type: ignore[arg-type]
