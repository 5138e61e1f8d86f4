"""Functions, bound methods, partials, callable objects and wrappers: all of them work as handlers, or are refused."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
from tests.scenarios.shop import Noted

from sagabus import ConfigurationError, Context, Saga, event, handler, handles, starts
from sagabus.testing import Harness


@event("unusual.done")
class Done:
    key: str
    by: str


class Handlers:
    def __init__(self, name: str) -> None:
        self.name = name

    def plain(self, message: Noted, ctx: Context) -> None:
        ctx.publish(Done(key=message.key, by=self.name))

    async def waiting(self, message: Noted, ctx: Context) -> None:
        ctx.publish(Done(key=message.key, by=self.name))

    @handler("it")
    def decorated(self, message: Noted, ctx: Context) -> None:
        ctx.publish(Done(key=message.key, by=self.name))

    @handler("it")
    @staticmethod
    def static(message: Noted, ctx: Context) -> None:
        ctx.publish(Done(key=message.key, by="me"))

    @handler("it")
    @classmethod
    def of_class(cls, message: Noted, ctx: Context) -> None:
        ctx.publish(Done(key=message.key, by="me"))


class Slotted:
    __slots__ = ()

    def __call__(self, message: Noted, ctx: Context) -> None:
        ctx.publish(Done(key=message.key, by="me"))


class Waiting:
    async def __call__(self, message: Noted, ctx: Context) -> None:
        ctx.publish(Done(key=message.key, by="me"))


def with_a_name(name: str, message: Noted, ctx: Context) -> None:
    ctx.publish(Done(key=message.key, by=name))


async def with_a_name_last(message: Noted, ctx: Context, name: str) -> None:
    ctx.publish(Done(key=message.key, by=name))


def by_keyword(message: Noted, *, ctx: Context) -> None:
    ctx.publish(Done(key=message.key, by="me"))


def with_defaults(message: Noted, name: str = "me", *, times: int = 1, ctx: Context) -> None:
    ctx.publish(Done(key=message.key, by=name * times))


@functools.wraps(with_defaults)
def wrapper(*arguments: Any, **named: Any) -> object:
    return with_defaults(*arguments, **named)


@functools.cache
def cached(message: Noted, ctx: Context) -> None:
    ctx.publish(Done(key=message.key, by="me"))


WAYS: dict[str, Callable[[], Any]] = {
    "bound method": lambda: handler("it")(Handlers("me").plain),
    "bound async method": lambda: handler("it")(Handlers("me").waiting),
    "decorated method": lambda: Handlers("me").decorated,
    "static method": lambda: Handlers.static,
    "class method": lambda: Handlers.of_class,
    "object": lambda: handler("it")(Waiting()),
    "object with slots": lambda: handler("it")(Slotted()),
    "partial": lambda: handler("it")(functools.partial(with_a_name, "me")),
    "partial by keyword": lambda: handler("it")(functools.partial(with_a_name_last, name="me")),
    "partial of a bound method": lambda: handler("it")(functools.partial(Handlers("me").plain)),
    "keyword only": lambda: handler("it")(by_keyword),
    "defaults": lambda: handler("it")(with_defaults),
    "wrapper": lambda: handler("it")(wrapper),
    "written in C": lambda: handler("it")(cached),
}


@pytest.mark.parametrize("way", WAYS)
async def test_it_runs_whatever_way_it_was_made(way: str) -> None:
    async with Harness(WAYS[way]()) as bus:
        await bus.publish(Noted(key="A"))

        assert [(done.key, done.by) for done in bus.published.of(Done)] == [("A", "me")]


def two_objects() -> tuple[Any, Any]:
    return handler("first")(Handlers("a").plain), handler("second")(Handlers("b").plain)


async def test_methods_of_two_objects_are_two_subscriptions() -> None:
    async with Harness(*two_objects()) as bus:
        await bus.publish(Noted(key="A"))

        assert sorted(done.by for done in bus.published.of(Done)) == ["a", "b"]


class AsyncGenerator:
    async def __call__(self, message: Noted, ctx: Context) -> Any:
        yield None


def hidden(*arguments: Any) -> None: ...


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "class": (lambda: handler("it")(Handlers), "is a class"),
    "method without its object": (lambda: Handlers.decorated, "bound"),
    "object with an async generator": (lambda: handler("it")(AsyncGenerator()), "yield"),
    "partial of a generator": (lambda: handler("it")(functools.partial(AsyncGenerator.__call__, None)), "yield"),
    "wrapper that hides its function": (lambda: handler("it")(hidden), "functools.wraps"),
    "thread with an async object": (lambda: handler("it", thread=True)(Waiting()), "async"),
    "thread with an async partial": (
        lambda: handler("it", thread=True)(functools.partial(with_a_name_last, name="me")),
        "async",
    ),
}


@pytest.mark.parametrize("way", REFUSED)
def test_what_cannot_work_is_refused_when_the_bus_is_built(way: str) -> None:
    make, words = REFUSED[way]

    with pytest.raises(ConfigurationError, match=words):
        Harness(make())


def test_what_is_no_method_of_a_saga_is_refused_as_well() -> None:
    class It(Saga, name="it", key="key"):
        key: str

        @starts
        @staticmethod
        def noted(message: Noted) -> None: ...

        @handles
        @classmethod
        def also(cls, message: Noted) -> None: ...

    with pytest.raises(ConfigurationError, match="no ordinary method") as refused:
        Harness(It)

    assert len(refused.value.problems) >= 2


def test_a_decorator_of_sagas_says_what_it_takes() -> None:
    with pytest.raises(TypeError, match="directly above the `def`"):
        starts(property(lambda self: None))


async def test_one_function_takes_one_name_and_its_partials_take_others() -> None:
    def note(message: Noted, ctx: Context) -> None:
        ctx.publish(Done(key=message.key, by=ctx.subscription))

    first, again = handler("first")(note), handler("first")(note)
    with pytest.raises(ConfigurationError, match=r"note is the handler 'first' already.*functools\.partial"):
        handler("second")(note)
    second = handler("second")(functools.partial(note))

    async with Harness(first, second) as bus:
        await bus.publish(Noted(key="A"))

    assert first is again
    assert {done.by for done in bus.published.of(Done)} == {"first", "second"}
