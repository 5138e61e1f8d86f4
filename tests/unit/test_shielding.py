"""What is cancelled while it waits for a transaction does not break it off, and does not go on before its end."""

import asyncio

import pytest

from sagabus.stores.sql.shielding import unbroken


async def _works() -> str:
    await asyncio.sleep(0)
    return "done"


async def _fails() -> None:
    await asyncio.sleep(0)
    raise KeyError("k")


async def _cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


def test_it_gives_what_the_work_comes_to() -> None:
    assert asyncio.run(unbroken(_works())) == "done"


def test_it_raises_what_the_work_raises() -> None:
    with pytest.raises(KeyError, match="k"):
        asyncio.run(unbroken(_fails()))


def test_work_that_is_cancelled_itself_is_reported() -> None:
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(unbroken(_cancels_itself()))


@pytest.mark.parametrize("end", [_works, _fails])
def test_a_cancellation_waits_for_the_end_of_the_work(end: type) -> None:
    async def run() -> None:
        gate = asyncio.Event()
        ended: list[str] = []

        async def work() -> None:
            await gate.wait()
            ended.append("work")
            await end()

        waiting = asyncio.ensure_future(unbroken(work()))
        await asyncio.sleep(0)
        waiting.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()  # once more: whoever cancels may be impatient
        await asyncio.sleep(0)
        assert not waiting.done()

        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert ended == ["work"]

    asyncio.run(run())
