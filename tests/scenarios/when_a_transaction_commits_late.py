"""On a server, positions are given when rows are written and rows are seen when they commit: not in the same order."""

import asyncio
import os
from uuid import uuid4

import asyncpg
from tests.scenarios.when_processes_give_each_other_hints import own_schema

from sagabus import Bus, Context, event, handler

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
