"""What a worker has to put up with: poison, hostile exceptions, huge messages, hot keys, name-sakes."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest
from tests.faults.tasks import DONE, FAST, ONCE, TABLES, Step, Task, dead, emptied, make_bus, numbers
from tests.support.databases import Database

from sagabus import (
    Context,
    RetryPolicy,
    Settings,
    handler,
)
from sagabus.errors import (
    MessageTooLarge,
)

pytestmark = pytest.mark.faults


@pytest.fixture
def place(database: Database) -> Database:
    database.make(*TABLES)
    return database


async def test_one_poison_in_a_hundred_costs_itself_only(place: Database) -> None:
    runs: Counter[int] = Counter()

    @handler("poisoned", retry=RetryPolicy(attempts=3, **FAST))
    def poisoned(message: Task, ctx: Context) -> None:
        runs[message.number] += 1
        ctx.execute(place.sql(DONE), (message.number, ""))
        if message.number == 42:
            raise ValueError("poison")

    async with make_bus(place, poisoned) as bus:
        await bus.publish_many([(Task(number=n), f"t{n}") for n in range(100)])
        await emptied(bus, place)

    assert numbers(place) == [n for n in range(100) if n != 42]
    assert dead(place) == {"t42": ("ValueError", 3)}
    assert runs == Counter({n: 3 if n == 42 else 1 for n in range(100)})


async def test_attempts_are_counted_though_the_failed_transaction_rolls_back(place: Database) -> None:
    """Over several lives of the process: exactly as many runs as allowed."""
    runs: list[int] = []

    @handler("failing", retry=RetryPolicy(attempts=4, **FAST))
    def failing(message: Task, ctx: Context) -> None:
        runs.append(ctx.attempt)
        ctx.execute(place.sql(DONE), (message.number, ""))
        raise ValueError("always")

    bus = make_bus(place, failing)
    await bus.open(worker=False)
    await bus.publish(Task(number=1), message_id="t1")
    await bus.close()
    while place.of_bus("envelope", "1"):
        async with bus:
            await bus.idle(20)

    assert runs == [1, 2, 3, 4]
    assert dead(place) == {"t1": ("ValueError", 4)}


def own_class() -> BaseException:
    class Unprintable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    return Unprintable()


HOSTILE: list[Callable[[], BaseException]] = [
    KeyboardInterrupt,
    SystemExit,
    GeneratorExit,
    StopIteration,
    StopAsyncIteration,
    RecursionError,
    MemoryError,
    BaseException,
    TimeoutError,
    own_class,
    lambda: ExceptionGroup("several", [ValueError("a"), ConnectionError("b")]),
    lambda: BaseExceptionGroup("several", [KeyboardInterrupt(), ValueError("a")]),
]


@pytest.mark.parametrize("made_as", ["async", "plain", "thread"])
async def test_whatever_a_handler_raises_the_worker_goes_on(made_as: str, place: Database) -> None:
    def hostile(message: Task, ctx: Context) -> None:
        ctx.execute(place.sql(DONE), (message.number, ""))
        if message.number < len(HOSTILE):
            raise HOSTILE[message.number]()  # noqa: RSE102  # some make their error

    async def hostile_async(message: Task, ctx: Context) -> None:
        await asyncio.sleep(0)
        hostile(message, ctx)

    made = handler("hostile", retry=ONCE, thread=made_as == "thread")
    async with make_bus(place, made(hostile_async if made_as == "async" else hostile)) as bus:
        for number in range(len(HOSTILE) + 3):
            await bus.publish(Task(number=number), message_id=f"t{number}")
        await emptied(bus, place)

    assert numbers(place) == [len(HOSTILE), len(HOSTILE) + 1, len(HOSTILE) + 2]
    assert set(dead(place)) == {f"t{number}" for number in range(len(HOSTILE))}


async def test_a_message_of_fifty_megabytes_is_refused_and_others_go_on(place: Database) -> None:
    @handler("reader")
    def reader(message: Task, ctx: Context) -> None:
        ctx.execute(place.sql(DONE), (message.number, ""))

    async with make_bus(place, reader) as bus:
        with pytest.raises(MessageTooLarge, match=r"endurance.task: body of 5\d+ bytes exceeds the limit of 262144"):
            await bus.publish(Task(number=1, text="x" * 50_000_000), message_id="t1")
        await bus.publish(Task(number=1), message_id="t1")
        await emptied(bus, place)

    assert numbers(place) == [1]


async def test_a_handler_that_sends_fifty_megabytes_is_dead_lettered_at_once(place: Database) -> None:
    @handler("sender", retry=RetryPolicy(attempts=5, **FAST))
    def sender(message: Task, ctx: Context) -> None:
        ctx.execute(place.sql(DONE), (message.number, ""))
        if message.number == 1:
            ctx.publish(Task(number=9, text="x" * 50_000_000))

    async with make_bus(place, sender) as bus:
        await bus.publish_many([(Task(number=n), f"t{n}") for n in range(3)])
        await emptied(bus, place)

    assert numbers(place) == [0, 2]
    assert dead(place) == {"t1": ("sagabus.errors.MessageTooLarge", 1)}


async def test_a_hot_key_holds_up_no_other_key(place: Database) -> None:
    """Two hundred slow messages of one key before it, and a cold key still gets its turn at once."""
    order: list[str] = []
    gate = asyncio.Event()

    @handler("keyed", key="key")
    async def keyed(message: Step) -> None:
        if message.key == "hot" and message.number == 0:
            await gate.wait()
        order.append(message.key)
        if message.key == "cold":
            gate.set()

    async with make_bus(place, keyed, settings=Settings(lanes=1)) as bus:
        await bus.publish_many([*(Step(key="hot", number=n) for n in range(200)), Step(key="cold", number=0)])
        await bus.idle(20)

    assert order[0] == "cold"
    assert order.count("hot") == 200


async def test_workers_never_share_a_name(place: Database) -> None:
    """Not the host's name, not the process id: a new one at every start, also of the same bus object."""

    @handler("anybody")
    def anybody(message: Task) -> None: ...

    seen = set()
    buses = [make_bus(place, anybody) for _ in range(3)]
    for _ in range(2):
        for bus in buses:
            await bus.open()
        seen |= {row[0] for row in place.of_bus("worker", "worker")}
        for bus in buses:
            await bus.close()

    assert len(seen) == 6
