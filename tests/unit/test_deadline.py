"""How long a call to a server may take: the calls of a worker's intake half a lease, and no call by a blocked loop."""

import asyncio
import time
from contextlib import suppress
from typing import Any

import pytest

from sagabus import StoreUnavailable
from sagabus.stores.sql.deadline import Deadline, LookLimit


class Wire:
    """A connection on which one answer comes, unless it is cut."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def terminate(self) -> None:
        if not self.answer.done():
            self.answer.set_exception(ConnectionError())


async def no_connection() -> Any:
    raise StoreUnavailable("none")


def test_a_look_takes_half_a_lease_at_most_and_never_longer_than_the_deadline() -> None:
    limit, short = LookLimit(30), LookLimit(3)
    limit.lease = short.lease = 10

    assert (limit.seconds, short.seconds) == (5, 3)


def test_without_a_worker_a_look_has_the_deadline_of_all_calls() -> None:
    assert LookLimit(30).seconds == 30


def test_a_look_that_was_given_up_has_twice_as_long_next_time_until_one_is_answered() -> None:
    limit = LookLimit(30)
    limit.lease = 10
    seen: list[float] = []
    for _ in range(4):
        seen.append(limit.seconds)
        with suppress(StoreUnavailable), limit.applied():
            raise StoreUnavailable("silent")
    with limit.applied():
        pass

    assert seen == [5, 10, 20, 30]
    assert limit.seconds == 5


def test_a_call_that_is_not_answered_is_cut() -> None:
    async def call() -> None:
        wire: Any = Wire()
        with pytest.raises(StoreUnavailable, match=r"no answer within 0\.01 s"):
            await Deadline(30, "here", no_connection).within(wire.answer, wire, 0.01)

    asyncio.run(call())


def test_an_answer_that_came_while_the_event_loop_was_blocked_is_not_too_late() -> None:
    """The loop reads it after its timers: nobody was silent."""

    async def call() -> str:
        loop = asyncio.get_running_loop()
        wire: Any = Wire()
        loop.call_soon(time.sleep, 0.6)  # blocks the loop for longer than the call may take
        loop.call_later(0.01, lambda: loop.call_soon(loop.call_soon, wire.answer.set_result, "there"))
        return await Deadline(0.05, "here", no_connection).within(wire.answer, wire)

    assert asyncio.run(call()) == "there"
