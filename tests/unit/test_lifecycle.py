"""The contract of what runs outside the way of a message: its end is noticed, unless its part has stopped it."""

import asyncio
import functools
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sagabus.engine.health import Health
from sagabus.engine.lifecycle import BackgroundTask, BackgroundThread, Parts


class Fatal(BaseException):
    """What no `except Exception` catches."""


def driven(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(test(**fixtures))

    return run


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def for_ever() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    raise Fatal("no disk")


async def nothing() -> None: ...


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


# --- tasks ------------------------------------------------------------------------------------------------------------


@driven
async def test_a_task_that_is_stopped_has_ended_well(caplog: pytest.LogCaptureFixture) -> None:
    task = BackgroundTask("sagabus-it", "does nothing")
    task.start(for_ever)
    await turns()
    await task.stop()
    await task.stop()

    assert (task.runs, task.health(), errors(caplog)) == (False, Health(), [])


@pytest.mark.parametrize("steps", [0, 1])
@driven
async def test_a_task_that_other_code_cancels_is_noticed(caplog: pytest.LogCaptureFixture, steps: int) -> None:
    """Even before its first step, when none of its own lines can say so."""
    task = BackgroundTask("sagabus-it", "fetches nothing")
    task.start(for_ever)
    for _ in range(steps):
        await asyncio.sleep(0)
    assert task.task is not None
    task.task.cancel()
    await turns()

    (reason,) = task.health().reasons
    assert errors(caplog) == [reason]
    assert "sagabus-it" in reason
    assert "fetches nothing" in reason
    await task.stop()
    assert task.health().reasons == (reason,)


@pytest.mark.parametrize("work", [nothing, fail])
def test_a_task_that_ends_by_itself_is_noticed(
    caplog: pytest.LogCaptureFixture, work: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    task = BackgroundTask("sagabus-it", "does nothing")

    async def run() -> None:
        task.start(work)
        await turns()

    try:
        asyncio.run(run())
    except Fatal:
        assert work is fail

    assert errors(caplog) == list(task.health().reasons) != []


@driven
async def test_a_task_whose_work_may_return_has_ended_well_by_that_alone(caplog: pytest.LogCaptureFixture) -> None:
    task = BackgroundTask("sagabus-it", "commits nothing", returns=True)
    task.start(nothing)
    await turns()
    well = task.health()
    task.start(for_ever)
    assert task.task is not None
    task.task.cancel()
    await turns()
    broken = task.health()
    task.start(nothing)
    await turns()

    assert well.is_healthy
    assert not broken.is_healthy
    assert task.health().is_healthy, "it works again"
    assert len(errors(caplog)) == 1


@driven
async def test_a_task_is_started_once() -> None:
    task = BackgroundTask("sagabus-it", "does nothing")
    task.start(for_ever)
    first = task.task
    task.start(for_ever)

    assert task.task is first
    await task.stop()


@driven
async def test_work_that_may_return_has_the_grace_to_do_so() -> None:
    done: list[str] = []
    may_end = asyncio.Event()

    async def work() -> None:
        await may_end.wait()
        done.append("all of it")

    task = BackgroundTask("sagabus-it", "does nothing", returns=True)
    task.start(work)
    await turns()
    stopping = asyncio.create_task(task.stop(20))
    await turns()
    may_end.set()
    await stopping

    assert done == ["all of it"]


@driven
async def test_a_stop_that_is_cancelled_waits_no_longer(caplog: pytest.LogCaptureFixture) -> None:
    task = BackgroundTask("sagabus-it", "does nothing")
    task.start(for_ever)
    await turns()
    stopping = asyncio.create_task(task.stop(1000))
    await turns()
    stopping.cancel()
    await turns()

    assert stopping.cancelled()
    assert (task.runs, task.health(), errors(caplog)) == (False, Health(), [])


# --- threads ----------------------------------------------------------------------------------------------------------


async def ended(name: str) -> None:
    while any(thread.name == name for thread in threading.enumerate()):  # noqa: ASYNC110  # it has no event for this
        await asyncio.sleep(0)


@driven
async def test_a_thread_that_is_stopped_has_ended_well(caplog: pytest.LogCaptureFixture) -> None:
    thread = BackgroundThread("sagabus-stopped", "does nothing")
    looks: list[bool] = []

    def work() -> None:
        while thread.rest(0.001):
            looks.append(True)

    thread.start(work)
    thread.start(work)
    assert sum(each.name == "sagabus-stopped" for each in threading.enumerate()) == 1
    await thread.stop(20)
    await thread.stop(20)
    thread.start(work)
    await ended("sagabus-stopped")

    assert (thread.health(), errors(caplog)) == (Health(), [])


def raise_fatal() -> None:
    raise Fatal("no disk")


@pytest.mark.parametrize("work", [raise_fatal, lambda: None])
@driven
async def test_a_thread_that_ends_by_itself_is_noticed(
    caplog: pytest.LogCaptureFixture, work: Callable[[], None]
) -> None:
    thread = BackgroundThread("sagabus-broken", "renews nothing")
    thread.start(work)
    await ended("sagabus-broken")

    (reason,) = thread.health().reasons
    assert errors(caplog) == [reason]
    assert "renews nothing" in reason
    await thread.stop(20)


def test_a_thread_ends_with_its_event_loop(caplog: pytest.LogCaptureFixture) -> None:
    thread = BackgroundThread("sagabus-left", "does nothing")
    over = threading.Event()

    def work() -> None:
        while thread.rest(0.001):
            pass
        over.set()

    async def leave() -> None:
        thread.start(work)

    asyncio.run(leave())

    assert over.wait(20)
    assert (thread.health(), errors(caplog)) == (Health(), [])


# --- parts ------------------------------------------------------------------------------------------------------------


class Noting:
    """A part that notes what it is asked."""

    def __init__(self, name: str, notes: list[tuple[str, str, float]], *, trouble: BaseException | None = None) -> None:
        self.name, self.notes, self.trouble = name, notes, trouble
        self.may_stop = asyncio.Event()
        self.may_stop.set()

    async def start(self) -> None:
        self.notes.append((self.name, "start", 0))

    async def stop(self, grace: float) -> None:
        self.notes.append((self.name, "stop", grace))
        await self.may_stop.wait()
        if self.trouble is not None:
            raise self.trouble

    def health(self) -> Health:
        return Health(reasons=(self.name,), abandoned_threads=1)


@driven
async def test_parts_stop_in_the_reverse_order_and_once() -> None:
    notes: list[tuple[str, str, float]] = []
    parts = Parts()
    for name in "ab":
        await parts.start(Noting(name, notes))
    health = parts.health()
    await parts.stop(5)
    await parts.stop(5)

    assert notes == [("a", "start", 0), ("b", "start", 0), ("b", "stop", 5), ("a", "stop", 5)]
    assert health == Health(
        reasons=("a", "b"),
        abandoned_threads=2,
        parts={name: Health(reasons=(name,), abandoned_threads=1) for name in "ab"},
    )
    assert parts.health() == Health()


@driven
async def test_after_one_that_fails_the_others_stop_without_the_grace() -> None:
    notes: list[tuple[str, str, float]] = []
    parts = Parts()
    await parts.start(Noting("a", notes))
    await parts.start(Noting("b", notes, trouble=KeyError("b")))

    with pytest.raises(KeyError):
        await parts.stop(5)
    assert notes[2:] == [("b", "stop", 5), ("a", "stop", 0)]


@driven
async def test_a_stop_of_parts_that_is_cancelled_stops_the_others_all_the_same() -> None:
    notes: list[tuple[str, str, float]] = []
    parts, slow = Parts(), Noting("b", notes)
    slow.may_stop.clear()
    await parts.start(Noting("a", notes))
    await parts.start(slow)
    stopping = asyncio.create_task(parts.stop(5))
    await turns()
    stopping.cancel()
    await turns()

    assert stopping.cancelled()
    assert notes[2:] == [("b", "stop", 5), ("a", "stop", 0)]


@driven
async def test_a_part_that_is_still_starting_is_stopped_too() -> None:
    notes: list[tuple[str, str, float]] = []
    parts = Parts()

    class Slow(Noting):
        async def start(self) -> None:
            await asyncio.Event().wait()

    starting = asyncio.create_task(parts.start(Slow("a", notes)))
    await turns()
    starting.cancel()
    await parts.stop(5)

    assert notes == [("a", "stop", 5)]
