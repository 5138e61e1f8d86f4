"""The life of a link: one end, one reason, and everything that waits is woken."""

import asyncio

import pytest

from sagabus.errors import TransportError
from sagabus.transports.lifetime import Lifetime


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def test_it_ends_once_for_one_reason() -> None:
    life = Lifetime("here")
    life.check()
    waits = asyncio.create_task(life.ended())
    await asyncio.sleep(0)

    assert life.end("first")
    assert not life.end("second")

    assert await waits == "first"
    assert life.is_over
    with pytest.raises(TransportError, match="first"):
        life.check()


async def test_work_ends_with_the_link() -> None:
    life = Lifetime("here")
    work = asyncio.create_task(life.within(forever()))
    await asyncio.sleep(0)

    life.end("cut")

    with pytest.raises(TransportError, match="cut"):
        await work
    with pytest.raises(TransportError, match="cut"):
        await life.within(forever())


async def test_what_work_returns_or_raises_is_passed_on() -> None:
    async def one() -> int:
        return 1

    async def fails() -> None:
        raise ValueError("no")

    life = Lifetime("here")

    assert await life.within(one()) == 1
    with pytest.raises(ValueError, match="no"):
        await life.within(fails())


async def test_cancelling_cancels_the_work() -> None:
    life, ended = Lifetime("here"), asyncio.Event()

    async def work() -> None:
        try:
            await forever()
        finally:
            ended.set()

    task = asyncio.create_task(life.within(work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ended.is_set()
