"""What a handler returns is looked at: work is awaited, and a value that nobody would see fails the run."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Noted
from tests.support.databases import Database

from sagabus import (
    AsyncConnection,
    ConfigurationError,
    Context,
    Deduplication,
    RetryPolicy,
    Saga,
    command,
    event,
    handler,
    starts,
)
from sagabus.middleware import Middleware, Next
from sagabus.testing import Harness

ONCE = RetryPolicy(attempts=1)


@event("returned.done")
class Done:
    key: str


@command("returned.order")
class Order:
    key: str


async def work(message: Noted, ctx: Context) -> None:
    await asyncio.sleep(0)
    ctx.publish(Done(key=message.key))


class Awaited:
    """Something to await that is no coroutine, no future and no task."""

    def __init__(self, message: Noted, ctx: Context) -> None:
        self.work = work(message, ctx)

    def __await__(self) -> Generator[Any, Any, None]:
        return self.work.__await__()


def in_a_task(message: Noted, ctx: Context) -> Awaitable[None]:
    return asyncio.get_running_loop().create_task(work(message, ctx))


def gathered(message: Noted, ctx: Context) -> Awaitable[object]:
    return asyncio.gather(work(message, ctx), asyncio.sleep(0))


def by_an_executor(message: Noted, ctx: Context) -> Future[None]:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(ctx.publish, Done(key=message.key))


async def nested(message: Noted, ctx: Context) -> object:
    return in_a_task(message, ctx)


@functools.wraps(work)
def already_done(message: Noted, ctx: Context) -> None:
    ctx.publish(Done(key=message.key))


async def through(message: object, ctx: Context, call_next: Callable[..., Awaitable[None]]) -> None:
    await call_next(message, ctx)


WORK = [work, Awaited, in_a_task, gathered, by_an_executor, nested, already_done]


def as_handler(function: Callable[..., object], **options: Any) -> Any:
    @handler("it", retry=ONCE, **options)
    def returns(message: Noted, ctx: Context) -> object:
        return function(message, ctx)

    return returns


@pytest.mark.parametrize("middleware", [False, True])
@pytest.mark.parametrize("function", WORK)
async def test_what_can_be_awaited_is_done_before_the_commit(function: Callable[..., object], middleware: bool) -> None:
    async with Harness(as_handler(function), middleware=[through] if middleware else []) as bus:
        await bus.publish(Noted(key="A"))

        assert [done.key for done in bus.published.of(Done)] == ["A"]
        assert bus.bus.statistics["it", "completed"] == 1


@pytest.mark.parametrize("function", [work, Awaited])
async def test_work_that_comes_out_of_a_thread_is_done_in_the_event_loop(function: Callable[..., object]) -> None:
    async with Harness(as_handler(function, thread=True)) as bus:
        await bus.publish(Noted(key="A"))

        assert len(bus.published.of(Done)) == 1


async def test_work_on_the_lent_transaction_is_done_before_its_commit(
    on_database: MakeHarness, database: Database
) -> None:
    async def insert(connection: AsyncConnection) -> None:
        await database.execute(connection, "INSERT INTO ledger VALUES ('A', 1)")

    @handler("it", retry=ONCE)
    async def book(message: Noted, connection: AsyncConnection) -> object:
        return insert(connection)

    async with on_database(book) as bus:
        await bus.publish(Noted(key="A"))

        assert database.rows() == [("A", 1)]


def generator(message: Noted, ctx: Context) -> Generator[Done, None, None]:
    yield Done(key=message.key)


async def async_generator(message: Noted, ctx: Context) -> Any:
    yield Done(key=message.key)


VALUES: list[tuple[Callable[..., object], str]] = [
    (lambda m, ctx: Done(key="A"), "ctx.publish(message)"),
    (lambda m, ctx: Order(key="A"), "ctx.send(message)"),
    (lambda m, ctx: [Done(key="A")], "ctx.publish(message)"),
    (lambda m, ctx: [], "list"),
    (lambda m, ctx: 0, "int"),
    (lambda m, ctx: False, "bool"),
    (generator, "yield"),
    (async_generator, "yield"),
    (lambda m, ctx: asyncio.sleep(0, Done(key="A")), "ctx.publish(message)"),
    (lambda m, ctx: asyncio.sleep(0, [None, 1]), "list"),
]


@pytest.mark.parametrize("thread", [False, True])
@pytest.mark.parametrize(("function", "advice"), VALUES)
async def test_a_value_fails_the_run_and_the_reason_says_what_to_write(
    function: Callable[..., object], advice: str, thread: bool
) -> None:
    async with Harness(as_handler(function, thread=thread)) as bus:
        await bus.publish(Noted(key="A"))
        (letter,) = await bus.dead_letters()

        assert letter.error_type == "sagabus.errors.ValueReturned"
        assert "handler 'it'" in letter.reason
        assert advice in letter.reason


async def test_a_saga_is_looked_at_as_well() -> None:
    class It(Saga, name="it", key="key", retry=ONCE):
        key: str

        @starts
        def begun(self, message: Noted) -> object:
            return Done(key=message.key)

    async with Harness(It) as bus:
        await bus.publish(Noted(key="A"))
        (letter,) = await bus.dead_letters()

        assert "saga 'it'" in letter.reason
        assert await bus.record(It, "A") is None


@pytest.mark.parametrize("function", [generator, async_generator])
@pytest.mark.parametrize("thread", [False, True])
def test_a_generator_is_refused_when_the_bus_is_built(function: Any, thread: bool) -> None:
    with pytest.raises(ConfigurationError, match="yield"):
        Harness(handler("it", thread=thread)(function))


def test_a_generator_is_refused_as_a_method_of_a_saga_too() -> None:
    class It(Saga, name="it", key="key"):
        key: str

        @starts
        async def begun(self, message: Noted) -> Any:
            yield Done(key=message.key)

    with pytest.raises(ConfigurationError, match="yield"):
        Harness(It)


async def forgets(message: object, ctx: Context, call_next: Next) -> None:
    call_next(message, ctx)


async def leaves_it_to_a_task(message: object, ctx: Context, call_next: Next) -> None:
    asyncio.ensure_future(call_next(message, ctx))  # noqa: RUF006  # the mistake


@pytest.mark.parametrize("middleware", [forgets, leaves_it_to_a_task])
async def test_a_middleware_that_does_not_wait_for_the_handler_fails_the_run(middleware: Middleware) -> None:
    async with Harness(as_handler(already_done), middleware=[middleware]) as bus:
        await bus.publish(Noted(key="A"))
        (letter,) = await bus.dead_letters()

        assert "await call_next(message, ctx)" in letter.reason
        assert middleware.__name__ in letter.reason


async def hands_it_back(message: object, ctx: Context, call_next: Next) -> Any:
    return call_next(message, ctx)


def is_no_coroutine(message: object, ctx: Context, call_next: Next) -> Any:
    return call_next(message, ctx)


@pytest.mark.parametrize("middleware", [hands_it_back, is_no_coroutine])
async def test_what_a_middleware_returns_is_awaited(middleware: Middleware) -> None:
    async with Harness(as_handler(work), middleware=[middleware]) as bus:
        await bus.publish(Noted(key="A"))

        assert len(bus.published.of(Done)) == 1


async def test_a_value_that_a_middleware_returns_fails_the_run() -> None:
    async def answers(message: object, ctx: Context, call_next: Next) -> Any:
        await call_next(message, ctx)
        return Done(key="A")

    async with Harness(as_handler(already_done), middleware=[answers]) as bus:
        await bus.publish(Noted(key="A"))
        (letter,) = await bus.dead_letters()

        assert letter.error_type == "sagabus.errors.ValueReturned"
        assert bus.published == []


async def answers_late(*arguments: object) -> Any:
    return True


def answers_never(*arguments: object) -> Any:
    yield True


class AsyncKey:
    async def __call__(self, message: object) -> str:
        return "A"


def saga_with(**options: Any) -> Any:
    class It(Saga, name="it", key=options.pop("saga_key", "key")):
        key: str

        @starts(**options)
        def begun(self, message: Noted) -> None: ...

    return It


def saga_with_initial() -> Any:
    class It(Saga, name="it", key="key"):
        key: str

        @classmethod
        async def initial(cls, message: Noted) -> Any: ...

        @starts
        def begun(self, message: Noted) -> None: ...

    return It


def handled(message: Noted) -> None: ...


LATE: dict[str, Callable[[], object]] = {
    "when": lambda: Harness(saga_with(when=answers_late)),
    "when, a generator": lambda: Harness(saga_with(when=answers_never)),
    "key of a method": lambda: Harness(saga_with(key=answers_late)),
    "key of a saga": lambda: Harness(saga_with(saga_key=AsyncKey())),
    "initial": lambda: Harness(saga_with_initial()),
    "key of a handler": lambda: Harness(handler("it", key=functools.partial(answers_late))(handled)),
    "de-duplication by": lambda: Deduplication(by=answers_late),
    "de-duplication, on_duplicate": lambda: Deduplication(on_duplicate=answers_late),
}


@pytest.mark.parametrize("use", LATE)
def test_a_function_whose_answer_is_needed_at_once_is_refused_if_it_is_async(use: str) -> None:
    with pytest.raises(ConfigurationError, match=r"at once|yield"):
        LATE[use]()


async def never_runs(message: object, ctx: Context, call_next: Next) -> Any:
    yield await call_next(message, ctx)


@pytest.mark.parametrize(("middleware", "words"), [(never_runs, "yield"), ("text", "cannot be called")])
def test_a_middleware_that_would_not_run_is_refused_when_the_bus_is_built(middleware: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Harness(handler("it")(handled), middleware=[middleware])
