"""Reading a function with @handler: what it takes, how it is called."""

from datetime import timedelta
from typing import Any

import pytest

from sagabus import Connection, Context, RetryPolicy, event, handler
from sagabus.definitions.handler import HandlerDefinition, define_handler
from sagabus.engine.reactions import longest_limit


@event("tests.heard")
class Heard:
    key: str


@event("tests.seen")
class Seen:
    key: str


def definition(function: Any) -> HandlerDefinition:
    problems: list[str] = []
    found = define_handler(function, problems)
    assert problems == []
    assert found is not None
    return found


def problems_of(function: Any) -> list[str]:
    problems: list[str] = []
    assert define_handler(function, problems) is None
    return problems


def test_the_function_stays_callable() -> None:
    @handler("plain")
    def plain(message: Heard) -> str:
        return message.key

    assert plain(Heard(key="A")) == "A"


def message_only(message: Heard) -> tuple[object, ...]:
    return (message,)


def with_context(message: Heard, ctx: Context) -> tuple[object, ...]:
    return (message, ctx)


def context_by_name(message: Heard, context) -> tuple[object, ...]:  # type: ignore[no-untyped-def]
    return (message, context)


def context_first(ctx: Context, message: Heard) -> tuple[object, ...]:
    return (ctx, message)


def everything(connection: Connection, message: Heard, ctx: Context) -> tuple[object, ...]:
    return (connection, message, ctx)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (message_only, ("M",)),
        (with_context, ("M", "X")),
        (context_by_name, ("M", "X")),
        (context_first, ("X", "M")),
        (everything, ("C", "M", "X")),
    ],
)
def test_arguments_come_as_the_function_asks(function: Any, expected: tuple[str, ...]) -> None:
    reaction = definition(handler("args")(function)).reactions["tests.heard"][0]

    assert reaction.invoke(None, "M", "X", "C") == expected  # type: ignore[arg-type]
    assert reaction.wants_connection is ("C" in expected)


def test_a_union_is_received_whole() -> None:
    @handler("both", key="key")
    async def both(message: Heard | Seen) -> None: ...

    found = definition(both)
    assert sorted(found.reactions) == ["tests.heard", "tests.seen"]
    assert all(reaction.is_async for (reaction,) in found.reactions.values())
    assert [reaction.key(Heard(key="k")) for (reaction,) in found.reactions.values() if reaction.key] == ["k", "k"]


def test_options_arrive() -> None:
    policy = RetryPolicy(attempts=2)

    @handler("set", key=lambda message: "fixed", retry=policy, ordered=False, parks=True, thread=True)
    def with_options(message: Heard) -> None: ...

    found = definition(with_options)
    assert (found.retry, found.ordered, found.parks) == (policy, False, True)
    assert found.reactions["tests.heard"][0].in_thread
    assert found.reactions["tests.heard"][0].key_field is None


def test_a_key_that_the_message_has_not_is_named() -> None:
    @handler("keyed", key="missing")
    def keyed(message: Heard) -> None: ...

    assert "no field 'missing'" in problems_of(keyed)[0]


def test_an_annotation_that_cannot_be_read_is_named() -> None:
    @handler("torn")
    def torn(message: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert any("Nowhere" in problem for problem in problems_of(torn))


def limited(name: str, timeout: timedelta | None) -> HandlerDefinition:
    def limited(message: Heard) -> None: ...

    return definition(handler(name, timeout=timeout)(limited))


@pytest.mark.parametrize(
    ("own", "default", "longest"),
    [
        ([None], 10, 600.0),
        ([1, None], 10, 600.0),
        ([1, 2], 10, 120.0),
        ([20, None], 10, 1200.0),
        ([1], None, 60.0),
        ([1, None], None, 300.0),
        ([], 10, 600.0),
    ],
)
def test_the_longest_run_is_that_of_any_handler(own: list[int | None], default: int | None, longest: float) -> None:
    minutes = [None if each is None else timedelta(minutes=each) for each in own]
    found = [limited(f"h{number}", each) for number, each in enumerate(minutes)]

    assert longest_limit(found, None if default is None else timedelta(minutes=default), unlimited=300.0) == longest
