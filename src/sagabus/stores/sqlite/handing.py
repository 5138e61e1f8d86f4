"""What this process stores goes to its next fetch past the file: publications here, what runs send by `forwarding`.

An append of a few messages to lanes that were fetched to their end looks there, in its own transaction. If nothing
else has come in, it hands its messages over, with the instances of their keys. Whatever changes before the next fetch,
dropping what was handed over is always right: it is stored.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sagabus.envelope import Envelope
from sagabus.outcome import Admission, Completed, Settled, Verdict
from sagabus.refs import LaneLike
from sagabus.store import Batch, Cursor, Fetched, Loaded
from sagabus.stores.sql import appending, rows
from sagabus.stores.sql.handover import MOST, Findings, Handover, KeyRow, LaneCursor
from sagabus.stores.sql.steps import Answer, Query, Row, Steps
from sagabus.stores.sqlite.forwarding import Forwarding, Noting
from sagabus.stores.sqlite.quiet_lanes import Ends, QuietLanes, ends_of
from sagabus.stores.sqlite.sets import Packed

_FEW_LANES = 4
_encode = msgspec.json.Encoder().encode
_instances_of = msgspec.json.Decoder(list[KeyRow]).decode
_known_of = msgspec.json.Decoder(list[tuple[str, str, str]]).decode
_lowest_of = msgspec.json.Decoder(list[tuple[str, int]]).decode


class BeforeAppend(Packed):
    """All that is asked before a few messages are stored: of their lanes (first), of their keys, and of their ids."""

    def __init__(self) -> None:
        columns = ", ".join(f"i.{name}" for name in rows.INSTANCE_COLUMNS.split(", "))
        super().__init__(f"""
SELECT (SELECT value FROM sagabus_meta WHERE name = 'routing'),
    EXISTS (SELECT 1 FROM json_each(?1) AS cursor CROSS JOIN sagabus_envelope AS e ON e.channel = cursor.value ->> 0
        AND e.lane = cursor.value ->> 1 AND e.due_at = 0 AND e.position > cursor.value ->> 2)
    OR EXISTS (SELECT 1 FROM sagabus_held_key)
    OR EXISTS (SELECT 1 FROM json_each(?2) AS asked CROSS JOIN sagabus_envelope AS e
        ON e.stashed = 1 AND e.channel = asked.value ->> 0 AND e.partition_key = asked.value ->> 1),
    (SELECT json_group_array(json_array(asked.value ->> 0, asked.value ->> 1,
        iif(i.saga IS NULL, NULL, json_array({columns}))))
    FROM json_each(?2) AS asked LEFT JOIN sagabus_instance AS i
        ON i.saga = asked.value ->> 0 AND i.key = asked.value ->> 1),
    (SELECT json_group_array(json_array(i.channel, i.message_id, i.fingerprint)) FROM json_each(?3) AS asked
    CROSS JOIN sagabus_inbox AS i ON i.channel = asked.value ->> 0 AND i.message_id = asked.value ->> 1),
    (SELECT json_group_array(json_array(channel, stamp)) FROM sagabus_horizon
    WHERE channel IN (SELECT value ->> 0 FROM json_each(?3)))
