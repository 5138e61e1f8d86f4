"""What becomes of messages that find no live instance."""

import asyncio
from datetime import timedelta

import pytest
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Ended, Noted, Tally

from sagabus import Context, Saga, handles, starts
from sagabus.middleware import Next

HOUR = timedelta(hours=1)


async def test_it_waits_and_is_replayed_when_the_saga_starts(harness: MakeHarness) -> None:
    async with harness(Tally) as bus:
        await bus.publish(Ended(key="A", number=9))
        (before,) = await bus.bus.counts()
        await bus.publish(Noted(key="A", number=1))
        (after,) = await bus.bus.counts()

        record = await bus.record(Tally, "A")
        assert record is not None
        assert (record.state.numbers, record.completed) == ([1, 9], True)
        assert (before.stashed, after.stashed) == (1, 0)
        assert bus.bus.statistics["tally", "stashed"] == 1


async def test_several_early_ones_keep_their_order(harness: MakeHarness) -> None:
    class Late(Saga, name="late", key="key"):
        key: str
        seen: str = ""

        @starts
        def noted(self, message: Noted) -> None:
            self.seen += "start "

        @handles
        def ended(self, message: Ended) -> None:
            self.seen += f"{message.number} "

    async with harness(Late) as bus:
        await bus.bus.publish_many([Ended(key="A", number=n) for n in range(5)])
        await bus.idle()
        await bus.bus.publish_many([Noted(key="A"), Ended(key="A", number=5)])
        await bus.idle()

        assert await bus.saga(Late, "A") == Late(key="A", seen="start 0 1 2 3 4 5 ")


async def test_early_and_starting_in_one_batch_come_right(harness: MakeHarness) -> None:
    async with harness(Tally) as bus:
        await bus.bus.publish_many([Ended(key="A", number=9), Noted(key="A", number=1)])
        await bus.idle()

        assert await bus.saga(Tally, "A") == Tally(key="A", numbers=[1, 9])


async def test_it_survives_the_worker(harness: MakeHarness) -> None:
    async with harness(Tally) as bus:
        await bus.publish(Ended(key="A", number=9))
        await bus.crash()
        await bus.publish(Noted(key="A", number=1))

        assert await bus.saga(Tally, "A") == Tally(key="A", numbers=[1, 9])


async def test_when_its_patience_is_over_it_is_dead_with_the_reason(harness: MakeHarness) -> None:
    async with harness(Tally) as bus:
        await bus.publish(Ended(key="A"))
        await bus.advance(HOUR - timedelta(seconds=1))
        early = await bus.dead_letters()
        await bus.advance(timedelta(seconds=1))
        (letter,) = await bus.dead_letters()

        assert early == []
        assert letter.reason == "missing: shop.ended found no saga instance (waited 1:00:00)"
        assert letter.envelope.body == b'{"key":"A","number":0}'


async def test_other_keys_do_not_wait_for_it(harness: MakeHarness) -> None:
    async with harness(Tally) as bus:
        await bus.bus.publish_many([Ended(key="A"), Noted(key="B", number=1)])
        await bus.idle()

        assert await bus.saga(Tally, "B") == Tally(key="B", numbers=[1])


@pytest.mark.parametrize(("policy", "discarded", "dead"), [("ignore", 1, 0), ("dead-letter", 0, 1)])
async def test_other_policies(harness: MakeHarness, policy: str, discarded: int, dead: int) -> None:
    class Strict(Saga, name="strict", key="key", on_missing=policy):
        key: str

        @starts
        def noted(self, message: Noted) -> None: ...

        @handles
        def ended(self, message: Ended) -> None: ...

    async with harness(Strict) as bus:
        await bus.publish(Ended(key="A"))

        assert bus.bus.statistics["strict", "discarded"] == discarded
        assert len(await bus.dead_letters(Strict)) == dead


async def test_what_comes_after_the_end_is_a_policy_too(harness: MakeHarness) -> None:
    class Finished(Saga, name="finished", key="key", on_finished="dead-letter"):
        key: str

        @starts
        def noted(self, message: Noted, ctx: Context) -> None:
            ctx.complete()

        @handles
        def ended(self, message: Ended) -> None: ...

    async with harness(Finished) as bus:
        await bus.publish(Noted(key="A"))
        await bus.publish(Ended(key="A"))

        (letter,) = await bus.dead_letters(Finished)
        assert letter.reason == "finished: shop.ended came after the saga had finished"


async def test_when_the_creating_run_fails_the_early_one_goes_on_waiting(harness: MakeHarness) -> None:
    async with harness(Tally) as bus:
        await bus.publish(Ended(key="A", number=9))
        bus.fail(Tally)
        await bus.publish(Noted(key="A", number=1))
        waiting = (await bus.bus.counts())[0].stashed
        await bus.advance(timedelta(seconds=2))

        assert waiting == 1
        assert await bus.saga(Tally, "A") == Tally(key="A", numbers=[1, 9])


async def test_it_is_due_with_the_commit_that_creates_the_saga(harness: MakeHarness) -> None:
    reached = asyncio.Event()

    async def block(message: object, ctx: Context, call_next: Next) -> None:
        if isinstance(message, Ended) and reached.is_set():
            await asyncio.Event().wait()
        await call_next(message, ctx)

    async with harness(Tally, middleware=[block]) as bus:
        await bus.publish(Ended(key="A", number=9))
        reached.set()
        await bus.publish(Noted(key="A", number=1), wait=False)
        while await bus.record(Tally, "A") is None:  # noqa: ASYNC110  # the fact has no event of its own
            await asyncio.sleep(0)
        reached.clear()

        await bus.crash()

        assert await bus.saga(Tally, "A") == Tally(key="A", numbers=[1, 9])
