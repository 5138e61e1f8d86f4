"""The two hot writes in one statement each, which is one round trip and a transaction by itself.

A flush either finds everything as the outcomes left it, or divides by zero, so that nothing of it remains. The shared
logic then tries outcome by outcome, and finds the one at fault. An append takes what is new and says what it took; the
shared logic answers for the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import msgspec

from sagabus.envelope import Envelope
from sagabus.store import Batch
from sagabus.stores.postgres import row_text
from sagabus.stores.postgres.fragments import NOW, of_lane, recordset, write_instances
from sagabus.stores.postgres.queries import STANDING, instances_of
from sagabus.stores.sql import rows
from sagabus.stores.sql.dialect import DOLLARS, Ready, Statement, packed, ready
from sagabus.stores.sql.planning import Lost, Plan, plan

_TIMER = "channel text, partition_key text, timer text"
_LANE = "channel text, lane int, epoch bigint"
_HANDLED = "ANY ((SELECT positions FROM handled)::bigint[])"

# Its slot is for what only some want: the history of a saga, the journal of a bus.
_FLUSH = f"""
WITH head AS MATERIALIZED (SELECT value FROM {{meta}} WHERE name = 'routing' FOR SHARE),
held AS MATERIALIZED (SELECT count(*) AS n FROM {recordset("?2", _LANE)} AS r
    CROSS JOIN LATERAL (SELECT l.epoch FROM {{lane}} AS l WHERE l.channel = r.channel AND l.lane = r.lane LIMIT 1) AS l
    WHERE l.epoch = r.epoch),
handled AS MATERIALIZED (SELECT ?3::text::bigint[] AS positions),
removed AS (DELETE FROM {{envelope}} WHERE position = {_HANDLED} RETURNING 1),
saved AS ({write_instances(row_text.instances("?4"), "?5::bigint")}),
{{also}}off AS (DELETE FROM {{envelope}} WHERE position = ANY (ARRAY(SELECT found.position
    FROM {recordset("?6", _TIMER)} AS r CROSS JOIN LATERAL (SELECT e.position FROM {{envelope}} AS e
    WHERE e.timer IS NOT NULL AND e.channel = r.channel AND e.partition_key = r.partition_key
    AND (r.timer IS NULL OR e.timer = r.timer) OFFSET 0) AS found))
    AND (position = {_HANDLED}) IS NOT TRUE RETURNING position),
sent AS (INSERT INTO {{envelope}} ({rows.ENVELOPE_COLUMNS})
    SELECT {rows.ENVELOPE_COLUMNS} FROM (SELECT count(*) FROM off) AS done, {row_text.envelopes("?7")} AS r
    RETURNING 1),
loosened AS (DELETE FROM {{held_key}} WHERE EXISTS (SELECT 1 FROM {{held_key}})
    AND (position = {_HANDLED} OR position = ANY (ARRAY(SELECT position FROM off))))
SELECT 1 / (CASE WHEN (SELECT value FROM head) = ?1::bigint AND (SELECT n FROM held) = ?8::int
    AND (SELECT count(*) FROM removed) = ?9::int
    AND (SELECT count(*) FROM saved WHERE read_version >= 0) = ?10::int
    AND (SELECT count(*) FROM sent) >= 0 THEN 1 ELSE 0 END)
"""

_RECORD = f"""recorded AS (INSERT INTO {{history}} ({rows.HISTORY_COLUMNS})
    SELECT saga, key, version, ?5::bigint, message_id, message_type, timer, status, completed, state, shape
    FROM {row_text.transitions("?11")} AS r),
"""

_NOTE = f"""noted AS (INSERT INTO {{journal}} ({rows.JOURNAL_COLUMNS})
    SELECT {rows.JOURNAL_COLUMNS.replace("handled_at", "?5::bigint")} FROM {row_text.journal("?n")} AS r),
"""

# The horizon is locked before the records are looked at: a purge that raises it deletes in the same transaction.
_ACCEPTING = f"""
WITH head AS MATERIALIZED (SELECT value FROM {{meta}} WHERE name = 'routing' FOR SHARE),
lowest AS MATERIALIZED (SELECT channel, stamp FROM {{horizon}} WHERE channel = ANY (?3::text[]) FOR SHARE),
given AS MATERIALIZED (SELECT g.*, row_number() OVER () AS ordinality FROM {row_text.given("?2")} AS g
    CROSS JOIN (SELECT count(*) FROM lowest) AS locked),
fresh AS (INSERT INTO {{inbox}} (channel, message_id, fingerprint, stamp)
    SELECT g.channel, g.message_id, g.fingerprint, g.stamp FROM given AS g
    WHERE (SELECT value FROM head) = ?1::bigint AND g.guarded > 0
    AND g.origin >= coalesce((SELECT l.stamp FROM lowest AS l WHERE l.channel = g.channel), 0)
    ON CONFLICT (channel, message_id) DO NOTHING RETURNING channel, message_id),
