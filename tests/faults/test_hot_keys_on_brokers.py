"""The rate of one key from the store of the sender to the effect at the receiver: one of its messages is unconfirmed.

It prints what it measures. What `docs/brokers.md` says of it comes from here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest
from tests.scenarios.shop import Noted
from tests.support.brokers import Lab
from tests.support.two_services import books, noted, shop
from tests.support.waiting import until

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(300)]

COUNT = 1_000
KEYS = 100


async def test_a_hot_key_waits_for_one_confirm_after_another(
    lab: Lab, two_stores: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    async with lab:
        many = await rate(lab, two_stores, [f"k{number}" for number in range(KEYS)])
        one = await rate(lab, two_stores, ["hot"])

    with capsys.disabled():
        print(f"\n{lab.kind.__name__}: one key {one:,.0f}/s, {KEYS} keys {many:,.0f}/s")
    assert one > 10
    assert many > one


async def rate(lab: Lab, stores: Sequence[str], keys: Sequence[str]) -> float:
    """Messages a second, of which all wait when the bridge begins."""
    async with books(stores[0], lab.url()) as ledger:
        sender = shop(stores[1], lab.url())
        await sender.open()
        await sender.close()  # its rules are in the store since
        await sender.open(worker=False)
        for first in range(0, COUNT, 100):
            messages = [(keys[at % len(keys)], at // len(keys)) for at in range(first, first + 100)]
            await asyncio.gather(
                *(sender.publish(Noted(key=key, number=at), partition_key=key) for key, at in messages)
            )
        await sender.close()
        before = ledger.statistics["ledger", "completed"]
        began = time.perf_counter()
        async with shop(stores[1], lab.url()):
            await until(lambda: ledger.statistics["ledger", "completed"] - before == COUNT, 200, every=0.005)
        seconds = time.perf_counter() - began
        for key in keys:
            assert await noted(ledger, key) == list(range(COUNT // len(keys)))
    return COUNT / seconds
