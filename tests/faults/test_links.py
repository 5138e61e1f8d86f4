"""Links that end, and calls of links that are cancelled, at any time: what is open comes again, first and in order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from tests.support.brokers import Lab, RabbitMQLab

from sagabus.transport import Delivery, Link, Topology, WireMessage

pytestmark = [pytest.mark.faults, pytest.mark.share(3)]

BOOKS = Topology("books", ("shop.noted",), ("shop.do",))
CALLS = ("connect", "declare", "send", "receive", "settle", "ping", "close")
MOST_TURNS = 60


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("one_in", [41, pytest.param(1, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
async def test_a_call_is_cancelled_after_any_number_of_turns(lab: Lab, call: str, one_in: int) -> None:
    """It may have happened or not: what is sent again afterwards is there, and what was not settled comes again."""
    async with lab:
        for turns in range(0, MOST_TURNS, one_in):
            link = await declared(lab)
            await send(link, turns)
            opened = await receive(link, 2) if call == "settle" else []
            await cancelled(lab, link, call, opened, turns)
            await link.close()

            link = await declared(lab)
            await send(link, turns)
            found = await received_until(link, f"{turns}-1")
            await link.settle(found)
            await link.close()

            assert [each.message.id for each in found][-2:] == [f"{turns}-0", f"{turns}-1"]


async def declared(lab: Lab) -> Link:
    async with asyncio.timeout(30):
        link = await lab.transport().connect()
        await link.declare(BOOKS)
    return link


def numbered(turns: int) -> list[WireMessage]:
    return [WireMessage(id=f"{turns}-{number}", source="x", type="shop.noted", body=b"{}") for number in range(2)]


async def send(link: Link, turns: int) -> None:
    async with asyncio.timeout(30):
        await link.send(numbered(turns))


async def receive(link: Link, count: int) -> list[Delivery]:
    found: list[Delivery] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            found += await link.receive(count - len(found))
    return found


async def received_until(link: Link, last: str) -> list[Delivery]:
    """All up to the last copy of a message."""
    found: list[Delivery] = []
    while all(each.message.id != last for each in found):
        found += await receive(link, 1)
    with suppress(TimeoutError):
        async with asyncio.timeout(0.1):  # that nothing more comes can only be seen by waiting
            while True:
                found += await link.receive(10)
    return found


async def cancelled(lab: Lab, link: Link, call: str, opened: Sequence[Delivery], turns: int) -> None:
    calls: dict[str, Any] = {
        "connect": lambda: lab.transport().connect(),
        "declare": lambda: link.declare(BOOKS),
        "send": lambda: link.send(numbered(turns)),
        "receive": lambda: link.receive(10),
        "settle": lambda: link.settle(opened),
        "ping": link.ping,
        "close": link.close,
    }
    task = asyncio.create_task(calls[call]())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    if call == "connect" and not task.cancelled():
        await task.result().close()


async def test_a_message_that_comes_again_thirty_times_is_still_there(lab: Lab) -> None:
    """RabbitMQ 4 drops it at the 21st delivery unless its queue says otherwise, and consumers of NATS have a limit."""
    async with lab:
        link = await declared(lab)
        await link.send([note(0)])
        for _ in range(30):
            assert [each.message.id for each in await receive(link, 1)] == ["0"]
            await link.close()
            link = await declared(lab)

        (found,) = await receive(link, 1)
        await link.settle([found])
        await link.close()

    assert found.message.id == "0"


# --- how many wait ------------------------------------------------------------------------------------------------


async def test_a_lab_counts_what_is_not_settled(lab: Lab) -> None:
    async with lab:
        link = await declared(lab)
        await link.send([note(number) for number in range(50)])
        await receive(link, 20)

        assert await lab.waiting("books") == 50
        await link.close()


async def test_the_count_of_rabbitmq_does_not_lag() -> None:
    """By `list_queues` it would, by a tick of the queue: what is not counted yet would look lost."""
    lab = RabbitMQLab()
    async with lab, rare_ticks(lab):
        assert await lab.waiting("books") == 0
        link = await declared(lab)
        await link.send([note(number) for number in range(50)])

        assert await lab.waiting("books") == 50
        await link.close()


@asynccontextmanager
async def rare_ticks(lab: RabbitMQLab) -> AsyncIterator[None]:
    """Queues that are made meanwhile say nothing of themselves for ten minutes."""
    await lab.control("eval", "application:set_env(rabbit, quorum_tick_interval, 600000).")
    try:
        yield
    finally:
        await lab.control("eval", "application:unset_env(rabbit, quorum_tick_interval).")


# --- order --------------------------------------------------------------------------------------------------------

COUNT = 120


@pytest.mark.parametrize("turns", [6, pytest.param(40, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
async def test_what_links_leave_open_comes_first_and_in_order(lab: Lab, turns: int) -> None:
    draw, settled = random.Random(turns), set[str]()
    async with lab:
        link = await declared(lab)
        await link.send([note(number) for number in range(COUNT)])
        await link.close()
        for turn in range(turns):
            link = await declared(lab)
            found = [each for _ in range(draw.randrange(3)) for each in await receive(link, draw.randrange(1, 30))]
            if turn % 2:
                chosen = draw.sample(found, k=min(len(found), draw.randrange(4)))
                await link.settle(chosen)
                settled |= {each.message.id for each in chosen}
                await link.close()
            else:
                lab.proxy.cut()
                await link.ended()
                await link.close()

        link = await declared(lab)
        rest = await receive(link, COUNT - len(settled))
        await link.settle(rest)
        await link.close()

    expected = [str(number) for number in range(COUNT) if str(number) not in settled]
    assert [each.message.id for each in rest] == expected


def note(number: int) -> WireMessage:
    return WireMessage(id=str(number), source="x", type="shop.noted", body=b"{}", key="k")
