"""Two services with a store each: `shop` sends numbers under some keys, and `books` notes every number that reaches it.

The oracle is what the books say: each number once, and those of a key in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import field
from datetime import timedelta
from typing import Any, NamedTuple

from tests.scenarios.shop import Do, Noted
from tests.support.waiting import until

from sagabus import Bus, Context, Saga, Settings, handles, starts
from sagabus.transport import Transport

KEYS = [f"k{number}" for number in range(5)]
LEASE = timedelta(seconds=1)


class Ledger(Saga, name="ledger", key="key"):
    """Notes every number that reaches it, copies too."""

    key: str
    numbers: list[int] = field(default_factory=list)

    @starts
    @handles
    def noted(self, message: Noted) -> None:
        self.numbers.append(message.number)


class Relay(Saga, name="relay", key="key"):
    """Sends on what it is asked for: its events leave with its key."""

    key: str
    asked: int = 0

    @starts
    @handles
    def do(self, message: Do, ctx: Context) -> None:
        self.asked += 1
        ctx.publish(Noted(key=self.key, number=message.number))


def books(store: Any, transport: Transport | str, **options: Any) -> Bus:
    return Bus(store, Ledger, transport=transport, service="books", settings=Settings(lease=LEASE), **options)


def shop(store: Any, transport: Transport | str, **options: Any) -> Bus:
    return Bus(store, Relay, transport=transport, service="shop", settings=Settings(lease=LEASE), **options)


class Pair(NamedTuple):
    """Both of them, open."""

    relay: Bus
    ledger: Bus

    async def ask(self, numbers: Sequence[int], keys: Sequence[str] = KEYS) -> None:
        """Have the relay send these numbers under each key."""
        await ask(self.relay, numbers, keys)

    async def have(self, count: int, keys: Sequence[str] = KEYS, timeout: float = 30) -> float:
        """Wait until the books have so many numbers of each key; how long that took."""
        return await until(have(self.ledger, count, keys), timeout, every=0.01)

    async def check(self, count: int, keys: Sequence[str] = KEYS) -> None:
        """Each number once, in order; nothing has failed, and nothing waits."""
        await check(self.ledger, count, keys)
        await until(lambda: is_empty(self.relay), every=0.01)
        for bus in self:
            assert await bus.dead_letters.list() == []


@asynccontextmanager
async def pair(stores: Sequence[Any], transport: Callable[[], Transport], **options: Any) -> AsyncIterator[Pair]:
    """Open both, the books first."""
    ledger, relay = books(stores[0], transport(), **options), shop(stores[1], transport(), **options)
    async with ledger, relay:
        yield Pair(relay, ledger)


async def ask(relay: Bus, numbers: Sequence[int], keys: Sequence[str] = KEYS) -> None:
    await relay.publish_many(Do(key=key, number=number) for number in numbers for key in keys)


async def noted(ledger: Bus, key: str) -> list[int]:
    record = await ledger.sagas.get(Ledger, key)
    return [] if record is None else record.state.numbers


def have(ledger: Bus, count: int, keys: Sequence[str] = KEYS) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return all([len(await noted(ledger, key)) >= count for key in keys])

    return holds


async def check(ledger: Bus, count: int, keys: Sequence[str] = KEYS) -> None:
    assert {key: await noted(ledger, key) for key in keys} == {key: list(range(count)) for key in keys}


async def is_empty(bus: Bus) -> bool:
    return not any(counts.waiting for counts in await bus.counts())


# --- programs for processes of their own --------------------------------------------------------------------------


async def keep_books(store: str, broker: str) -> None:
    """Note what comes until the process ends."""
    async with books(store, broker):
        print("open", flush=True)
        await asyncio.get_running_loop().create_future()


async def keep_shop(store: str, broker: str) -> None:
    """Relay what the store has until the process ends."""
    async with shop(store, broker):
        print("open", flush=True)
        await asyncio.get_running_loop().create_future()
