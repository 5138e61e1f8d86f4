"""The course of a demonstration: publish all up to three times, kill workers while they work, wait until nothing is
left.

Before it comes what is to be published (`orders` or `replay`), behind it the audit.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from sagabus import Bus, Receipt
from sagabus.cli.demonstration.crew import Crew, Hand
from sagabus.cli.demonstration.show import Show
from sagabus.errors import SagaBusError

T = TypeVar("T")

_MOMENT = 0.02
_NO_WORK = 5.0
"""How long to wait for work in flight before a kill is given up as one that hits an idle worker."""
_NO_PROGRESS = 60.0
_NO_STORE = 30.0
_GROUP = 40


class Publication(NamedTuple):
    """One call of publish."""

    message: object
    message_id: str


def with_copies(originals: Sequence[tuple[Publication, int]], chance: random.Random) -> list[Publication]:
    """Every publication as often as it says: the first in order, half of the copies soon after, half any time later."""
    placed: list[tuple[float, Publication]] = []
    for index, (publication, count) in enumerate(originals):
        placed.append((index, publication))
        for _ in range(count - 1):
            latest = len(originals) if chance.random() < 0.5 else index + 3
            placed.append((chance.uniform(index + 0.001, latest), publication))
    return [publication for _, publication in sorted(placed, key=lambda pair: pair[0])]


class Course:
    """One demonstration on its way, and what has happened in it so far."""

    def __init__(self, bus: Bus, crew: Crew, channels: Sequence[str], chance: random.Random, show: Show) -> None:
        self._bus = bus
        self._crew = crew
        self._channels = frozenset(channels)
        self._chance = chance
        self._show = show
        self.published = 0
        self.duplicates = 0
        """Publications that were told to be copies."""
        self.kills = 0
        self.kills_mid_work = 0
        self.kills_mid_commit = 0

    async def run(self, publications: Sequence[Publication], kills: int) -> None:
        """Publish all, kill so many times, and return when all has been worked off (or nothing moves any more)."""
        await self._crew.start()
        share = -(-len(publications) // (kills + 1))
        for number in range(kills + 1):
            part = publications[number * share : (number + 1) * share]
            await self._play(part, strike=number < kills)
        await self._drained()
        await self._crew.dismiss()

    async def _play(self, part: Sequence[Publication], *, strike: bool) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                publishing = tasks.create_task(self._publish(part))
                if strike:
                    tasks.create_task(self._strike(publishing))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from group  # one reason is what a person can read

    async def _publish(self, publications: Sequence[Publication]) -> None:
        start = 0
        while start < len(publications):
            group = list(publications[start : start + self._chance.randint(1, _GROUP)])
            receipts = await _persistently(partial(self._bus.publish_many, group))
            self._count(receipts)
            start += len(group)

    def _count(self, receipts: Sequence[Receipt]) -> None:
        self.published += len(receipts)
        self.duplicates += sum(not receipt.accepted for receipt in receipts)
        self._show.published(self.published)

    async def _strike(self, publishing: asyncio.Task[None]) -> None:
        """Kill a worker at a random moment at which it has work in flight, and put another in its place."""
        victim = await self._victim(publishing)
        cut = await self._crew.kill(victim)
        self.kills += 1
        self.kills_mid_work += cut.in_flight > 0
        self.kills_mid_commit += cut.committing > 0
        self._show.killed(victim.number, victim.process.pid, cut)
        await self._crew.hire()

    async def _victim(self, publishing: asyncio.Task[None]) -> Hand:
        """One that has work in flight; anyone when all work is done, or when none is taken up for long."""
        end = time.monotonic() + _NO_WORK
        while time.monotonic() < end:
            await asyncio.sleep(self._chance.uniform(0, _MOMENT))
            if (found := self._crew.busy(self._chance)) is not None:
                return found
            if publishing.done() and not await self.left():
                break
        return self._chance.choice(self._crew.living)

    async def _drained(self) -> None:
        before, since = (-1, -1), time.monotonic()
        while left := await self.left():
            self._crew.check()
            if (left, self._crew.runs) != before:
                before, since = (left, self._crew.runs), time.monotonic()
            elif time.monotonic() - since > _NO_PROGRESS:
                return  # the audit says what is missing
            await asyncio.sleep(0.05)

    async def left(self) -> int:
        """Messages still to be handled, timers not among them."""
        counts = [count for count in await self._bus.counts() if count.channel in self._channels]
        return sum(count.ready + count.scheduled + count.retrying + count.stashed for count in counts)


async def _persistently(call: Callable[[], Awaitable[T]]) -> T:
    """Call until the store has answered: errors that may pass are waited out, as by any sender, with the same ids."""
    end = time.monotonic() + _NO_STORE
    while True:
        try:
            return await call()
        except SagaBusError as error:
            if not error.is_transient or time.monotonic() > end:
                raise
            await asyncio.sleep(0.05)
