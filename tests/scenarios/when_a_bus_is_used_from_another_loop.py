"""A bus belongs to the event loop that opened it: every call from elsewhere is refused, and nothing is touched."""

import asyncio
import inspect
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.conftest import Take
from tests.scenarios.shop import Noted

from sagabus import Bus, Saga, WrongEventLoop, command, handler, starts
from sagabus.bus.mending.letters import LetterFilter

T = TypeVar("T")


@command("loops.order")
class Order:
    key: str


@handler("orders")
def orders(message: Order) -> None: ...


class It(Saga, name="it", key="key"):
    key: str

    @starts
    def noted(self, message: Noted) -> None: ...


class LoopInAThread:
    """An event loop that runs in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine that runs there."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@pytest.fixture
def owner() -> Iterator[LoopInAThread]:
    owner = LoopInAThread()
    yield owner
    owner.close()


@contextmanager
def opened(bus: Bus, owner: LoopInAThread) -> Iterator[None]:
    owner.run(bus.open())
    try:
        yield
    finally:
        owner.run(bus.close())


async def in_a_transaction(bus: Bus) -> None:
    async with bus.transaction() as tx:
        tx.publish(Noted(key="foreign"))


WHY = {"reason": "nobody may from here"}
CALLS: dict[str, Callable[[Bus], Awaitable[object]]] = {
    "open": lambda bus: bus.open(),
    "close": lambda bus: bus.close(),
    "publish": lambda bus: bus.publish(Noted(key="foreign")),
    "send": lambda bus: bus.send(Order(key="foreign")),
    "publish_many": lambda bus: bus.publish_many([Noted(key="foreign")]),
    "transaction": in_a_transaction,
    "idle": lambda bus: bus.idle(),
    "counts": lambda bus: bus.counts(),
    "purge": lambda bus: bus.purge(),
    "sagas.get": lambda bus: bus.sagas.get(It, "A"),
    "sagas.list": lambda bus: bus.sagas.list(It),
    "sagas.page": lambda bus: bus.sagas.page(It),
    "sagas.history": lambda bus: bus.sagas.history(It, "A"),
    "timers.list": lambda bus: bus.timers.list(It),
    "dead_letters.list": lambda bus: bus.dead_letters.list(),
    "dead_letters.get": lambda bus: bus.dead_letters.get(1),
    "dead_letters.replay": lambda bus: bus.dead_letters.replay(1, reason="a test"),
    "dead_letters.discard": lambda bus: bus.dead_letters.discard(1, reason="a test"),
    "dead_letters.groups": lambda bus: bus.dead_letters.groups(),
    "dead_letters.edit": lambda bus: bus.dead_letters.edit(1, {}, **WHY),
    "dead_letters.page": lambda bus: bus.dead_letters.page(LetterFilter()),
    "dead_letters.replay_many": lambda bus: anext(bus.dead_letters.replay_many(LetterFilter(), reason="a test")),
    "dead_letters.discard_many": lambda bus: anext(bus.dead_letters.discard_many(LetterFilter(), reason="a test")),
    "inspect.status": lambda bus: bus.inspect.status(),
    "inspect.subscriptions": lambda bus: bus.inspect.subscriptions(),
    "inspect.workers": lambda bus: bus.inspect.workers(),
    "inspect.messages": lambda bus: bus.inspect.messages(),
    "inspect.timers": lambda bus: bus.inspect.timers(),
    "inspect.why": lambda bus: bus.inspect.why(It, "A"),
    "inspect.history": lambda bus: bus.inspect.history(It, "A"),
    "inspect.conversation": lambda bus: bus.inspect.conversation("foreign"),
    "inspect.audit": lambda bus: bus.inspect.audit(),
    "inspect.unchanged": lambda bus: bus.inspect.unchanged(It, timedelta(0)),
    "inspect.reconcile": lambda bus: bus.inspect.reconcile([]),
    "inspect.oldest_transaction": lambda bus: bus.inspect.oldest_transaction(),
    "mend.cancel": lambda bus: bus.mend.cancel(It, "A", version=1, **WHY),
    "mend.complete": lambda bus: bus.mend.complete(It, "A", version=1, **WHY),
    "mend.patch": lambda bus: bus.mend.patch(It, "A", {"key": "A"}, version=1, **WHY),
    "mend.erase": lambda bus: bus.mend.erase(key="A", **WHY),
    "mend.retry_now": lambda bus: bus.mend.retry_now(1, **WHY),
    "mend.cancel_message": lambda bus: bus.mend.cancel_message(1, **WHY),
    "mend.cancel_all": lambda bus: bus.mend.cancel_all("it", **WHY),
    "mend.move_timer": lambda bus: bus.mend.move_timer(It, "A", "end", after=timedelta(1), **WHY),
    "mend.cancel_timer": lambda bus: bus.mend.cancel_timer(It, "A", "end", **WHY),
    "mend.pause": lambda bus: bus.mend.pause(It, **WHY),
    "mend.resume": lambda bus: bus.mend.resume(It, **WHY),
    "doctor": lambda bus: bus.doctor(),
    "brokers.declare": lambda bus: bus.brokers.declare(),
}


def is_awaited(found: object) -> bool:
    """Whether a call of it is awaited, or its results are one by one."""
    calls = (found, type(found).__call__)
    return any(inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each) for each in calls)


def awaited_of(place: object, prefix: str = "") -> set[str]:
    """The names of what is awaited of an object, and of each part of the bus that it has."""
    found: set[str] = set()
    for name in dir(place):
        part = None if name.startswith("_") else getattr(place, name)
        if is_awaited(part):
            found.add(prefix + name)
        elif type(part).__module__.startswith("sagabus.bus."):
            found |= awaited_of(part, f"{prefix}{name}.")
    return found


def test_every_public_coroutine_is_in_the_table() -> None:
    found = awaited_of(Bus("memory:"))

    assert found | {"transaction"} == CALLS.keys()


async def refusal(bus: Bus, call: Callable[[Bus], Awaitable[object]]) -> WrongEventLoop:
    with pytest.raises(WrongEventLoop) as refused:
        await call(bus)
    return refused.value


def test_each_call_is_refused_in_words_and_the_owner_goes_on(kind: str, take: Take, owner: LoopInAThread) -> None:
    bus = Bus("memory:" if kind == "memory" else take(kind).url, It, orders)
    with opened(bus, owner):
        for name, call in CALLS.items():
            refused = asyncio.run(refusal(bus, call))
            assert "run_coroutine_threadsafe" in str(refused)
            assert str(refused).startswith(f"bus.{name}(")
        receipt = owner.run(bus.publish(Noted(key="own")))
        owner.run(bus.idle(20))
        records = owner.run(bus.sagas.list(It))

        assert receipt.status == "accepted"
        assert [record.key for record in records] == ["own"]
        assert bus.statistics == {("it", "completed"): 1}


def test_a_call_is_handed_over_as_the_words_say(owner: LoopInAThread) -> None:
    bus = Bus("memory:", It)
    with opened(bus, owner):
        call = asyncio.run_coroutine_threadsafe(bus.publish(Noted(key="A")), owner.loop)

        assert call.result(10).status == "accepted"


def test_after_its_closing_another_loop_may_open_it(kind: str, take: Take, owner: LoopInAThread) -> None:
    bus = Bus("memory:" if kind == "memory" else take(kind).url, It)

    async def use(key: str) -> str:
        async with bus:
            _, second = await asyncio.gather(bus.open(), bus.publish(Noted(key=key)))
            await bus.idle(20)
            return second.status

    assert owner.run(use("A")) == asyncio.run(use("B")) == asyncio.run(use("C")) == "accepted"


def test_a_bus_whose_loop_has_ended_says_so() -> None:
    bus = Bus("memory:", It)
    asyncio.run(bus.open(worker=False))

    refused = asyncio.run(refusal(bus, lambda bus: bus.publish(Noted(key="A"))))

    assert "make a new Bus" in str(refused)


def test_an_opening_that_fails_gives_the_bus_up(tmp_path: Path, owner: LoopInAThread) -> None:
    place = tmp_path / "later"
    bus = Bus(f"sqlite:///{place / 'bus.db'}", It)
    with pytest.raises(Exception, match="later"):
        owner.run(bus.open())
    place.mkdir()

    async def use() -> list[object]:
        async with bus:
            return list(await bus.sagas.list(It))

    assert asyncio.run(use()) == []


def test_joining_needs_neither_the_loop_nor_any(tmp_path: Path, owner: LoopInAThread) -> None:
    path = tmp_path / "bus.db"
    bus = Bus(f"sqlite:///{path}", It)
    with opened(bus, owner):
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("BEGIN")
        receipt = bus.join(connection).publish(Noted(key="A"))
        connection.execute("COMMIT")
        connection.close()
        owner.run(bus.idle(20))

        assert receipt.status == "accepted"
        assert bus.statistics == {("it", "completed"): 1}


async def test_a_thread_of_a_handler_is_refused_as_well() -> None:
    said: list[str] = []

    @handler("threaded", thread=True)
    def threaded(message: Noted) -> None:
        said.append(str(asyncio.run(refusal(bus, lambda bus: bus.publish(Noted(key="B"))))))

    async with Bus("memory:", threaded) as bus:
        await bus.publish(Noted(key="A"))
        await bus.idle(20)

    assert len(said) == 1
