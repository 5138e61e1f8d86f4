"""Reading a saga class: state, reactions, keys, conditions, timers."""

import inspect
from dataclasses import FrozenInstanceError, field
from datetime import timedelta
from typing import Any, Literal

import pytest

from sagabus import Context, Saga, command, event, handles, starts, timer
from sagabus.definitions.saga import SagaDefinition
from sagabus.definitions.saga_reader import define_saga
from sagabus.definitions.signature import timers_set_by


@event("tests.begun")
class Begun:
    key: str
    size: int = 0


@command("tests.stop")
class Stop:
    key: str
    other: str = ""


class Process(Saga, name="process", key="key"):
    key: str
    size: int = 1
    names: list[str] = field(default_factory=list)
    status: Literal["open", "shut"] = "open"

    @starts
    def begun(self, message: Begun, ctx: Context) -> None:
        ctx.set_timer("late", after=timedelta(1))

    @handles(when=("open",), key="other")
    async def stop(self, message: Stop) -> None: ...

    @timer("late")
    def late(self) -> None: ...


def definition(cls: Any) -> SagaDefinition:
    problems: list[str] = []
    found = define_saga(cls, problems)
    assert problems == []
    assert found is not None
    return found


def problems_of(cls: Any) -> list[str]:
    problems: list[str] = []
    define_saga(cls, problems)
    return problems


def test_reactions_by_wire_name_and_timers_by_name() -> None:
    found = definition(Process)

    begun, stop = found.reactions["tests.begun"][0], found.reactions["tests.stop"][0]
    assert (begun.starts, begun.is_async, begun.when) == (True, False, None)
    assert (stop.starts, stop.is_async, stop.when_text) == (False, True, "open")
    assert list(found.timers) == ["late"]
    assert (found.has_status, found.waits_by_status) == (True, True)


def test_each_reaction_reads_its_key() -> None:
    found = definition(Process)
    begun, stop = found.reactions["tests.begun"][0], found.reactions["tests.stop"][0]

    assert begun.key is not None
    assert stop.key is not None
    assert (begun.key(Begun(key="a")), stop.key(Stop(key="a", other="b"))) == ("a", "b")


def test_the_first_state_takes_fields_of_the_same_names() -> None:
    assert definition(Process).start("tests.begun", Begun(key="A", size=7), "A") == Process(key="A", size=7)


def test_the_key_field_is_filled_though_the_message_calls_it_otherwise() -> None:
    class Renamed(Saga, name="renamed", key="order"):
        order: str

        @starts(key="key")
        def begun(self, message: Begun) -> None: ...

    assert definition(Renamed).start("tests.begun", Begun(key="A"), "A") == Renamed(order="A")


def test_an_inherited_key_field_is_filled_too() -> None:
    class Numbered(Saga):
        order: str

    class Derived(Numbered, name="derived", key="order"):
        extra: int = 0

        @starts(key="key")
        def begun(self, message: Begun) -> None: ...

    assert definition(Derived).start("tests.begun", Begun(key="A"), "A") == Derived(order="A")


def test_reactions_are_inherited_and_overridden() -> None:
    class Part(Saga):
        key: str

        @starts
        def begun(self, message: Begun) -> str:
            return "part"

        @handles
        def stop(self, message: Stop) -> str:
            return "part"

    class Whole(Part, name="whole", key="key"):
        @handles
        def stop(self, message: Stop) -> str:
            return "whole"

    found = definition(Whole)
    instance = Whole(key="A")
    answers = [found.reactions[name][0].invoke(instance, None, None, None) for name in ("tests.begun", "tests.stop")]  # type: ignore[arg-type]
    assert answers == ["part", "whole"]


def test_annotations_may_name_classes_of_an_enclosing_function() -> None:
    @event("tests.local")
    class Local:
        key: str

    class Inner(Saga, name="inner", key="key"):
        key: str

        @starts
        def local(self, message: "Local") -> None: ...

    assert list(definition(Inner).reactions) == ["tests.local"]


def test_one_method_may_take_several_kinds() -> None:
    class Union(Saga, name="union", key="key"):
        key: str

        @starts
        def either(self, message: Begun | Stop) -> None: ...

    assert sorted(definition(Union).reactions) == ["tests.begun", "tests.stop"]


def test_a_second_reaction_behind_one_without_condition_could_never_run() -> None:
    class Shadowed(Saga, name="shadowed", key="key"):
        key: str
        status: str = ""

        @starts
        def first(self, message: Begun) -> None: ...

        @handles(when="x")
        def second(self, message: Begun) -> None: ...

    assert any("could never run" in problem for problem in problems_of(Shadowed))


def test_one_message_has_one_key_in_a_saga() -> None:
    class Twofold(Saga, name="twofold", key="key"):
        key: str
        status: str = ""

        @starts(when="a")
        def first(self, message: Stop) -> None: ...

        @handles(when="b", key="other")
        def second(self, message: Stop) -> None: ...

    assert any("two different keys" in problem for problem in problems_of(Twofold))


@pytest.mark.parametrize("option", ["on_missing", "on_finished", "on_unexpected"])
def test_policies_that_do_not_exist_are_named(option: str) -> None:
    options: dict[str, Any] = {option: "explode"}

    class Odd(Saga, name="odd", key="key", **options):
        key: str

        @starts
        def begun(self, message: Begun) -> None: ...

    assert any(option in problem for problem in problems_of(Odd))


def test_a_finished_saga_cannot_stash() -> None:
    class Odd(Saga, name="odd", key="key", on_finished="stash"):
        key: str

        @starts
        def begun(self, message: Begun) -> None: ...

    assert any("on_finished" in problem for problem in problems_of(Odd))


def test_a_condition_on_a_status_needs_one() -> None:
    class Stateless(Saga, name="stateless", key="key"):
        key: str

        @starts(when="open")
        def begun(self, message: Begun) -> None: ...

    assert any("needs a field `status`" in problem for problem in problems_of(Stateless))


def test_timers_are_found_by_their_literal_names() -> None:
    name = "computed"

    def method(ctx: Context) -> None:
        ctx.set_timer("one", after=timedelta(1))
        ctx.set_timer(name="two", after=timedelta(1))
        ctx.set_timer(name, after=timedelta(1))

    assert list(timers_set_by(method)) == ["one", "two"]


def test_the_class_stays_an_ordinary_dataclass() -> None:
    one, other = Process(key="A"), Process(key="A")

    one.names.append("x")

    assert other.names == []
    assert repr(other) == "Process(key='A', size=1, names=[], status='open')"


class Assigned(Saga, name="assigned", key="key"):
    """It sees what is assigned, its fields among that."""

    key: str
    size: int = 1

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, f"{value}!")


class Counted(Saga, name="counted", key="key"):
    key: str
    size: int = 1
    seen: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.size += 1


def test_a_constructor_is_called_as_a_dataclass_has_it() -> None:
    assert str(inspect.signature(Begun)) == "(key: str, size: int = 0) -> None"
    assert Begun("A", 7) == Begun(size=7, key="A") != Begun("A")
    with pytest.raises(TypeError):
        Begun(size=1)  # type: ignore[call-arg]
    with pytest.raises(FrozenInstanceError):
        Begun("A").size = 2  # type: ignore[misc]


def test_a_constructor_assigns_where_to_store_would_not_do() -> None:
    assert vars(Assigned(key="A")) == {"key": "A!", "size": "1!"}
    assert vars(Counted(key="A")) == {"key": "A", "size": 2, "seen": []}
    assert vars(Counted(key="A"))["seen"] is not vars(Counted(key="B"))["seen"]
