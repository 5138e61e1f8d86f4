"""The operator's side: list, look, replay, discard."""

from datetime import timedelta

import pytest
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Noted, Tally

from sagabus import ReplayResult, RetryPolicy, UnknownName, handler
from sagabus.clock import moment

WEEK = timedelta(days=7)
seen: list[int] = []


@handler("fragile", retry=RetryPolicy(attempts=1))
def fragile(message: Noted) -> None:
    seen.append(message.number)


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    seen.clear()


async def test_it_runs_once_more_under_the_same_id(harness: MakeHarness) -> None:
    async with harness(fragile) as bus:
        bus.fail(fragile)
        await bus.publish(Noted(key="A", number=1), message_id="m1")
        (letter,) = await bus.dead_letters()
        first = await bus.bus.dead_letters.replay(letter.id, reason="a test")
        await bus.idle()
        second = await bus.bus.dead_letters.replay(letter.id, reason="a test")
        await bus.idle()

        closed = await bus.bus.dead_letters.get(letter.id)
        assert (first, second) == (ReplayResult.DONE, ReplayResult.ALREADY_DONE)
        assert seen == [1]
        assert await bus.dead_letters() == []
        assert closed is not None
        assert (closed.status, closed.envelope.message_id) == ("replayed", "m1")


async def test_it_may_die_again_with_a_new_reason(harness: MakeHarness) -> None:
    async with harness(fragile) as bus:
        bus.fail(fragile, error=ValueError("first"))
        bus.fail(fragile, error=KeyError("second"))
        await bus.publish(Noted(key="A"), message_id="m1")
        (letter,) = await bus.dead_letters()
        await bus.bus.dead_letters.replay(letter.id, reason="a test")
        await bus.idle()

        (again,) = await bus.dead_letters()
        assert (letter.error_type, again.error_type) == ("ValueError", "KeyError")
        assert again.attempts == 1


async def test_a_copy_published_meanwhile_is_still_a_duplicate(harness: MakeHarness) -> None:
    async with harness(fragile) as bus:
        bus.fail(fragile)
        await bus.publish(Noted(key="A", number=1), message_id="m1")
        copy = await bus.publish(Noted(key="A", number=1), message_id="m1")
        (letter,) = await bus.dead_letters()
        await bus.bus.dead_letters.replay(letter.id, reason="a test")
        await bus.idle()

        assert copy.status == "duplicate"
        assert seen == [1]


async def test_below_the_horizon_only_by_force(harness: MakeHarness) -> None:
    async with harness(fragile) as bus:
        bus.fail(fragile)
        await bus.publish(Noted(key="A", number=1))
        await bus.advance(WEEK + timedelta(hours=1))
        await bus.bus.purge()
        (letter,) = await bus.dead_letters()
        refused = await bus.bus.dead_letters.replay(letter.id, reason="a test")
        await bus.idle()
        before = list(seen)
        forced = await bus.bus.dead_letters.replay(letter.id, force=True, reason="a test")
        await bus.idle()

        assert (refused, forced) == (ReplayResult.TOO_OLD, ReplayResult.DONE)
        assert (before, seen) == ([], [1])


async def test_a_collision_only_by_force(harness: MakeHarness) -> None:
    async with harness(fragile) as bus:
        await bus.publish(Noted(key="A", number=1), message_id="m1")
        await bus.publish(Noted(key="A", number=2), message_id="m1")
        (letter,) = await bus.dead_letters()
        refused = await bus.bus.dead_letters.replay(letter.id, reason="a test")
        forced = await bus.bus.dead_letters.replay(letter.id, force=True, reason="a test")
        await bus.idle()

        assert (refused, forced) == (ReplayResult.COLLISION, ReplayResult.DONE)
        assert seen == [1, 2]


async def test_a_quarantined_copy_of_what_took_effect_is_closed(harness: MakeHarness) -> None:
    async with harness(Tally) as bus:
        sent_at = moment(bus.clock.now())
        await bus.advance(WEEK + timedelta(hours=1))
        await bus.bus.purge()
        await bus.publish(Noted(key="A", number=1), message_id="m1", sent_at=sent_at)
        (letter,) = await bus.dead_letters()
        forced = await bus.bus.dead_letters.replay(letter.id, force=True, reason="a test")
        await bus.idle()
        again = await bus.bus.dead_letters.replay(letter.id, force=True, reason="a test")
        await bus.idle()

        assert (forced, again) == (ReplayResult.DONE, ReplayResult.ALREADY_DONE)
        assert await bus.saga(Tally, "A") == Tally(key="A", numbers=[1])


async def test_discarded_it_is_closed_for_good(harness: MakeHarness) -> None:
    async with harness(fragile) as bus:
        bus.fail(fragile)
        await bus.publish(Noted(key="A"))
        (letter,) = await bus.dead_letters()
        first = await bus.bus.dead_letters.discard(letter.id, reason="a test")
        results = [
            await bus.bus.dead_letters.discard(letter.id, reason="a test"),
            await bus.bus.dead_letters.replay(letter.id, reason="a test"),
        ]
        await bus.idle()

        assert first is ReplayResult.DONE
        assert results == [ReplayResult.ALREADY_DONE] * 2
        assert seen == []


async def test_of_an_unknown_number_it_says_so(harness: MakeHarness) -> None:
    async with harness(fragile) as bus:
        assert await bus.bus.dead_letters.get(99) is None
        assert await bus.bus.dead_letters.replay(99, reason="a test") is ReplayResult.NOT_FOUND
        assert await bus.bus.dead_letters.discard(99, reason="a test") is ReplayResult.NOT_FOUND


async def test_lists_come_in_pages_by_subscription_and_status(harness: MakeHarness) -> None:
    async with harness(fragile) as bus:
        bus.fail(fragile, times=5)
        await bus.bus.publish_many([Noted(key=str(n)) for n in range(5)])
        await bus.idle()
        letters = await bus.dead_letters()
        await bus.bus.dead_letters.discard(letters[0].id, reason="a test")

        page = await bus.bus.dead_letters.list("fragile", after=letters[1].id, limit=2)
        assert [letter.id for letter in page] == [letters[2].id, letters[3].id]
        assert len(await bus.bus.dead_letters.list(status=None)) == 5
        with pytest.raises(UnknownName):
            await bus.bus.dead_letters.list("other")


async def test_the_state_of_a_saga_is_of_now(harness: MakeHarness) -> None:
    async with harness(Tally) as bus:
        await bus.publish(Noted(key="A", number=1))
        bus.fail(Tally, times=5)
        await bus.publish(Noted(key="A", number=2))
        await bus.advance(timedelta(hours=1))
        await bus.publish(Noted(key="A", number=3))
        (letter,) = await bus.dead_letters()
        await bus.bus.dead_letters.replay(letter.id, reason="a test")
        await bus.idle()

        assert await bus.saga(Tally, "A") == Tally(key="A", numbers=[1, 3, 2])
