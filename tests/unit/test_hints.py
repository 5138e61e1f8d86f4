"""Hints of changes: no waiter takes that of another. The stores on SQL wait by them."""

import asyncio

from sagabus.clock import SystemClock
from sagabus.stores.hints import Hints


async def test_a_hint_reaches_those_who_nap_and_those_who_work() -> None:
    hints, heard = Hints(SystemClock()), list[str]()
    works = {name: asyncio.Event() for name in ("first", "second")}

    async def worker(name: str) -> None:
        hints.take()
        await works[name].wait()
        if not hints.take():
            await hints.nap(None)
        heard.append(name)

    workers = [asyncio.create_task(worker(name)) for name in works]
    await asyncio.sleep(0)
    hints.give()
    works["first"].set()
    await workers[0]
    works["second"].set()
    async with asyncio.timeout(10):
        await workers[1]

    assert heard == ["first", "second"]


async def test_a_change_is_not_missed_by_the_task_that_made_it() -> None:
    hints = Hints(SystemClock())
    hints.take()

    hints.give()

    assert hints.take()
    assert not hints.take()
