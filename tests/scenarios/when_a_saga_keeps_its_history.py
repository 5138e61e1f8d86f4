"""Each committed transition of a saga with `history=True` leaves one row, in the same commit; nothing else does."""

from dataclasses import field
from datetime import timedelta
from typing import Literal

import pytest
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Ended, Flaky, Noted, Tally

from sagabus import AsyncConnection, Context, Saga, Settings, Transition, UnknownName, handles, starts, timer

WEEK = timedelta(days=7)
flaky = Flaky()


class Story(Saga, name="stories", key="key", history=True, restart=True):
    """What has become of a key, told by its numbers."""

    key: str
    numbers: list[int] = field(default_factory=list)
    status: Literal["open", "late", "ended"] = "open"

    @starts
    def noted(self, message: Noted, ctx: Context) -> None:
        self.numbers.append(message.number)
        ctx.set_timer("late", after=timedelta(hours=1))

    @handles
    def ended(self, message: Ended, ctx: Context) -> None:
        self.status = "ended"
        ctx.complete()

    @timer("late")
    def is_late(self, ctx: Context) -> None:
        flaky()
        self.status = "late"


def short(history: list[Transition]) -> list[tuple[object, ...]]:
    return [(each.version, each.message_id, each.timer, each.status, each.completed) for each in history]


async def test_each_transition_is_there_with_what_made_it_and_what_it_left(harness: MakeHarness) -> None:
    async with harness(Story) as bus:
        await bus.publish(Noted(key="A", number=1), message_id="m1")
        begun = bus.clock.now()
        await bus.advance(timedelta(hours=1))
        await bus.publish(Ended(key="A"), message_id="m2")

        first, second, third = history = await bus.history(Story, "A")
        assert [each.version for each in history] == [1, 2, 3]
        assert [each.status for each in history] == ["open", "late", "ended"]
        assert [each.completed for each in history] == [False, False, True]
        assert [each.message_type for each in (first, third)] == ["shop.noted", "shop.ended"]
        assert (first.saga, first.key, first.message_id, first.timer) == ("stories", "A", "m1", None)
        assert (second.timer, third.message_id, third.timer) == ("late", "m2", None)
        assert first.state == {"key": "A", "numbers": [1], "status": "open"}
        assert int(first.at.timestamp() * 1_000_000) == begun
        assert second.at - first.at == timedelta(hours=1)


async def test_of_several_transitions_that_commit_together_each_is_there(harness: MakeHarness) -> None:
    async with harness(Story) as bus:
        await bus.bus.publish_many([(Noted(key=key, number=n), f"{key}{n}") for n in range(20) for key in "AB"])
        await bus.idle()

        for key in "AB":
            history = await bus.history(Story, key)
            assert [(each.version, each.message_id) for each in history] == [(n + 1, f"{key}{n}") for n in range(20)]
            assert [each.state["numbers"] for each in history] == [list(range(n + 1)) for n in range(20)]


async def test_a_run_that_failed_or_lost_its_commit_is_not_there(harness: MakeHarness) -> None:
    flaky.errors = [ValueError("not yet"), None]
    async with harness(Story) as bus:
        bus.fail_commit()
        await bus.publish(Noted(key="A"), message_id="m1")
        bus.fail_commit(afterwards=True)
        await bus.publish(Noted(key="A"), message_id="m2")
        await bus.publish(Noted(key="A"), message_id="m2")
        await bus.advance(timedelta(hours=3))

        assert [each[:3:2] for each in short(await bus.history(Story, "A"))] == [(1, None), (2, None), (3, "late")]


async def test_a_key_that_starts_again_continues_its_history(harness: MakeHarness) -> None:
    async with harness(Story) as bus:
        for number in range(2):
            await bus.publish(Noted(key="A", number=number))
            await bus.publish(Ended(key="A", number=number))

        history = await bus.history(Story, "A")
        assert [(each.version, each.completed) for each in history] == [(1, False), (2, True), (3, False), (4, True)]
        assert history[2].state["numbers"] == [1]


async def test_two_lives_of_a_key_differ_though_their_versions_are_the_same(harness: MakeHarness) -> None:
    async with harness(Story, settings=Settings(history_retention=10 * WEEK)) as bus:
        for number in range(2):
            await bus.publish(Noted(key="A", number=number))
            await bus.publish(Ended(key="A"))
            await bus.advance(2 * WEEK)
            await bus.bus.purge()

        assert await bus.record(Story, "A") is None
        history = await bus.history(Story, "A")
        assert [each.version for each in history] == [1, 2, 1, 2]
        assert [each.state["numbers"] for each in history] == [[0], [0], [1], [1]]
        assert [len(await bus.bus.sagas.history(Story, "A", after=each.position)) for each in history] == [3, 2, 1, 0]
        assert [each.version for each in await bus.bus.sagas.history("stories", "A", limit=3)] == [1, 2, 1]


async def test_it_is_forgotten_with_the_retention_whether_the_instance_lives_or_not(harness: MakeHarness) -> None:
    async with harness(Story) as bus:
        await bus.publish(Noted(key="A", number=1))
        await bus.publish(Noted(key="B", number=1))
        await bus.advance(timedelta(days=6))
        await bus.publish(Noted(key="A", number=2))
        await bus.publish(Ended(key="B"))
        await bus.advance(timedelta(days=2))

        await bus.bus.purge()

        assert [each.version for each in await bus.history(Story, "A")] == [3, 4]
        assert [each.version for each in await bus.history(Story, "B")] == [3]
        assert await bus.saga(Story, "A") == Story(key="A", numbers=[1, 2], status="late")


async def test_a_saga_that_keeps_none_has_none(harness: MakeHarness) -> None:
    async with harness(Tally, Story) as bus:
        await bus.publish(Noted(key="A"))

        assert await bus.history(Tally, "A") == []
        assert await bus.history(Story, "nobody") == []
        with pytest.raises(UnknownName):
            await bus.history("unknown", "A")


class Connected(Saga, name="connected", key="key", history=True):
    """Its transitions commit alone, in the transaction that it was lent."""

    key: str
    fails: bool = False

    @starts
    async def noted(self, message: Noted, ctx: Context, connection: AsyncConnection) -> None:
        flaky()


async def test_a_transition_in_a_transaction_that_was_lent_is_there_once(on_database: MakeHarness) -> None:
    flaky.errors = [None, ValueError("not yet"), None]
    async with on_database(Connected) as bus:
        for number in range(2):
            await bus.publish(Noted(key="A"), message_id=f"m{number}")
        await bus.advance(timedelta(hours=1))

        history = await bus.history(Connected, "A")
        assert [(each.version, each.message_id) for each in history] == [(1, "m0"), (2, "m1")]
