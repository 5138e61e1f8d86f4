"""What runs send goes from its commit to the next fetch of this process, past the file, where nothing stands before it.

That is so in lanes that were fetched to their end, and in which nothing else has come in since (see `quiet_lanes`).
What is here is stored as well, so to drop it is always right (decision 0023).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sagabus.envelope import Envelope
from sagabus.outcome import Completed
from sagabus.refs import LaneLike
from sagabus.store import Batch, Cursor
from sagabus.stores.sql.steps import Answer, Query, UserQuery
from sagabus.stores.sqlite.driver import Driver
from sagabus.stores.sqlite.quiet_lanes import Ends, QuietLanes
from sagabus.stores.sqlite.sets import Executor

_MOST = 8_000
_MOST_BYTES = 16 << 20
"""That much waits here at most, whatever the lanes have room for."""


class Noting:
    """Answers as an executor, and notes which envelopes a commit stored that took all of its outcomes, and where."""

    def __init__(self, execute: Executor, connection: Driver) -> None:
        self._execute = execute
        self._connection = connection
        self.envelopes: Sequence[Envelope] = ()
        """In the order of their positions."""
        self.last = 0
        """The position of the last of them."""
        self.may_hold = True
        """Whether a key may be held back in the store."""

    def __call__(self, ask: Query | UserQuery) -> Answer:
        """See `Executor`."""
        answer = self._execute(ask)
        if type(ask) is Query:
            if ask.name == "insert_envelopes":
                self.envelopes, self.last = ask.envelopes, self._connection.last_insert_rowid()
            elif ask.name == "any_held":
                self.may_hold = bool(answer.value)
        return answer


class Forwarding:
    """Messages that wait for the fetch that goes on in their lanes."""

    def __init__(self, quiet: QuietLanes) -> None:
        self._quiet = quiet
        self._waiting: dict[LaneLike, list[Envelope]] = {}
        self._count = self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def keep(self, noted: Noting) -> None:
        """Keep what a commit stored in quiet lanes; its other lanes have news."""
        sent, timed = _placed(noted)
        for place, same in sent.items():
            size = _size(same)
            is_full = self._count + len(same) > _MOST or self._bytes + size > _MOST_BYTES
            ends_before = self._quiet.ends_before(place, same[0].position)
            if noted.may_hold or is_full or place in timed or not ends_before:
                self._quiet.news((place,))
                continue
            self._waiting.setdefault(place, []).extend(same)
            self._count += len(same)
            self._bytes += size

    def pass_over(self, batch: Batch) -> None:
        """What these outcomes sent is to be fetched from the file."""
        completed = [outcome for outcome in batch.outcomes if type(outcome) is Completed]
        self._quiet.news({(each.channel, each.lane) for outcome in completed for each in outcome.effects.sent})

    def give(self, cursors: Sequence[Cursor], asked: Sequence[Cursor], limit: int) -> tuple[list[Envelope], Ends]:
        """What waits in the lanes of these cursors, at most `limit` of each, and where they end then. Nothing waits any
        more in those of them that the file is asked for.
        """
        found: list[Envelope] = []
        ends: Ends = {}
        if not self._waiting:
            return found, ends
        for cursor in asked:
            self._take((cursor.channel, cursor.lane))
        for cursor in cursors:
            place = (cursor.channel, cursor.lane)
            if given := self._take(place, limit):
                found += given
                ends[place] = given[-1].position
        return found, ends

    def drop(self) -> None:
        """Have the file asked for all that waits here."""
        self._quiet.news(self._waiting)
        self._waiting = {}
        self._count = self._bytes = 0

    def sifting(self, place: LaneLike) -> None:
        """Some keys of this lane are fetched apart: nothing waits here until it is fetched as a whole."""
        self._quiet.sifting(place)
        self._take(place)

    def _take(self, place: LaneLike, limit: int | None = None) -> list[Envelope]:
        waiting = self._waiting.pop(place, None)
        if waiting is None:
            return []
        taken = waiting if limit is None else waiting[:limit]
        if len(taken) < len(waiting):
            self._waiting[place] = waiting[len(taken) :]
        self._count -= len(taken)
        self._bytes -= _size(taken)
        return taken


def _placed(noted: Noting) -> tuple[dict[LaneLike, list[Envelope]], set[LaneLike]]:
    """What a commit stored, lane by lane, as a fetch would bring it; and the lanes where some of it has its time."""
    found: dict[LaneLike, list[Envelope]] = {}
    timed: set[LaneLike] = set()
    position = noted.last - len(noted.envelopes)
    for sent in noted.envelopes:
        position += 1
        place, envelope = (sent.channel, sent.lane), sent
        if sent.timer is not None or sent.due_at or sent.delay > 0:
            timed.add(place)
        elif sent.guarded or sent.delay or sent.headers is not None:
            headers = dict(sent.headers) if sent.headers else None  # the sent one may share them with other channels
            envelope = msgspec.structs.replace(sent, position=position, guarded=False, delay=0, headers=headers)
        else:
            msgspec.structs.force_setattr(sent, "position", position)  # its run has ended, and asks no more for it
        if (same := found.get(place)) is None:
            found[place] = [envelope]
        else:
            same.append(envelope)
    return found, timed


def _size(envelopes: Sequence[Envelope]) -> int:
    return sum([len(envelope.body) for envelope in envelopes])