stored AS (INSERT INTO {{envelope}} ({rows.ENVELOPE_COLUMNS})
    SELECT {", ".join("g." + name for name in rows.ENVELOPE_COLUMNS.split(", "))} FROM given AS g
    LEFT JOIN fresh AS f ON f.channel = g.channel AND f.message_id = g.message_id
    WHERE (SELECT value FROM head) = ?1::bigint AND (g.guarded < 1 OR f.message_id IS NOT NULL) ORDER BY g.ordinality
    RETURNING position)"""
_ACCEPTED = f"""(SELECT value FROM head), {NOW}, CASE WHEN (SELECT count(*) FROM fresh) < ?4::int
    THEN (SELECT coalesce(json_agg(json_build_array(channel, message_id)), '[]'::json) FROM fresh)::text END"""

_APPEND = f"{_ACCEPTING}\nSELECT {_ACCEPTED}"

_MORE = of_lane("c.channel, c.lane", "0, c.after", "0", "1", "LIMIT 1")
# The same, and what the next fetch of these lanes would have to ask, unless there is more for it to find there.
_APPEND_AND_TELL = f"""{_ACCEPTING},
c AS MATERIALIZED (SELECT * FROM {recordset("?5", "channel text, lane int, after bigint")} AS r)
SELECT {_ACCEPTED}, CASE WHEN NOT EXISTS (SELECT 1 FROM {{held_key}})
    AND NOT EXISTS (SELECT 1 FROM c CROSS JOIN LATERAL {_MORE} AS e)
    THEN json_build_array((SELECT json_agg(position ORDER BY position) FROM stored), {STANDING},
        {instances_of("given")})::text END
"""

_STATEMENTS = {
    "flush": Statement(_FLUSH.replace("{also}", "")),
    "flush_and_record": Statement(_FLUSH.replace("{also}", _RECORD)),
    "flush_and_note": Statement(_FLUSH.replace("{also}", _NOTE.replace("?n", "?11"))),
    "flush_record_and_note": Statement(_FLUSH.replace("{also}", _RECORD + _NOTE.replace("?n", "?12"))),
    "append": Statement(_APPEND),
    "append_and_tell": Statement(_APPEND_AND_TELL),
}
TAKEN = frozenset({"removed", "first", "last", "sent", "timers", "cancelled", "finished", "recorded", "journal"})
"""What of a plan one statement does: removes messages, saves instances, sends, sets and cancels timers, records, and
writes the journal.
"""
LEFT = tuple(each.name for each in fields(Plan) if each.name not in TAKEN)
"""The rest is left to the shared logic, an effect included that a plan does not have yet."""
_decode_places = msgspec.json.Decoder(list[tuple[str, str]]).decode


class Written(NamedTuple):
    """A statement written out with its parameters."""

    sql: str
    parameters: tuple[Any, ...]


class HotStatements:
    """Makes the one statement of a flush or of an append, where it can be done with one."""

    def __init__(self, tables: Mapping[str, str]) -> None:
        found: dict[str, Ready] = ready(_STATEMENTS, tables, lambda _: "", DOLLARS)
        self._flushes = {name: found[name].sql for name in _STATEMENTS if name.startswith("flush")}
        self._append = found["append"].sql
        self._append_and_tell = found["append_and_tell"].sql

    def flush(self, batch: Batch, now: int) -> Written | None:
        """The flush of outcomes that do nothing but what is TAKEN; None for any others."""
        try:
            found = plan(batch.outcomes, batch.journal)
        except Lost:
            return None
        if any(getattr(found, name) for name in LEFT) or any(e.guarded for e in found.sent):
            return None
        saved = row_text.packed_saves(((found.base(save), save) for save in found.saves()), now)
        sent = row_text.packed_envelopes(found.all_sent, now)
        if saved is None or sent is None:
            return None
        lanes = [(*place, epoch) for place, epoch in batch.epochs.items()]
        parameters = (
            batch.routing,
            packed(lanes, 3),
            f"{{{','.join(map(str, found.removed))}}}",
            saved,
            now,
            packed(_off(found), 3),
            sent,
            len(lanes),
            len(found.removed),
            len(found.last),
        )
        if not (found.recorded or found.journal):
            return Written(self._flushes["flush"], parameters)
        return self._with_more(found, parameters)

    def _with_more(self, found: Plan, parameters: tuple[Any, ...]) -> Written | None:
        """The same with the transitions to record, and with the rows of the journal."""
        more = [row_text.packed_transitions(found.recorded)] if found.recorded else []
        if found.journal:
            more.append(row_text.packed_journal(found.journal))
        if None in more:
            return None
        name = "flush_and_record" if not found.journal else "flush_and_note"
        if len(more) > 1:
            name = "flush_record_and_note"
        return Written(self._flushes[name], (*parameters, *more))

    def append(
        self, envelopes: Sequence[Envelope], routing: int, now: int, lanes: Sequence[tuple[str, int, int]] = ()
    ) -> Written | None:
        """The append of messages from outside; None for one that has an id twice, or timers. `lanes`: theirs, each with
        its cursor, if a worker here waits for whatever comes in.
        """
        places = {(envelope.channel, envelope.message_id) for envelope in envelopes}
        if len(places) < len(envelopes) or any(envelope.timer is not None for envelope in envelopes):
            return None
        given = row_text.packed_given(envelopes, now)
        if given is None:
            return None
        channels = sorted({envelope.channel for envelope in envelopes})
        guarded = sum(envelope.guarded for envelope in envelopes)
        parameters = (routing, given, channels, guarded)
        if lanes:
            return Written(self._append_and_tell, (*parameters, packed(lanes, 3)))
        return Written(self._append, parameters)


def taken(places: str | None) -> set[tuple[str, str]] | None:
    """The (channel, id) that an append has taken, of those with a record; None when it took them all."""
    return None if places is None else set(_decode_places(places))


def _off(found: Plan) -> list[tuple[str, str | None, str | None]]:
    """Timers that go: those cancelled, those replaced, and all of an instance that has finished."""
    off: list[tuple[str, str | None, str | None]] = list(found.cancelled)
    off += [(*place, name) for place, timers in found.timers.items() for name in timers]
    off += [(*place, None) for place in found.finished]
    return off
