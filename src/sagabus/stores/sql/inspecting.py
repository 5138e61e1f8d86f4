"""The read-only side of a store on any SQL database: what a worker asks, what tools list, and bounded looks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from sagabus.clock import Clock
from sagabus.envelope import DeadLetter, Envelope, Recorded
from sagabus.store.examination import NAMED, Conditions, Fault, FaultKind, StillPage
from sagabus.store.inspection import ChannelCounts, InstancePage, RecordsSeen, WorkerSeen, check_number_of_ids
from sagabus.store.journal import JOURNAL_BEGIN, JournalMark, JournalRow
from sagabus.store.mending import AuditsSeen, Paused, WantedAudits
from sagabus.store.survey import (
    BEGIN,
    LONGEST_LOOK,
    Backlog,
    KeySeen,
    LaneCount,
    LetterCounts,
    LettersSeen,
    Mark,
    WaitingPage,
    Wanted,
    WantedLetters,
)
from sagabus.stores.sql import examination, mending, reading, surveying, walking
from sagabus.stores.sql.steps import Steps

T = TypeVar("T")


class Reads(Protocol):
    """Runs logic that only reads."""

    async def __call__(self, steps: Steps[T]) -> T:
        """What it came to."""
        ...


class Looks(Protocol):
    """Runs logic that only reads, apart from the work of the store."""

    async def __call__(self, steps: Steps[T], seconds: float | None = None) -> T:
        """What it came to, at the latest after so many seconds."""
        ...


class SqlSurvey:
    """See `sagabus.store.survey.Survey`."""

    def __init__(self, looks: Looks, clock: Clock) -> None:
        self._looks = looks
        self._clock = clock

    async def channels(self) -> Sequence[str]:
        """Every channel that there is."""
        return await self._looks(surveying.channels(), LONGEST_LOOK)

    async def backlog(self, channel: str) -> Backlog:
        """What waits in a channel."""
        return await self._looks(surveying.backlog(channel, self._clock.now()), LONGEST_LOOK)

    async def waiting(self, wanted: Wanted, *, after: Mark = BEGIN, limit: int = 100) -> WaitingPage:
        """A page of stored envelopes."""
        return await self._looks(walking.waiting(wanted, after, limit, self._clock.now()), LONGEST_LOOK)

    async def key(self, channel: str, key: str) -> KeySeen:
        """What decides whether messages of a key may run."""
        return await self._looks(walking.key(channel, key, self._clock.now()), LONGEST_LOOK)

    async def journal(
        self, correlation_id: str, *, after: JournalMark = JOURNAL_BEGIN, limit: int = 100
    ) -> Sequence[JournalRow]:
        """A page of the journal's rows of one conversation."""
        return await self._looks(surveying.journal(correlation_id, after, limit), LONGEST_LOOK)

    async def letters(self, correlation_id: str) -> LettersSeen:
        """The dead letters of one conversation."""
        return await self._looks(surveying.letters(correlation_id), LONGEST_LOOK)

    async def letter_counts(self) -> LetterCounts:
        """The open dead letters by channel and cause."""
        return await self._looks(surveying.letter_counts(), LONGEST_LOOK)

    async def lane_counts(self) -> Sequence[LaneCount]:
        """The lanes of each channel."""
        return await self._looks(surveying.lane_counts(self._clock.now()), LONGEST_LOOK)

    async def sizes(self) -> Mapping[str, int]:
        """Bytes on disk."""
        return await self._looks(surveying.sizes(), LONGEST_LOOK)


class SqlExamination:
    """See `sagabus.store.examination.Examination`."""

    def __init__(self, looks: Looks, clock: Clock, conditions: Callable[[], Awaitable[Conditions]]) -> None:
        self._looks = looks
        self._clock = clock
        self._conditions = conditions

    async def faults(self, kind: FaultKind) -> Sequence[Fault]:
        """Faults of one kind."""
        return await self._looks(examination.faults(kind, self._clock.now()), LONGEST_LOOK)

    async def recent_letters(self, span: int) -> Mapping[str, int]:
        """How many open dead letters failed within so long, by channel."""
        return await self._looks(examination.recent_letters(self._clock.now() - span), LONGEST_LOOK)

    async def unchanged(
        self, saga: str, span: int, *, status: str | None = None, after: str = "", limit: int = NAMED
    ) -> StillPage:
        """Live instances that have not changed for so long."""
        steps = examination.unchanged(saga, span, status, after=after, limit=limit, now=self._clock.now())
        return await self._looks(steps, LONGEST_LOOK)

    async def conditions(self) -> Conditions:
        """What the store works with."""
        return await self._conditions()


