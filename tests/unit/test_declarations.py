"""A declaration that cannot be meant is refused where it stands, with what was found, what is allowed, what is near."""

import dataclasses
import typing
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagabus import Bus, ConfigurationError, Context, Saga, command, event, handler, handles, starts, timer
from sagabus.definitions.saga_options import SagaKeywords, SagaOptions


@event("declared.begun")
class Begun:
    key: str


@event("declared.went-on")
class WentOn:
    key: str


class Session:
    """No message, no context and no connection."""


def refusal(declare: Any) -> str:
    with pytest.raises(ConfigurationError) as refused:
        declare()
    return "\n".join(refused.value.problems)


def test_the_typed_options_are_those_that_there_are() -> None:
    assert set(SagaKeywords.__annotations__) == {f.name for f in dataclasses.fields(SagaOptions)} - {"name"}
    hints = typing.get_type_hints(SagaKeywords)
    assert {name: hints[name] for name in hints} == {
        name: hint for name, hint in typing.get_type_hints(SagaOptions).items() if name != "name"
    }


@given(st.sampled_from(sorted(SagaKeywords.__annotations__)), st.data())
def test_a_misspelt_option_of_a_saga_is_refused_with_the_nearest_one(option: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(1, len(option) - 2))
    misspelt = option[:at] + option[at + 1 :]
    if misspelt in SagaKeywords.__annotations__:
        return

    text = refusal(lambda: type("Odd", (Saga,), {}, name="odd", **{misspelt: True}))

    assert f"no option {misspelt!r}" in text
    assert f"did you mean {option}?" in text


def test_options_without_a_name_are_refused() -> None:
    assert 'name="..."' in refusal(lambda: type("Odd", (Saga,), {}, history=True))


@pytest.mark.parametrize(
    ("default", "written"), [([], "list"), ({}, "dict"), (set(), "set"), ([1], "lambda: [1]")], ids=str
)
@pytest.mark.parametrize("kind", ["saga", "message"])
def test_a_default_that_all_instances_would_share_is_refused(kind: str, default: Any, written: str) -> None:
    body = {"__annotations__": {"items": type(default)}, "items": default}

    def declare() -> None:
        if kind == "saga":
            type("Odd", (Saga,), body, name="odd")
        else:
            event("declared.odd")(type("Odd", (), body))

    text = refusal(declare)

    assert "field 'items'" in text
    assert f"default_factory={written}" in text


@pytest.mark.parametrize("decorate", [handler, timer])
def test_a_decorator_without_its_name_says_what_to_write(decorate: Any) -> None:
    def nameless(message: Begun) -> None: ...

    text = refusal(lambda: decorate(nameless))

    assert f"@{decorate.__name__} needs a name" in text
    assert "nameless" in text


@pytest.mark.parametrize("hint", [Session, int, list[Begun], "Begun | Session"])
def test_a_parameter_that_cannot_be_given_is_said_with_what_can(hint: Any) -> None:
    def odd(message: Begun, session: Any) -> None: ...

    odd.__annotations__["session"] = hint
    text = refusal(lambda: Bus("memory:", handler("odd")(odd)))

    assert "parameter 'session' is" in text
    for allowed in ("@event or @command", "Context", "AsyncConnection"):
        assert allowed in text


def test_one_mistake_is_one_problem() -> None:
    class Odd(Saga, name="odd", key="key"):
        key: str

        @starts
        def begun(self, message: "Missing") -> None: ...  # type: ignore[name-defined]  # noqa: F821

        @handles
        def went_on(self, message: WentOn, ctx: Context) -> None: ...

    with pytest.raises(ConfigurationError) as refused:
        Bus("memory:", Odd)

    assert len(refused.value.problems) == 1
    assert "Missing" in refused.value.problems[0]


class Choosy(
    Saga,
    name="choosy",
    key="key",
    on_unexpected={WentOn: "ignore"},
    on_missing={WentOn: "dead-letter"},
    on_finished={Begun: "dead-letter"},
):
    key: str
    status: Literal["new", "old"] = "new"

    @starts(when="old")
    def begun(self, message: Begun) -> None: ...

    @handles(when="old")
    def went_on(self, message: WentOn) -> None: ...


def test_a_policy_may_be_one_for_each_message() -> None:
    options = Choosy.__sagabus_saga__
    assert options is not None

    chosen = [options.policy(case, cls) for case in ("unexpected", "missing", "finished") for cls in (WentOn, Begun)]

    assert chosen == ["ignore", "dead-letter", "dead-letter", "stash", "ignore", "dead-letter"]
    assert Bus("memory:", Choosy).definitions


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"on_unexpected": "ignroe"}, "on_unexpected must be one of stash, ignore, dead-letter"),
        ({"on_finished": "stash"}, "on_finished must be one of ignore, dead-letter"),
        ({"on_unexpected": {Begun: "ignroe"}}, "on_unexpected[Begun] must be one of"),
        ({"on_unexpected": {WentOn: "ignore"}}, "on_unexpected names WentOn, to which no method"),
        ({"on_no_key": "stash"}, "on_no_key must be one of"),
    ],
)
def test_a_policy_that_there_is_not_is_refused(options: dict[str, Any], problem: str) -> None:
    @starts
    def begun(self: Any, message: Begun) -> None: ...

    body = {"__annotations__": {"key": str}, "begun": begun}
    odd = type("Odd", (Saga,), body, name="odd", key="key", **options)

    assert problem in refusal(lambda: Bus("memory:", odd))


def test_a_command_needs_a_name_as_well() -> None:
    assert '@command("orders.submit")' in refusal(lambda: command(Session))  # type: ignore[arg-type]  # the mistake
