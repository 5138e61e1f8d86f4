"""Only the annotations that are needed are resolved."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Annotated, Any

import pytest

from sagabus import Bus, ConfigurationError, Context, event, handler
from sagabus.definitions.signature import read_signature
from sagabus.store.connection import AsyncConnection

if typing.TYPE_CHECKING:
    from decimal import Decimal

    from elsewhere import Elsewhere  # type: ignore[import-not-found]  # the point: nothing runs this line


@event("signature.message")
class Message:
    id: str


def returns_unseen(message: Message) -> Decimal: ...  # type: ignore[empty-body]


def context_unseen(message: Message, ctx: Elsewhere) -> None: ...


def context_by_its_long_name(message: Message, context: Elsewhere) -> None: ...


def context_by_type(message: Message, c: Context) -> None: ...


def context_without_annotation(message: Message, ctx) -> None: ...  # type: ignore[no-untyped-def]


def annotated(message: Annotated[Message, "a note"], ctx: Annotated[Context, "a note"]) -> None: ...


async def connection(message: Message, ctx: Elsewhere, connection: AsyncConnection) -> Elsewhere: ...


TAKEN: list[tuple[Callable[..., Any], tuple[str, ...]]] = [
    (returns_unseen, ("message",)),
    (context_unseen, ("message", "ctx")),
    (context_by_its_long_name, ("message", "ctx")),
    (context_by_type, ("message", "ctx")),
    (context_without_annotation, ("message", "ctx")),
    (annotated, ("message", "ctx")),
    (connection, ("message", "ctx", "connection")),
]


def message_unseen(message: Elsewhere) -> None: ...


def connection_unseen(message: Message, connection: Elsewhere) -> None: ...


def context_by_another_name(message: Message, c: Elsewhere) -> None: ...


REFUSED = [(message_unseen, "message"), (connection_unseen, "connection"), (context_by_another_name, "c")]


@pytest.mark.parametrize(("function", "arguments"), TAKEN)
def test_a_return_annotation_and_the_type_of_the_context_may_be_unknown(
    function: Callable[..., Any], arguments: tuple[str, ...]
) -> None:
    problems: list[str] = []

    signature = read_signature(function, "it", problems, method=False)

    assert (signature.arguments, problems) == (arguments, [])
    assert [each.name for each in signature.message_types] == ["signature.message"]


@pytest.mark.parametrize(("function", "parameter"), REFUSED)
def test_an_unknown_name_is_one_problem_where_it_is_needed(function: Callable[..., Any], parameter: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Bus("memory:", handler("h")(function))

    (problem,) = refused.value.problems
    assert f"parameter {parameter!r}: cannot read its annotation: name 'Elsewhere' is not defined" in problem