class SqlInspection(SqlSurvey, SqlExamination):
    """See `sagabus.store.inspection.Inspection`."""

    def __init__(
        self, read: Reads, looks: Looks, clock: Clock, conditions: Callable[[], Awaitable[Conditions]]
    ) -> None:
        SqlSurvey.__init__(self, looks, clock)
        SqlExamination.__init__(self, looks, clock, conditions)
        self._read = read

    async def due(self, channels: Sequence[str]) -> bool:
        """Whether any envelope of the channels could run now."""
        return await self._read(reading.due(channels, self._clock.now()))

    async def counts(self) -> Sequence[ChannelCounts]:
        """How much waits in each channel."""
        return await self._looks(reading.counts(self._clock.now()))

    async def workers(self) -> Sequence[WorkerSeen]:
        """The live workers of each channel."""
        return await self._read(reading.workers(self._clock.now()))

    async def instances(
        self, saga: str, *, status: str | None = None, after: str = "", limit: int = 100
    ) -> InstancePage:
        """Instances of a saga by key."""
        return await self._looks(reading.instances(saga, status, after, limit), LONGEST_LOOK)

    async def history(self, saga: str, key: str, *, after: int = 0, limit: int = 100) -> Sequence[Recorded]:
        """The recorded transitions of an instance."""
        return await self._looks(reading.history(saga, key, after, limit), LONGEST_LOOK)

    async def envelopes(
        self, channel: str, *, key: str | None = None, timers: bool = False, limit: int = 100
    ) -> Sequence[Envelope]:
        """What is stored in a channel."""
        return await self._looks(reading.envelopes(channel, key, limit, timers=timers), LONGEST_LOOK)

    async def dead_letters(
        self,
        *,
        channel: str | None = None,
        status: str | None = "open",
        since: int | None = None,
        until: int | None = None,
        after: int = 0,
        before: int | None = None,
        limit: int = 100,
        bodies: bool = True,
    ) -> Sequence[DeadLetter]:
        """Dead letters by id."""
        wanted = WantedLetters(channel=channel, status=status, since=since, until=until, before=before)
        return await self._looks(reading.dead_letters(wanted, after, limit, bodies=bodies), LONGEST_LOOK)

    async def letter_stop(self, *, status: str | None = "open", after: int = 0) -> int | None:
        """The first letter that a filter does not look at."""
        return await self._looks(reading.letter_stop(status, after), LONGEST_LOOK)

    async def last_letter(self) -> int:
        """The highest id of a dead letter."""
        return await self._looks(reading.last_letter(), LONGEST_LOOK)

    async def dead_letter(self, letter: int, *, bodies: bool = True) -> DeadLetter | None:
        """One dead letter."""
        return await self._looks(reading.dead_letter(letter, bodies=bodies), LONGEST_LOOK)

    async def envelope(self, position: int) -> Envelope | None:
        """The envelope at a position."""
        return await self._looks(mending.envelope_at(position), LONGEST_LOOK)

    async def records(self, channel: str, ids: Sequence[str]) -> RecordsSeen:
        """Which of the message ids a channel has accepted."""
        check_number_of_ids(ids)
        return await self._looks(reading.records(channel, ids), LONGEST_LOOK)

    async def paused(self) -> Sequence[Paused]:
        """The paused channels."""
        return await self._looks(mending.paused(), LONGEST_LOOK)

    async def audits(
        self,
        *,
        channel: str | None = None,
        target: str | None = None,
        by: str | None = None,
        since: int | None = None,
        until: int | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> AuditsSeen:
        """Entries of the audit log."""
        wanted = WantedAudits(channel=channel, target=target, by=by, since=since, until=until, before=before)
        return await self._looks(mending.audits(wanted, limit), LONGEST_LOOK)
