"""Dead letters put back or closed, and what is old forgotten: the operator's and the housekeeper's writes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sagabus.envelope import DeadLetter, Envelope, lane_of
from sagabus.failpoint import hit
from sagabus.store import ReplayResult, Retention
from sagabus.store.mending import Edit, Entry
from sagabus.store.upkeep import Purged
from sagabus.stores.replaying import Facts, closing_entry, edited, replay_of
from sagabus.stores.sql import appending, mending, reading, rows
from sagabus.stores.sql.steps import Query, Steps, number_of


def replay(
    letter_id: int, now: int, *, force: bool, edit: Edit | None = None, entry: Entry | None = None
) -> Steps[ReplayResult]:
    """One more delivery of the same id, unless its effect is known to be there, or cannot be known not to be.

    With `edit`, another message takes its place.
    """
    yield Query("routing")  # held, so that the number of lanes stays
    yield Query("lock_letter", (letter_id,))
    letter = yield from reading.dead_letter(letter_id)
    if letter is None:
        return ReplayResult.NOT_FOUND
    if edit is None:
        result = replay_of(letter, (yield from _facts(letter)), force=force)
    else:
        result = yield from _accept_edited(letter, edited(letter, edit, now), now)
    if letter.status != "open" or result not in (ReplayResult.DONE, ReplayResult.ALREADY_DONE):
        return result
    yield Query("close_letter", (letter_id, "replayed", now))
    hit("replay.closed")
    if result is ReplayResult.DONE:
        yield from _put_back(letter, letter.envelope if edit is None else edited(letter, edit, now))
    else:
        yield from _unpark(letter)
    hit("replay.put_back")
    if entry is not None:
        yield from mending.note(closing_entry(entry, letter, "replayed", result), now)
    return result


def _accept_edited(letter: DeadLetter, message: Envelope, now: int) -> Steps[ReplayResult]:
    """Record the id of the message that takes the letter's place, as at its acceptance."""
    if letter.status != "open":
        return ReplayResult.ALREADY_DONE
    record = appending.inbox_row(message, now)
    if (yield from appending.recorded([record[:2]])):
        return ReplayResult.ALREADY_DONE
    yield from appending.remember([record])
    return ReplayResult.DONE


def would_replay(letter_id: int, *, force: bool) -> Steps[ReplayResult]:
    """What a replay would do now; nothing is changed."""
    letter = yield from reading.dead_letter(letter_id)
    if letter is None:
        return ReplayResult.NOT_FOUND
    return replay_of(letter, (yield from _facts(letter)), force=force)


def discard(letter_id: int, now: int, entry: Entry | None = None) -> Steps[ReplayResult]:
    """Close a dead letter for good."""
    yield Query("lock_letter", (letter_id,))
    letter = yield from reading.dead_letter(letter_id, bodies=False)
    if letter is None:
        return ReplayResult.NOT_FOUND
    if letter.status != "open":
        return ReplayResult.ALREADY_DONE
    yield Query("close_letter", (letter_id, "discarded", now))
    hit("discard.closed")
    yield from _unpark(letter)
    if entry is not None:
        yield from mending.note(closing_entry(entry, letter, "discarded", ReplayResult.DONE), now)
    return ReplayResult.DONE


def _facts(letter: DeadLetter) -> Steps[Facts]:
    envelope = letter.envelope
    recorded = (yield Query("record", (envelope.channel, envelope.message_id))).value
    was_replaced = False
    if envelope.timer is not None:
        timer = (envelope.channel, envelope.partition_key, envelope.timer)
        was_replaced = bool((yield Query("timer_is_set", timer)).value)
    lowest = (yield from appending.horizons([envelope.channel])).get(envelope.channel, 0)
    return Facts(recorded == rows.fingerprint(envelope), was_replaced, envelope.sent_at < lowest)


def _unpark(letter: DeadLetter) -> Steps[None]:
    """Let its key go on, unless another letter of it is parked as well."""
    key = letter.envelope.partition_key
    if letter.parked and key is not None:
        yield from let_go(letter.envelope.channel, key)


def let_go(channel: str, key: str) -> Steps[bool]:
    """Let a parked key go on, unless an open letter parks it; whether it has been parked, and goes on now."""
    # First of all: a transaction that parks another one now has parked it already, or waits until this one has ended.
    if not (yield Query("unpark", (channel, key))).changed:
        return False
    if (yield from is_parked(channel, key)):
        yield Query("hold", (channel, key, 0))
        return False
    # What waits behind the key may stand before the cursors of its lane: workers look at all of the lane again.
    yield Query("raise_crew", (1,))
    return True


def is_parked(channel: str, key: str) -> Steps[bool]:
    """Whether an open letter parks a key."""
    texts = (yield Query("parked", (channel, rows.json_of(key)))).rows
    return any(rows.key_in_letter(text) == key for _, text in texts)


def _put_back(letter: DeadLetter, message: Envelope) -> Steps[None]:
    lanes: int | None = (yield Query("lanes_setting")).value
    key = message.partition_key
    lane = lane_of(message.message_id if key is None else key, lanes) if lanes else message.lane
    # Due by schedule, as a retry is: a key that waits for it is let go when it has been settled.
    envelope = msgspec.structs.replace(
        message, lane=lane, attempt=0, excused=0, deaths=0, failed_at=None, due_at=1, stashed=False
    )
    put = yield Query("put_back", rows=[rows.envelope_row(envelope, 1, message.sent_at)])
    if letter.parked:
        position = yield from number_of(put)
        yield Query("move_hold", (position, envelope.channel, envelope.partition_key))


def purge(retention: Sequence[Retention], limit: int, now: int) -> Steps[Purged]:
    """Bounded forgetting; where a record goes, the horizon rises above it in the same transaction."""
    if not (yield Query("own_purge")).rows:
        return Purged()  # another worker is purging
    inbox = instances = letters = history = journal = audits = 0
    more = False
    for kept in sorted(retention, key=lambda each: each.channel):
        cutoff = max(now - kept.window, 0)  # a longer retention has no number
        gone, unfinished = yield from _purge_inbox(kept.channel, cutoff, limit)
        tombstones = (yield Query("purge_instances", (kept.channel, cutoff, limit))).changed
        closed = (yield Query("purge_letters", (kept.channel, cutoff, limit))).changed
        recorded = (yield Query("purge_history", (kept.channel, max(now - kept.history_window, 0), limit))).changed
        handled = (yield Query("purge_journal", (kept.channel, max(now - kept.journal_window, 0), limit))).changed
        noted = (yield Query("purge_audits", (kept.channel, max(now - kept.audit_window, 0), limit))).changed
        inbox, instances, letters = inbox + gone, instances + tombstones, letters + closed
        history, journal, audits = history + recorded, journal + handled, audits + noted
        more = more or unfinished or limit in (tombstones, closed, recorded, handled, noted)
    hit("purge.before_commit")
    return Purged(inbox, instances, letters, history, journal, audits, more=more)


def _purge_inbox(channel: str, cutoff: int, limit: int) -> Steps[tuple[int, bool]]:
    last: int | None = (yield Query("expired_record", (channel, cutoff, limit - 1))).value
    horizon = cutoff if last is None else last + 1
    hit("purge.selected")
    yield Query("raise_horizon", (channel, horizon))
    hit("purge.horizon_risen")
    gone = (yield Query("purge_inbox", (channel, horizon))).changed
    hit("purge.deleted")
    return gone, last is not None
