"""Delays count from when the commit writes them, not from before the user's own statements."""

from datetime import timedelta

import pytest
from tests.scenarios.shop import Do, Noted
from tests.support.databases import SERVERS, Database

from sagabus import Bus, Context, Saga, handler, starts, timer

SLEEP = {"postgres": "SELECT pg_sleep(0.3)", "mysql": "SELECT SLEEP(0.3)"}
LONG = timedelta(days=1)


@handler("doer")
def do(message: Do) -> None: ...


@pytest.mark.parametrize("database", SERVERS, indirect=True)
async def test_a_timer_and_a_scheduled_message_count_from_after_the_statements_of_their_run(database: Database) -> None:
    class Slow(Saga, name="slow", key="key", history=True):
        key: str

        @starts
        def begin(self, message: Noted, ctx: Context) -> None:
            ctx.execute(SLEEP[database.kind])
            ctx.set_timer("alarm", after=LONG)
            ctx.schedule(Do(key="A"), after=LONG)

        @timer("alarm")
        def alarm(self, ctx: Context) -> None: ...

    async with Bus(database.url, Slow, do) as bus:
        await bus.publish(Noted(key="A"))
        await bus.idle(20)

        (alarm,) = await bus.store.inspect.envelopes("slow", timers=True)
        (later,) = await bus.store.inspect.envelopes("doer")
        (begun,) = await bus.store.inspect.history("slow", "A")
        waited = [each.due_at - begun.at - LONG // timedelta(microseconds=1) for each in (alarm, later)]
        assert min(waited) >= 290_000
