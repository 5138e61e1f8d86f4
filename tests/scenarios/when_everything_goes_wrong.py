"""Long random histories of failures, crashes and copies; at the end each message has taken effect once and in order."""

import random
from dataclasses import field
from datetime import timedelta
from typing import Any, Literal

import pytest
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Do, Ended, Noted

from sagabus import Context, RetryPolicy, Saga, Settings, StoreUnavailable, handler, handles, starts, timer

KEYS = ("A", "B", "C", "D")
SEEDS = [*range(2), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 16))]
"""Odd ones with copies."""
STEPS = {"memory": 40, "sqlite": 40}
STEPS_ON_SERVERS = 15
STUBBORN = RetryPolicy(attempts=10_000, deaths=10_000)


class Ledger(Saga, name="ledger", key="key", retry=STUBBORN, patience=timedelta(days=99), on_unexpected="stash"):
    """Applies numbers, sends each on, hears of it again, and beats until it is ended."""

    key: str
    status: Literal["open", "shut"] = "open"
    noted_: list[int] = field(default_factory=list)
    echoed: list[int] = field(default_factory=list)
    beats: int = 0

    @starts
    def noted(self, message: Noted, ctx: Context) -> None:
        self.noted_.append(message.number)
        ctx.send(Do(key=self.key, number=message.number))
        ctx.set_timer("beat", after=timedelta(seconds=30))

    @handles
    async def echo(self, message: Ended) -> None:
        self.echoed.append(message.number)

    @timer("beat")
    def beat(self, ctx: Context) -> None:
        self.beats += 1


@handler("worker", key="key", retry=STUBBORN)
async def work(message: Do, ctx: Context) -> None:
    ctx.publish(Ended(key=message.key, number=message.number))


async def one_step(bus: Any, chance: random.Random, sent: dict[str, list[int]]) -> None:
    match chance.randrange(9):
        case 0 | 1 | 2:
            for _ in range(chance.randrange(1, 20)):
                key = chance.choice(KEYS)
                number = sum(map(len, sent.values()))
                sent[key].append(number)
                for _ in range(chance.randrange(1, 3)):
                    await bus.publish(Noted(key=key, number=number), message_id=f"m{number}", wait=False)
        case 3:
            bus.fail(chance.choice(["ledger", "worker"]), times=chance.randrange(1, 4))
        case 4:
            bus.fail_commit(times=chance.randrange(1, 3), afterwards=chance.random() < 0.5)
        case 5:
            bus.fail_commit(error=StoreUnavailable, afterwards=True)
        case 6:
            await bus.crash(takeover=chance.random() < 0.5)
        case 7:
            await bus.bus.close()
            await bus.bus.open()
        case _:
            await bus.advance(timedelta(seconds=chance.random() * 40))


@pytest.mark.parametrize("seed", SEEDS)
async def test_each_message_takes_effect_once_and_in_order(harness: MakeHarness, kind: str, seed: int) -> None:
    chance = random.Random(seed)
    sent: dict[str, list[int]] = {key: [] for key in KEYS}
    async with harness(Ledger, work, duplicates=seed % 2 == 1, settings=Settings(grace=timedelta(0))) as bus:
        for _ in range(STEPS.get(kind, STEPS_ON_SERVERS)):
            await one_step(bus, chance, sent)
        bus.clock.advance(timedelta(seconds=20))
        await bus.advance(timedelta(days=1))

        for key, numbers in sent.items():
            record = await bus.record(Ledger, key)
            if record is None:
                assert numbers == []
                continue
            state = record.state
            assert (state.noted_, state.echoed) == (numbers, numbers)
            assert state.beats >= 1
        assert sorted(do.number for do in bus.sent.of(Do)) == list(range(len(bus.sent)))
        assert await bus.dead_letters() == []
        assert all(not (count.ready or count.retrying or count.stashed) for count in await bus.bus.counts())
