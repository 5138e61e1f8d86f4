"""On a server, positions are given when rows are written and rows are seen when they commit: not in the same order."""

import asyncio
import os
from datetime import timedelta
from uuid import uuid4

import asyncpg
from tests.scenarios.conftest import until
from tests.scenarios.when_processes_give_each_other_hints import own_schema

from sagabus import Bus, Context, event, handler
from sagabus.envelope import LANES, lane_of
from sagabus.settings import Settings

URL = os.environ.get("SAGABUS_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")


@event("late.noted")
class Noted:
    page: str
    number: int


seen: list[int] = []


@handler("notes", key="page")
def note(message: Noted, ctx: Context) -> None:
    seen.append(message.number)


def test_what_commits_behind_the_cursor_is_handled_and_what_follows_it_comes_after() -> None:
    async def run() -> None:
        async with own_schema() as url, Bus(url, note) as bus:
            late = await asyncpg.connect(URL)
            transaction = late.transaction()
            await transaction.start()
            await bus.join(late).publish(Noted(page="one", number=1), message_id=f"late-{uuid4()}")

            # Accepted meanwhile, by the same lane: the worker's cursor goes past the one that nobody can see yet.
            await bus.publish(Noted(page="one", number=2))
            await bus.idle(20)
            assert seen == [2]

            await transaction.commit()
            await bus.publish(Noted(page="one", number=3))
            await bus.idle(20)
            await late.close()

    seen.clear()
    asyncio.run(run())

    assert seen == [2, 1, 3]


def test_the_same_behind_the_backlog_of_a_loud_key_in_its_lane() -> None:
    loud = next(key for key in (f"loud{i}" for i in range(1_000)) if lane_of(key, LANES) == lane_of("one", LANES))
    gate = asyncio.Event()

    @handler("notes", key="page")
    async def note_slowly(message: Noted, ctx: Context) -> None:
        if message.page == loud:
            await gate.wait()
        else:
            seen.append(message.number)

    async def run() -> None:
        async with own_schema() as url, Bus(url, note_slowly, settings=Settings(grace=timedelta(0))) as bus:
            late = await asyncpg.connect(URL)
            await bus.publish_many([Noted(page=loud, number=number) for number in range(500)])
            transaction = late.transaction()
            await transaction.start()
            await bus.join(late).publish(Noted(page="one", number=1), message_id=f"late-{uuid4()}")
            await bus.publish_many([Noted(page=loud, number=number) for number in range(500)])
            await bus.publish(Noted(page="one", number=2))
            await until(lambda: seen == [2])

            await transaction.commit()
            await bus.publish(Noted(page="one", number=3))
            await until(lambda: len(seen) == 3)
            await late.close()

    seen.clear()
    asyncio.run(run())

    assert seen == [2, 1, 3]