""")

    def gathered(self, rows: Sequence[Row], changed: int) -> Answer:
        """The routing, whether anything else is to be handed out first, the instances of the keys, and `Seen`."""
        routing, has_more, instances, known, lowest = rows[0]
        seen = appending.Seen(
            {(channel, message_id): print_ for channel, message_id, print_ in _known_of(known)},
            dict(_lowest_of(lowest)),
        )
        return Answer([(routing, bool(has_more), _instances_of(instances), seen)], changed)


class Handing:
    """What this process knows of the lanes that it fetches, and what waits for their next fetch."""

    def __init__(self, quiet: QuietLanes) -> None:
        self._quiet = quiet
        self._ends: Ends = {}
        self._handover = Handover()
        self._forwarding = Forwarding(quiet)

    @property
    def forwards(self) -> bool:
        """Whether something that runs have sent waits for a fetch."""
        return bool(self._forwarding)

    def ends_of(self, envelopes: Sequence[Envelope]) -> list[LaneCursor]:
        """The lanes of a few messages that are due at once, where each was fetched to its end; else none."""
        if len(envelopes) > MOST or any(e.due_at or e.delay > 0 or e.timer is not None for e in envelopes):
            return []
        places = {(envelope.channel, envelope.lane) for envelope in envelopes}
        if len(places) > _FEW_LANES or self._handover.waits_in(places):
            return []
        lanes = [(*place, end) for place in places if (end := self._ends.get(place)) is not None]
        return lanes if len(lanes) == len(places) else []

    def stored(self, envelopes: Sequence[Envelope], lanes: Sequence[LaneCursor], news: Findings | None) -> None:
        """These messages are stored; `news` is what the append found in their lanes, if nothing else was new there."""
        if not lanes:
            self._quiet.news(self._handover.drop())  # with these, which the file gives only all together
        if news is not None and all(self._ends.get((channel, lane)) == after for channel, lane, after in lanes):
            self._handover.take(envelopes, lanes, news)
        else:
            self._quiet.news({(envelope.channel, envelope.lane) for envelope in envelopes})

    def give(self, cursors: Sequence[Cursor], limit: int, now: int) -> Fetched | None:
        """What a fetch at these cursors need not ask the file for, if there is anything."""
        given = self._handover.give(cursors, limit)
        self._quiet.news(given.left)
        if not given.envelopes:
            return None
        ends = ends_of(given.cursors, given.envelopes, limit)
        self._ends.update(ends)
        self._quiet.given(given.cursors, ends)
        loaded = [
            (channel, Loaded(key, rows.instance_of(row) if row else None)) for channel, key, row in given.instances
        ]
        return Fetched(tuple(given.envelopes), self._quiet.until(now), tuple(loaded))

    def fetched(self, ends: Ends) -> None:
        """The file was asked: lanes end there. What was handed over goes on where a lane ends as it did before."""
        self._quiet.news(self._handover.drop_unless(ends))
        self._ends.update(ends)

    def forwarded(self, cursors: Sequence[Cursor], asked: Sequence[Cursor], limit: int) -> list[Envelope]:
        """What runs have sent into the lanes of these cursors, but for those that the file is asked for."""
        found, ends = self._forwarding.give(cursors, asked, limit)
        self._ends.update(ends)
        self._quiet.went_on(ends)
        return found

    def committed(self, batch: Batch, answers: Sequence[Settled], noted: Noting | None) -> None:
        """These outcomes are stored, with what they sent. One that keeps its message may hold back the key of anything
        that waits here. `noted`: what a commit in one step stored.
        """
        if not {Completed}.issuperset(map(type, batch.outcomes)):
            self.drop()
            self._forwarding.pass_over(batch)
        elif noted is None or not all(answer.verdict is Verdict.COMMITTED for answer in answers):
            self._forwarding.pass_over(batch)  # stored in several steps, of which the last is noted
        else:
            self._forwarding.keep(noted)
        self._quiet.freed_by(batch)

    def sifting(self, place: LaneLike) -> None:
        """Some keys of this lane are fetched apart: nothing of it comes from here until it is fetched as a whole."""
        self._quiet.news(self._handover.drop())
        self._ends.pop(place, None)
        self._forwarding.sifting(place)

    def drop(self) -> None:
        """Have the file asked for all that waits here."""
        self._quiet.news(self._handover.drop())
        self._forwarding.drop()


def append_and_tell(
    envelopes: Sequence[Envelope], routing: int, now: int, lanes: Sequence[LaneCursor]
) -> Steps[tuple[list[Admission] | None, Findings | None]]:
    """As `appending.append_at`; and what the next fetch of these lanes would find, if that is these messages alone."""
    if len(envelopes) > MOST:
        return (yield from appending.append_at(envelopes, routing, now)), None
    keys = {(e.channel, e.partition_key) for e in envelopes if e.partition_key is not None} if lanes else ()
    ids = [(e.channel, e.message_id) for e in envelopes if e.guarded]
    try:
        asked = Query("before_append", (_encode(sorted(keys)).decode(), _encode(ids).decode()), lanes)
        ((current, has_more, instances, seen),) = (yield asked).rows
    except (UnicodeDecodeError, msgspec.DecodeError):  # a row is damaged: the fetch deals with it
        return (yield from appending.append_at(envelopes, routing, now)), None
    answers = yield from appending.append_under(current, envelopes, routing, now, seen=seen)
    if not lanes or has_more or answers is None or any(answer is not Admission.ACCEPTED for answer in answers):
        return answers, None
    last: int = (yield Query("last_position")).value
    return answers, Findings(list(range(last - len(envelopes) + 1, last + 1)), [], instances)
