"""What waits behind a parked key runs when its dead letter is closed, whatever has passed it meanwhile."""

from datetime import timedelta

import pytest
from tests.scenarios.conftest import MakeHarness

from sagabus import Linear, RetryPolicy, Settings, event, handler

HOUR = timedelta(hours=1)
WHY = {"reason": "a test", "by": "ann"}


@event("parked.counted")
class Counted:
    key: str
    number: int


@pytest.mark.parametrize("act", ["discard", "replay", "edit", "erase"])
@pytest.mark.parametrize("waits", [True, False])
async def test_others_have_passed_it_and_it_runs_at_once(harness: MakeHarness, act: str, *, waits: bool) -> None:
    seen: list[int] = []
    broken = [True]

    @handler("counting", retry=RetryPolicy(attempts=1), parks=True)
    def counting(message: Counted) -> None:
        if message.number < 0 and broken:
            raise ValueError("negative")
        seen.append(message.number)

    async with harness(counting, settings=Settings(lanes=1), patience=5.0) as running:
        bus = running.bus
        for number, key in ((-1, "A"), (2, "A"), (3, "B"), (4, "A"), (5, "B")):
            await running.publish(Counted(key=key, number=number), wait=waits, partition_key=key)
        await running.idle()
        assert seen == [3, 5]
        (letter,) = await bus.dead_letters.list()
        broken.clear()
        if act == "discard":
            await bus.dead_letters.discard(letter.id, **WHY)
        elif act == "replay":
            await bus.dead_letters.replay(letter.id, **WHY)
        elif act == "edit":
            await bus.dead_letters.edit(letter.id, {"key": "A", "number": 1}, **WHY)
        else:
            await bus.mend.erase(correlation_ids=[letter.envelope.message_id], **WHY)
        await running.idle()

    first = {"replay": [-1], "edit": [1]}.get(act, [])
    assert seen == [3, 5, *first, 2, 4]


async def test_so_does_what_waits_behind_a_retry_that_is_erased(harness: MakeHarness) -> None:
    seen: list[int] = []

    @handler("counting", retry=RetryPolicy(attempts=3, backoff=Linear(HOUR, step=HOUR, cap=HOUR)))
    def counting(message: Counted) -> None:
        if message.number < 0:
            raise ValueError("negative")
        seen.append(message.number)

    async with harness(counting, settings=Settings(lanes=1), patience=5.0) as running:
        bus = running.bus
        for number, key in ((-1, "A"), (2, "A"), (3, "B"), (4, "A"), (5, "B")):
            await running.publish(Counted(key=key, number=number), partition_key=key)
        assert seen == [3, 5]
        (retrying,) = (await bus.inspect.messages("counting", kind="retrying")).messages
        await bus.mend.erase(correlation_ids=[retrying.message_id], live=True, **WHY)
        await running.idle()

    assert seen == [3, 5, 2, 4]
