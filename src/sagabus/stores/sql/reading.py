"""What is read: due envelopes, instances, and the read-only questions."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from sagabus.envelope import DeadLetter, Envelope, Recorded
from sagabus.store import Cursor, Fetched, Loaded
from sagabus.store.inspection import ChannelCounts, InstancePage, RecordsSeen, WorkerSeen
from sagabus.store.loud import Sift
from sagabus.store.survey import SCANNED, WantedLetters
from sagabus.stores.lane_shares import declared_types
from sagabus.stores.running_text import running_of
from sagabus.stores.sql import rows
from sagabus.stores.sql.loud_keys import padded
from sagabus.stores.sql.steps import Query, Steps

_LAST = 2**63 - 1
"""No row has a higher id."""


def fetch(cursors: Sequence[Cursor], limit: int, now: int) -> Steps[Fetched]:
    """Due envelopes of the lanes and the time until the next one."""
    lanes = [(cursor.channel, cursor.lane, cursor.after) for cursor in cursors]
    ready = (yield Query("ready", (limit,), lanes)).rows
    due = (yield Query("due", (limit, now), lanes)).rows
    upcoming: int | None = (yield Query("next_due", (now,), lanes)).value
    found = sorted([*ready, *due], key=itemgetter(0))
    crew: int = (yield Query("crew", (now,))).value or 0
    return Fetched(tuple(map(rows.envelope_of, found)), None if upcoming is None else upcoming - now, crew=crew)


def sift(sift: Sift, limit: int, now: int) -> Steps[Fetched]:
    """The same of one lane, for some of its keys. What is last is asked first: it is not past what is found then."""
    place = (sift.channel, sift.lane)
    last: int = (yield Query("last_ready", place)).value or 0
    if sift.only is not None:
        ready = (yield Query("ready_of_key", (*place, sift.after, limit, sift.only))).rows
        return Fetched(tuple(map(rows.envelope_of, ready)), None, reached=last)
    ready = (yield Query("ready_of_others", (*place, sift.after, limit, *padded(sift.without)))).rows
    due = (yield Query("due", (limit, now), [(*place, sift.after)])).rows
    upcoming: int | None = (yield Query("next_due", (now,), [(*place, sift.after)])).value
    found = sorted([*ready, *due], key=itemgetter(0))
    until = None if upcoming is None else upcoming - now
    return Fetched(tuple(map(rows.envelope_of, found)), until, reached=last)


def load(saga: str, keys: Sequence[str]) -> Steps[list[Loaded]]:
    """Instances and stashed messages by key, in the order asked."""
    asked = [(key,) for key in keys]
    found = map(rows.instance_of, (yield Query("instances", (saga,), asked)).rows)
    instances = {instance.key: instance for instance in found}
    stashed: dict[str | None, list[Envelope]] = {}
    for row in (yield Query("stashed", (saga,), asked)).rows:
        stashed.setdefault(row[6], []).append(rows.envelope_of(row))
    return [Loaded(key, instances.get(key), tuple(stashed.get(key, ()))) for key in keys]


def due(channels: Sequence[str], now: int) -> Steps[bool]:
    """Whether anything could run now."""
    return bool((yield Query("anything_due", (now,), [(channel,) for channel in channels])).value)


def counts(now: int) -> Steps[list[ChannelCounts]]:
    """How much waits in each channel."""
    return [ChannelCounts(row[0], *map(int, row[1:])) for row in (yield Query("counts", (now,))).rows]


def workers(now: int) -> Steps[list[WorkerSeen]]:
    """The live workers of each channel."""
    found = (yield Query("workers", (now,))).rows
    return [
        WorkerSeen(
            *(worker, channel, int(lanes), expires_at, declared_types(knows), lease, now - (expires_at - lease)),
            *running_of(running, now),
            version or None,
        )
        for worker, channel, lanes, expires_at, knows, lease, running, version in found
    ]


def instances(saga: str, status: str | None, after: str, limit: int) -> Steps[InstancePage]:
    """A page of a saga's instances by key."""
    last: str | None = None
    if status is not None:  # no index serves it
        last = (yield Query("instance_behind", (saga, after, SCANNED - 1))).value
    asked = (saga, after, status, limit, last)
    found = tuple(map(rows.instance_of, (yield Query("instance_page", asked)).rows))
    return InstancePage(found, found[-1].key if len(found) == limit else last)


def history(saga: str, key: str, after: int, limit: int) -> Steps[list[Recorded]]:
    """A page of an instance's recorded transitions by position."""
    return list(map(rows.recorded_of, (yield Query("history_page", (saga, key, after, limit))).rows))


def envelopes(channel: str, key: str | None, limit: int, *, timers: bool = False) -> Steps[list[Envelope]]:
    """A page of a channel's envelopes by position."""
    return list(map(rows.envelope_of, (yield Query("envelope_page", (channel, key, limit, int(timers)))).rows))


def dead_letters(wanted: WantedLetters, after: int, limit: int, *, bodies: bool = True) -> Steps[list[DeadLetter]]:
    """A page of dead letters by id."""
    name = "letter_page" if bodies else "letter_heads"
    before = _LAST if wanted.before is None else wanted.before
    asked = (after, before, wanted.channel, wanted.since, wanted.until, limit)
    query = Query(name, asked) if wanted.status is None else Query(f"{name}_of_status", (*asked, wanted.status))
    return list(map(rows.letter_of, (yield query).rows))


def letter_stop(status: str | None, after: int) -> Steps[int | None]:
    """The first letter that a filter does not look at."""
    if status is None:
        found = yield Query("letter_stop", (after, SCANNED))
    else:
        found = yield Query("letter_stop_of_status", (after, SCANNED, status))
    stop: int | None = found.value
    return stop


def last_letter() -> Steps[int]:
    """The highest id of a dead letter; 0 without any."""
    last: int | None = (yield Query("any_letter_at", (0,))).value
    return last or 0


def dead_letter(letter: int, *, bodies: bool = True) -> Steps[DeadLetter | None]:
    """One dead letter."""
    found = yield from dead_letters(WantedLetters(status=None), letter - 1, 1, bodies=bodies)
    return found[0] if found and found[0].id == letter else None


def records(channel: str, ids: Sequence[str]) -> Steps[RecordsSeen]:
    """Which of the ids have a record, and the horizon.

    The horizon is read last: it rises in the transaction in which records go, so what has gone before is below it.
    """
    asked = [(channel, each) for each in dict.fromkeys(ids)]
    found = (yield Query("known", rows=asked)).rows if asked else ()
    horizon: int | None = (yield Query("horizon_of", (channel,))).value
    return RecordsSeen(frozenset(row[1] for row in found), horizon or 0)
