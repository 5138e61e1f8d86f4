"""A task of a bridge is cancelled at any of its awaits, in both directions: each number still arrives once, in order.

No one else may cancel them, and the bus says so. The next bus goes on where this one stood.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from tests.faults.cancelling import cancel_tasks_of
from tests.support.brokers import Lab
from tests.support.two_services import Pair, have, pair
from tests.support.waiting import until

pytestmark = [pytest.mark.faults, pytest.mark.share(3)]

TASKS = ("Bridge._taking", "Bridge._sending", "Batching._send", "Bridge._work")
MOST = 60


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("one_in", [31, pytest.param(1, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
async def test_a_task_is_cancelled_at_any_of_its_awaits(
    lab: Lab, two_stores: Sequence[str], name: str, one_in: int
) -> None:
    async with lab:
        awaits = await cancelled_at(lab, two_stores, name, 0, 0)
        assert awaits
        rounds = list(range(1, min(awaits, MOST) + 1, one_in))
        for round_, cancel_at in enumerate(rounds, 1):
            await cancelled_at(lab, two_stores, name, round_, cancel_at)

        asyncio.get_running_loop().set_task_factory(None)
        async with pair(two_stores, lab.transport) as both:
            await both.have(len(rounds) + 1)
            await both.check(len(rounds) + 1)


async def cancelled_at(lab: Lab, stores: Sequence[str], name: str, number: int, cancel_at: int) -> int:
    """One number under each key, during which one task is cancelled at this await (0: never). How many there were."""
    count = cancel_tasks_of(name, cancel_at)
    async with pair(stores, lab.transport) as both:
        await both.ask([number])
        await until(lambda: is_done_or_given_up(both, number), 30, every=0.005)
    return count()


async def is_done_or_given_up(both: Pair, number: int) -> bool:
    if not all(bus.health().is_healthy for bus in both):
        return True
    return await have(both.ledger, number + 1)()
