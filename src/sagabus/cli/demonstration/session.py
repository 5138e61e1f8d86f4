"""What all demonstrations have in common: the bus that publishes, the crew, the course, and the figures that come of
it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from rich.console import Console

from sagabus import Bus, Saga
from sagabus.cli.demonstration.patience import persistently
from sagabus.cli.demonstration.report import Show
from sagabus.cli.demonstration.schedule import Course, Outages, Publication
from sagabus.cli.demonstration.target import OwnServer, Venue
from sagabus.cli.demonstration.worker_processes import Crew, Team
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
    kills: int
    restarts: int
    """Of each private server."""
    seed: int
    console: Console
    """Where progress is shown."""


class BrokerFigures(NamedTuple):
    """What the broker did."""

    restarts: int
    restarts_mid_work: int
    redelivered: int
    dropped_copies: int


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
    broker: BrokerFigures | None = None

    @property
    def is_good(self) -> bool:
        """Nothing lost, nothing doubled; and the kills and restarts, if any, proved something."""
        return self.audit.is_clean and not self.proves_nothing

    @property
    def proves_nothing(self) -> bool:
        """Whether all kills, or all restarts, met idle workers."""
        blows = [(self.kills, self.kills_mid_work), (self.restarts, self.restarts_mid_work)]
        blows += [] if self.broker is None else [(self.broker.restarts, self.broker.restarts_mid_work)]
        return any(struck and not hit for struck, hit in blows)

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
            **self._broker_figures(),
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

    def _broker_figures(self) -> dict[str, int]:
        if self.broker is None:
            return {}
        return {
            "broker_restarts": self.broker.restarts,
            "broker_restarts_mid_work": self.broker.restarts_mid_work,
            "redelivered": self.broker.redelivered,
            "dropped_copies": self.broker.dropped_copies,
        }


class Played(NamedTuple):
    """One store of a demonstration: a bus on it that handles nothing, and the channels that must come to be empty."""

    bus: Bus
    channels: Sequence[str]


@dataclass(frozen=True, slots=True)
class Piece:
    """What is played: what to publish, where it goes, and how to see what came of it."""

    originals: int
    publications: Sequence[Publication]
    teams: Sequence[Team]
    played: Sequence[Played]
    """The first one publishes."""
    what: str
    """What the last effects are called."""
    expected: int
    """How many of them there must be in the end."""
    effects: Callable[[], Awaitable[int]]
    """How many of them there are now."""
    audit: Callable[[], Awaitable[Audit]]
    broker: OwnServer | None = None
    """A private broker, to be ended and started again."""
    prepare: Callable[[], Awaitable[None]] | None = None
    """What is to be done when the workers have started, before the first publication."""

    @property
    def crosses_a_broker(self) -> bool:
        """Whether there are messages in no store at times."""
        return any(team.transport is not None for team in self.teams)


async def play(setting: Setting, piece: Piece) -> Result:
    """Run the course with a crew and its progress on show, then audit; no worker is left, however this ends."""
    began = time.monotonic()
    crew = Crew(piece.teams, setting.folder)
    stores = Outages("server", setting.venue.server, setting.restarts)
    brokers = Outages("broker", piece.broker, setting.restarts)
    with Show(setting.console, len(piece.publications), piece.expected, piece.what) as show:
        chance = random.Random(f"course {setting.seed}")  # noqa: S311  # repeatable on purpose
        course = Course(piece.played[0].bus, crew, partial(_to_do, piece), chance, show)
        watching = asyncio.create_task(_watch(show, piece.effects))
        try:
            await crew.start()
            if piece.prepare is not None:
                await piece.prepare()
            await course.run(piece.publications, setting.kills, [stores, brokers])
        finally:
            watching.cancel()
            await crew.end()
            await asyncio.gather(watching, return_exceptions=True)  # it only showed how far it was
    audit = await persistently(partial(_audited, piece))
    work = crew.all_work
    broker = BrokerFigures(brokers.done, brokers.mid_work, work.redelivered, work.dropped)
    return Result(
        orders=piece.originals,
        published=course.published,
        duplicates_sent=course.published - len({publication.message_id for publication in piece.publications}),
        duplicates_dropped=course.duplicates,
        kills=course.kills,
        kills_mid_work=course.kills_mid_work,
        kills_mid_commit=course.kills_mid_commit,
        restarts=stores.done,
        restarts_mid_work=stores.mid_work,
        interrupted=crew.interrupted,
        runs=work.begun,
        seconds=time.monotonic() - began,
        seed=setting.seed,
        audit=audit,
        broker=broker if piece.crosses_a_broker else None,
    )


async def _watch(show: Show, effects: Callable[[], Awaitable[int]]) -> None:
    while True:
        show.took_effect(await effects())
        await asyncio.sleep(0.2)


async def _to_do(piece: Piece) -> int:
    """What waits, and with a broker also the effects that are missing: their messages may be in no store just now.

    Those are counted first. Once all effects are there, nothing new comes to a store.
    """
    missing = piece.expected - await piece.effects() if piece.crosses_a_broker else 0
    return max(missing, 0) + await persistently(partial(_left, piece))


async def _audited(piece: Piece) -> Audit:
    audit = await piece.audit()
    audit.left = await _left(piece)
    audit.dead_letters = await _dead_letters(piece)
    return audit


async def _left(piece: Piece) -> int:
    """Messages still to be handled or sent, and timers: those of an order that is done have fired or are cancelled."""
    return sum(
        [count.waiting for bus, channels in piece.played for count in await bus.counts() if count.channel in channels]
    )


async def _dead_letters(piece: Piece) -> list[str]:
    found: list[str] = []
    for bus, channels in piece.played:
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
