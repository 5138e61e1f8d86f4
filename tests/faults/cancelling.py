"""Programs that cancel at the n-th await, and say how many awaits there were."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from datetime import timedelta
from typing import Any

from tests.faults.application import PLANNED, drained, make_bus, place, place_in_transaction

from sagabus import Bus
from sagabus.errors import StoreUnavailable
from sagabus.testing.campaign.orders import submission


class Stepping:
    """Awaits a coroutine and counts its awaits; the task is cancelled as it begins to wait for the n-th time."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], cancel_at: int) -> None:
        self._coroutine = coroutine
        self._cancel_at = cancel_at
        self.awaits = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        step: Callable[[], Any] = lambda: self._coroutine.send(None)  # noqa: E731
        while True:
            try:
                waited_for = step()
            except StopIteration as end:
                return end.value
            self.awaits += 1
            if self.awaits == self._cancel_at:
                self._cancel(waited_for)
            try:
                sent = yield waited_for
            except BaseException as error:  # noqa: BLE001  # passed on, whatever it is
                step = lambda error=error: self._coroutine.throw(error)  # noqa: E731
            else:
                step = lambda sent=sent: self._coroutine.send(sent)  # noqa: E731

    def _cancel(self, waited_for: asyncio.Future[Any] | None) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()


class Crossing(Stepping):
    """Cancelled as the n-th wait ends instead: the task is told at once that it may go on, and that it is to end."""

    def _cancel(self, waited_for: asyncio.Future[Any] | None) -> None:
        if waited_for is None:  # one turn of the event loop
            super()._cancel(None)
            return
        task = asyncio.current_task()
        assert task is not None
        waited_for.add_done_callback(lambda _: task.cancel())


async def stepped(coroutine: Coroutine[Any, Any, Any], cancel_at: int) -> int:
    """Run as a task, cancelled at its n-th await (0: never); how many awaits there were."""
    stepping = Stepping(coroutine, cancel_at)

    async def run() -> None:
        await stepping

    await asyncio.wait([task := asyncio.create_task(run())])
    if not task.cancelled():
        task.result()
    return stepping.awaits


async def submit(bus: Bus) -> None:
    message, message_id = submission(PLANNED["plain"])
    await bus.publish(message, message_id=message_id)


CALLS: dict[str, Callable[[Bus], Awaitable[Any]]] = {
    "publish": submit,
    "publish_many": lambda bus: bus.publish_many([submission(PLANNED[order]) for order in ("plain", "fails-once")]),
    "transaction": place_in_transaction,
    "place": place,
}


async def call_cancelled(url: str, incarnation: int, call: str, cancel_at: int) -> None:
    """Cancel one call of a publisher at its n-th await; the process goes on, places everything, sees it through."""

    async def run(bus: Bus) -> None:
        await CALLS[call](bus)

    async with make_bus(url, incarnation) as bus:
        awaits = await stepped(run(bus), cancel_at)
        print("awaits", awaits)
        await place(bus)
        await drained(bus)


async def call_cancelled_by_time(url: str, incarnation: int, call: str, turns: int) -> None:
    """Cancel one call after so many turns of the event loop: what others do for it is at another stage each time."""

    async def run(bus: Bus) -> None:
        await CALLS[call](bus)

    async with make_bus(url, incarnation) as bus:
        task = asyncio.create_task(run(bus))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await place(bus)
        await drained(bus)


def cancel_tasks_of(name: str, cancel_at: int) -> Callable[[], int]:
    """Have one of the tasks that run this function cancelled at their n-th await, counted over all of them."""
    total = 0

    def step(coroutine: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
        class Shared(Stepping):
            """Counts together with the other tasks of its kind."""

            @property
            def awaits(self) -> int:
                return total

            @awaits.setter
            def awaits(self, value: int) -> None:
                nonlocal total
                total = max(total, value)

        async def run() -> Any:
            return await Shared(coroutine, cancel_at)

        return run()

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        if getattr(coroutine, "__qualname__", "") == name:
            coroutine = step(coroutine)
        return asyncio.Task(coroutine, loop=loop, **options)

    asyncio.get_running_loop().set_task_factory(factory)
    return lambda: total


async def task_cancelled(url: str, incarnation: int, name: str, patience: float, cancel_at: int) -> None:
    """Cancel one of the bus's own tasks at its n-th await; then all that has to be seen through is seen through."""
    count = cancel_tasks_of(name, cancel_at)
    bus = make_bus(url, incarnation, lease=timedelta(seconds=1))
    await bus.open()
    try:
        async with asyncio.timeout(patience if cancel_at else None):
            while True:
                with suppress(StoreUnavailable):  # cut off before the answer: repeat it
                    await place(bus)
                    break
            await drained(bus)
    except (TimeoutError, asyncio.CancelledError):
        print("stalled")
    print("awaits", count())
    await bus.close()


async def close_cancelled(url: str, incarnation: int, work: bool, cancel_at: int) -> None:
    """Cancel `bus.close()` at its n-th await with everything under way; the store must be free again, here and now."""
    bus = make_bus(url, incarnation)
    await bus.open(worker=work)
    await place(bus)
    print("awaits", await stepped(bus.close(), cancel_at))
    await bus.close()
    async with make_bus(url, incarnation + 1) as again:
        await place(again)
        await drained(again)
