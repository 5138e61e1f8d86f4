"""The course of a demonstration: publish all up to three times, kill workers (and servers) while they work, wait until
nothing is left.

Before it comes what is to be published (`orders` or `replay`), behind it the audit.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, Protocol

from sagabus import Bus, Receipt
from sagabus.cli.demonstration.patience import persistently
from sagabus.cli.demonstration.report import Show
from sagabus.cli.demonstration.target import OwnServer
from sagabus.cli.demonstration.worker_processes import Crew


class Blow(Protocol):
    """Something that kills; returns whether it has. It kills idle workers only if it may."""

    async def __call__(self, *, idle: bool) -> bool:
        """Strike."""
        ...


_MOMENT = 0.02
_NO_WORK = 5.0
"""How long to wait for work in flight before a kill is put off."""
_NO_PROGRESS = 60.0
_GROUP = 40
_LONGEST_OUTAGE = 1.5
"""For how long an ended server stays away at most: some leases end meanwhile, some do not."""


@dataclass(slots=True)
class Outages:
    """A server that is ended and started again, and how often it was."""

    what: str
    """What it is called."""
    server: OwnServer | None
    """None where there is none of the demonstration's own."""
    wanted: int
    done: int = 0
    mid_work: int = 0
    """How many of them hit work in flight."""


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

    def __init__(
        self, bus: Bus, crew: Crew, left: Callable[[], Awaitable[int]], chance: random.Random, show: Show
    ) -> None:
        """`left`: how much there is still to do, messages and timers."""
        self._bus = bus
        self._crew = crew
        self._left = left
        self._chance = chance
        self._show = show
        self._due: list[Blow] = []
        self.published = 0
        self.duplicates = 0
        """Publications that were recognised as copies."""
        self.kills = 0
        self.kills_mid_work = 0
        self.kills_mid_commit = 0

    async def run(self, publications: Sequence[Publication], kills: int, outages: Sequence[Outages] = ()) -> None:
        """Publish all, strike so many times, and return when all has been worked off (or nothing moves any more).

        The crew has started, and is dismissed.
        """
        blows: list[Blow] = [self._kill] * kills
        for each in outages:
            blows += [] if each.server is None else [partial(self._restart, each, each.server)] * each.wanted
        self._chance.shuffle(blows)
        share = -(-len(publications) // (len(blows) + 1))
        for number, blow in enumerate([*blows, None]):
            self._due += [] if blow is None else [blow]
            await self._play(publications[number * share : (number + 1) * share])
        while self._due:
            await self._due.pop()(idle=True)
        await self._drained()
        await self._crew.dismiss()

    async def _play(self, part: Sequence[Publication]) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                publishing = tasks.create_task(self._publish(part))
                tasks.create_task(self._strike(publishing))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from group  # one reason is what a person can read

    async def _publish(self, publications: Sequence[Publication]) -> None:
        start = 0
        while start < len(publications):
            group = list(publications[start : start + self._chance.randint(1, _GROUP)])
            receipts = await persistently(partial(self._bus.publish_many, group))
            self._count(receipts)
            start += len(group)

    def _count(self, receipts: Sequence[Receipt]) -> None:
        self.published += len(receipts)
        self.duplicates += sum(not receipt.accepted for receipt in receipts)
        self._show.published(self.published)

    async def _strike(self, publishing: asyncio.Task[None]) -> None:
        """Strike what is due, at random moments at which work is in flight; what finds none for long stays due."""
        end = time.monotonic() + _NO_WORK
        while self._due and time.monotonic() < end:
            await asyncio.sleep(self._chance.uniform(0, _MOMENT))
            if self._crew.busy():
                if await self._due[-1](idle=False):
                    self._due.pop()
            elif publishing.done() and not await self._left():
                return

    async def _kill(self, *, idle: bool) -> bool:
        """Kill a worker that is caught with work in flight, and put another in its place."""
        victim = await self._crew.catch(self._chance)
        if victim is None:
            if not idle:
                return False
            victim = self._chance.choice(self._crew.next_victims)
        cut = await self._crew.kill(victim)
        self.kills += 1
        self.kills_mid_work += cut.in_flight > 0
        self.kills_mid_commit += cut.committing > 0
        self._show.killed(str(victim), victim.process.pid, cut)
        await self._crew.hire(victim.team)
        return True

    async def _restart(self, outages: Outages, server: OwnServer, *, idle: bool) -> bool:
        """End a server, without warning more often than not, and start it again after a while."""
        how: Literal["killed", "stopped"] = "killed" if self._chance.random() < 0.7 else "stopped"
        cut = self._crew.work  # before: without a server no commit is under way for long
        if not cut.in_flight and not idle:
            return False
        await server.end(how)
        await asyncio.sleep(self._chance.uniform(0, _LONGEST_OUTAGE))
        await server.start()
        outages.done += 1
        outages.mid_work += cut.in_flight > 0
        self._show.restarted(how, outages.what, cut)
        return True

    async def _drained(self) -> None:
        before, since = (-1, -1), time.monotonic()
        while left := await self._left():
            self._crew.check()
            if (left, self._crew.runs) != before:
                before, since = (left, self._crew.runs), time.monotonic()
            elif time.monotonic() - since > _NO_PROGRESS:
                return  # the audit says what is missing
            await asyncio.sleep(0.05)
