"""One live instance per key, whatever begins it."""

import asyncio

from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Ended, Noted, Tally

from sagabus import Context, Saga, handles, starts


async def test_the_first_creates_it_and_the_second_finds_it(harness: MakeHarness) -> None:
    async with harness(Tally) as bus:
        await bus.bus.publish_many([Noted(key="A", number=1), Noted(key="A", number=2)])
        await bus.idle()

        record = await bus.record(Tally, "A")
        assert record is not None
        assert record.version == 2
        assert record.state.numbers == [1, 2]


async def test_concurrent_publishers_make_one_instance(harness: MakeHarness) -> None:
    async with harness(Tally) as bus:
        await asyncio.gather(*(bus.publish(Noted(key="A", number=number), wait=False) for number in range(50)))
        await bus.idle()

        record = await bus.record(Tally, "A")
        assert record is not None
        assert record.version == 50
        assert sorted(record.state.numbers) == list(range(50))


async def test_each_of_two_kinds_of_start_may_come_first(harness: MakeHarness) -> None:
    class Either(Saga, name="either", key="key"):
        key: str
        by: str = ""

        @starts
        def noted(self, message: Noted) -> None:
            self.by += "noted "

        @starts
        def ended(self, message: Ended) -> None:
            self.by += "ended "

    async with harness(Either) as bus:
        await bus.bus.publish_many([Noted(key="A"), Ended(key="A"), Ended(key="B"), Noted(key="B")])
        await bus.idle()

        assert await bus.saga(Either, "A") == Either(key="A", by="noted ended ")
        assert await bus.saga(Either, "B") == Either(key="B", by="ended noted ")


async def test_a_thousand_messages_to_one_saga_apply_in_order(harness: MakeHarness) -> None:
    async with harness(Tally) as bus:
        await bus.bus.publish_many([Noted(key="A", number=number) for number in range(1000)])
        await bus.idle()

        record = await bus.record(Tally, "A")
        assert record is not None
        assert record.version == 1000
        assert record.state.numbers == list(range(1000))


async def test_after_its_completion_a_late_start_does_not_revive_it(harness: MakeHarness) -> None:
    async with harness(Tally) as bus:
        await bus.bus.publish_many([Noted(key="A", number=1), Ended(key="A"), Noted(key="A", number=2)])
        await bus.idle()

        record = await bus.record(Tally, "A")
        assert record is not None
        assert record.completed
        assert record.state.numbers == [1, 0]
        assert bus.bus.statistics["tally", "discarded"] == 1


async def test_with_restart_a_late_start_starts_it_again(harness: MakeHarness) -> None:
    class Phoenix(Saga, name="phoenix", key="key", restart=True):
        key: str
        lives: int = 0

        @starts
        def noted(self, message: Noted) -> None:
            self.lives += 1

        @handles
        def ended(self, message: Ended, ctx: Context) -> None:
            ctx.complete()

    async with harness(Phoenix) as bus:
        await bus.bus.publish_many([Noted(key="A"), Noted(key="A"), Ended(key="A"), Noted(key="A")])
        await bus.idle()

        record = await bus.record(Phoenix, "A")
        assert record is not None
        assert (record.state.lives, record.completed, record.version) == (1, False, 4)
