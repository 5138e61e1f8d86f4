"""The read-only side of a memory store."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import islice

from msgspec.structs import replace

from sagabus.clock import Clock
from sagabus.envelope import DeadLetter, Envelope, Recorded
from sagabus.store.inspection import ChannelCounts, InstancePage, RecordsSeen, WorkerSeen, check_number_of_ids
from sagabus.store.mending import AuditsSeen, Paused, WantedAudits
from sagabus.store.survey import SCANNED
from sagabus.stores.lane_shares import declared_types
from sagabus.stores.memory.examination import MemoryExamination
from sagabus.stores.memory.surveying import MemorySurvey
from sagabus.stores.memory.tables import Tables
from sagabus.stores.process import own_version
from sagabus.stores.running_text import running_of


def _head(letter: DeadLetter) -> DeadLetter:
    return replace(letter, envelope=replace(letter.envelope, body=b""), traceback=None)


class MemoryInspection(MemorySurvey, MemoryExamination):
    """Answers are copies: nothing changes them afterwards."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    async def due(self, channels: Sequence[str]) -> bool:
        tables, queue, now = self._tables, self._tables.queue, self._clock.now()
        return any(
            not tables.is_held(envelope)
            for lane in queue.lanes(channels)
            for envelopes in (queue.at_once(*lane), queue.due_by(*lane, now))
            for envelope in envelopes
        )

    async def counts(self) -> Sequence[ChannelCounts]:
        kinds: defaultdict[str, Counter[str]] = defaultdict(Counter)
        oldest: dict[str, int] = {}
        now = self._clock.now()
        for _, channel in self._tables.subscriptions:
            kinds[channel]["ready"] += 0
        for envelope in self._tables.queue.envelopes.values():
            kind = self._kind(envelope, now)
            kinds[envelope.channel][kind] += 1
            if kind == "ready":
                oldest[envelope.channel] = min(envelope.sent_at, oldest.get(envelope.channel, now))
        for channel, _ in self._tables.holds:
            kinds[channel]["held"] += 1
        for row in self._tables.letters.values():
            kinds[row.letter.envelope.channel]["dead"] += row.letter.status == "open"
        return [
            ChannelCounts(channel=channel, oldest_ready_age=now - oldest.get(channel, now), **_known(kinds[channel]))
            for channel in sorted(kinds)
        ]

    def _kind(self, envelope: Envelope, now: int) -> str:
        if envelope.stashed:
            return "stashed"
        if envelope.due_at <= now:
            return "behind" if self._tables.is_held(envelope) else "ready"
        if envelope.failed_at is not None:
            return "retrying"
        return "timers" if envelope.timer is not None else "scheduled"

    async def workers(self) -> Sequence[WorkerSeen]:
        tables, now = self._tables, self._clock.now()
        owned = Counter((channel, row.owner) for (channel, _), row in tables.lanes.items())
        return [
            WorkerSeen(
                worker,
                channel,
                owned[channel, worker],
                expires_at,
                declared_types(tables.knowledge.get((channel, worker))),
                lease := tables.lease_lengths.get(worker, 0),
                now - (expires_at - lease),
                *running_of(tables.running.get((channel, worker)), now),
                own_version() or None,
            )
            for (channel, worker), expires_at in sorted(tables.workers.items())
            if expires_at >= now
        ]

    async def instances(
        self, saga: str, *, status: str | None = None, after: str = "", limit: int = 100
    ) -> InstancePage:
        rows = (row.instance for (name, key), row in self._tables.instances.items() if name == saga and key > after)
        looked = sorted(rows, key=lambda each: each.key)[: None if status is None else SCANNED]
        found = tuple(islice((each for each in looked if status in {None, each.status}), limit))
        last = looked[-1].key if status is not None and len(looked) == SCANNED else None
        return InstancePage(found, found[-1].key if len(found) == limit else last)

    async def history(self, saga: str, key: str, *, after: int = 0, limit: int = 100) -> Sequence[Recorded]:
        rows = self._tables.history.values()
        wanted = (each for each in rows if (each.saga, each.key) == (saga, key) and each.position > after)
        return sorted(wanted, key=lambda each: each.position)[:limit]

    async def envelopes(
        self, channel: str, *, key: str | None = None, timers: bool = False, limit: int = 100
    ) -> Sequence[Envelope]:
        stored = self._tables.queue.envelopes.values()
        wanted = (each for each in stored if each.channel == channel and key in {None, each.partition_key})
        wanted = (each for each in wanted if each.timer is not None or not timers)
        return sorted(wanted, key=lambda each: each.position)[:limit]

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
        letters = (row.letter for row in self._tables.letters.values())
        wanted = (
            each
            for each in letters
            if after < each.id
            and (before is None or each.id < before)
            and channel in {None, each.envelope.channel}
            and status in {None, each.status}
            and (since is None or each.last_failed_at >= since)
            and (until is None or each.last_failed_at < until)
        )
        found = sorted(wanted, key=lambda each: each.id)[:limit]
        return found if bodies else list(map(_head, found))

    async def letter_stop(self, *, status: str | None = "open", after: int = 0) -> int | None:
        letters = (row.letter for row in self._tables.letters.values())
        behind = sorted(each.id for each in letters if each.id > after and status in {None, each.status})
        return behind[SCANNED] if len(behind) > SCANNED else None

    async def last_letter(self) -> int:
        return max(self._tables.letters, default=0)

    async def dead_letter(self, letter: int, *, bodies: bool = True) -> DeadLetter | None:
        row = self._tables.letters.get(letter)
        if row is None:
            return None
        return row.letter if bodies else _head(row.letter)

    async def envelope(self, position: int) -> Envelope | None:
        return self._tables.queue.envelopes.get(position)

    async def records(self, channel: str, ids: Sequence[str]) -> RecordsSeen:
        check_number_of_ids(ids)
        tables = self._tables
        found = frozenset(each for each in ids if (channel, each) in tables.inbox)
        return RecordsSeen(found, tables.horizons.get(channel, 0))

    async def paused(self) -> Sequence[Paused]:
        return [row for _, row in sorted(self._tables.paused.items())]

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
        wanted = WantedAudits(channel=channel, target=target, by=by, since=since, until=until, before=before)
        found = filter(wanted.includes, self._tables.audits.values())
        return AuditsSeen(tuple(sorted(found, key=lambda each: -each.id)[:limit]))


def _known(kinds: Counter[str]) -> dict[str, int]:
    known = ("ready", "scheduled", "timers", "retrying", "stashed", "held", "dead", "behind")
    return {kind: kinds[kind] for kind in known}
