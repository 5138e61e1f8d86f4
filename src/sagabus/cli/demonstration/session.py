"""What both demonstrations have in common: the bus that publishes, the crew, the course, and the figures that come of
it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from sagabus import Bus, Saga
from sagabus.cli.demonstration.patience import persistently
from sagabus.cli.demonstration.report import Show
from sagabus.cli.demonstration.schedule import Course, Publication
from sagabus.cli.demonstration.target import Venue
from sagabus.cli.demonstration.worker_processes import Crew
from sagabus.cli.text import printable
from sagabus.testing.campaign.oracle import Audit

S = TypeVar("S", bound=Saga)

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Setting:
    """What was asked for."""

    venue: Venue
    folder: Path
    """For what the workers leave outside the store."""
    process: str
    kills: int
    restarts: int
    seed: int
    console: Console
    """Where progress is shown."""


@dataclass(frozen=True, slots=True)
class Result:
    """What happened on the way, and the verdict on what was left."""

    orders: int
    published: int
    duplicates_sent: int
    duplicates_dropped: int
    kills: int
    kills_mid_work: int
    kills_mid_commit: int
    restarts: int
    restarts_mid_work: int
    interrupted: int
    runs: int
    seconds: float
    seed: int
    audit: Audit

    @property
    def is_good(self) -> bool:
        """Nothing lost, nothing doubled; and the kills and restarts, if any, proved something."""
        return self.audit.is_clean and not self.proves_nothing

    @property
    def proves_nothing(self) -> bool:
        """Whether all kills, or all restarts, met idle workers."""
        return bool((self.kills and not self.kills_mid_work) or (self.restarts and not self.restarts_mid_work))

    def figures(self) -> dict[str, object]:
        """For scripts."""
        audit, difference = self.audit, self.audit.difference
        return {
            "orders": self.orders,
            "published": self.published,
            "duplicates_sent": self.duplicates_sent,
            "duplicates_dropped": self.duplicates_dropped,
            "kills": self.kills,
            "kills_mid_work": self.kills_mid_work,
            "kills_mid_commit": self.kills_mid_commit,
            "restarts": self.restarts,
            "restarts_mid_work": self.restarts_mid_work,
            "runs": self.runs,
            "runs_interrupted": self.interrupted,
            "completed": audit.completed,
            "lost": difference.lost,
            "doubled": difference.doubled,
            "phantom": difference.phantom,
            "torn": audit.torn,
            "wrong_states": audit.wrong_states,
            "dead_letters": len(audit.dead_letters),
            "left": audit.left,
            "seconds": round(self.seconds, 3),
            "seed": self.seed,
            "ok": self.is_good,
        }


@dataclass(frozen=True, slots=True)
class Piece:
    """What is played: what to publish, where it goes, and how to see what came of it."""

    originals: int
    publications: Sequence[Publication]
    channels: Sequence[str]
    what: str
    """What the last effects are called."""
    expected: int
    """How many of them there must be in the end."""
    effects: Callable[[], Awaitable[int]]
    """How many of them there are now."""
    audit: Callable[[], Awaitable[Audit]]


async def play(bus: Bus, setting: Setting, piece: Piece) -> Result:
    """Run the course with a crew and its progress on show, then audit; no worker is left, however this ends."""
    began = time.monotonic()
    venue = setting.venue
    crew = Crew(venue.url, setting.process, setting.folder, lease=venue.lease)
    with Show(setting.console, len(piece.publications), piece.expected, piece.what) as show:
        chance = random.Random(f"course {setting.seed}")  # noqa: S311  # repeatable on purpose
        course = Course(bus, crew, piece.channels, chance, show)
        watching = asyncio.create_task(_watch(show, piece.effects))
        try:
            await course.run(piece.publications, setting.kills, venue.server, setting.restarts)
        finally:
            watching.cancel()
            await crew.end()
            await asyncio.gather(watching, return_exceptions=True)  # it only showed how far it was
    audit = await persistently(lambda: _audited(bus, piece))
    return Result(
        orders=piece.originals,
        published=course.published,
        duplicates_sent=course.published - len({publication.message_id for publication in piece.publications}),
        duplicates_dropped=course.duplicates,
        kills=course.kills,
        kills_mid_work=course.kills_mid_work,
        kills_mid_commit=course.kills_mid_commit,
        restarts=course.restarts,
        restarts_mid_work=course.restarts_mid_work,
        interrupted=crew.interrupted,
        runs=crew.runs,
        seconds=time.monotonic() - began,
        seed=setting.seed,
        audit=audit,
    )


async def _watch(show: Show, effects: Callable[[], Awaitable[int]]) -> None:
    while True:
        show.took_effect(await effects())
        await asyncio.sleep(0.2)


async def _audited(bus: Bus, piece: Piece) -> Audit:
    audit = await piece.audit()
    audit.left = await _left(bus, piece.channels)
    audit.dead_letters = await _dead_letters(bus, piece.channels)
    return audit


async def _left(bus: Bus, channels: Iterable[str]) -> int:
    return sum(count.waiting for count in await bus.counts() if count.channel in channels)


async def _dead_letters(bus: Bus, channels: Iterable[str]) -> list[str]:
    found: list[str] = []
    for channel in channels:
        letters = await bus.dead_letters.list(channel)
        found += [f"{channel}: {printable(one.envelope.message_id)}: {printable(one.reason)}" for one in letters]
    return found


async def all_states(bus: Bus, name: str, saga: type[S]) -> dict[str, S]:
    """Every instance of the saga of this name by key, finished ones among them."""
    states: dict[str, S] = {}
    after = ""
    while page := await bus.sagas.list(name, after=after, limit=_PAGE):
        for record in page:
            if isinstance(record.state, saga):
                states[record.key] = record.state
        after = page[-1].key
    return states
