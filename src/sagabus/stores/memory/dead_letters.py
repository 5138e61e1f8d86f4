"""Dead letters back into their channel, or closed for good."""

from __future__ import annotations

from msgspec.structs import replace

from sagabus.codec import fingerprint
from sagabus.envelope import DeadLetter, Envelope, lane_of
from sagabus.refs import KeyLike
from sagabus.store import ReplayResult
from sagabus.store.mending import Edit, Entry
from sagabus.stores.memory.tables import InboxRow, LetterRow, Tables
from sagabus.stores.replaying import Facts, closing_entry, edited, replay_of


def put_back(  # what an operator may say of a replay
    tables: Tables,
    letter_id: int,
    *,
    force: bool,
    now: int,
    lanes: int,
    edit: Edit | None = None,
    entry: Entry | None = None,
) -> ReplayResult:
    """Replay: one more delivery of the same id, with attempts reset to 0. With `edit`, of another message."""
    if (row := tables.letters.get(letter_id)) is None:
        return ReplayResult.NOT_FOUND
    letter = row.letter
    message = letter.envelope if edit is None else edited(letter, edit, now)
    if edit is None:
        result = replay_of(letter, _facts(tables, letter), force=force)
    else:
        result = _accept_edited(tables, letter, message, now)
    if letter.status != "open" or result not in (ReplayResult.DONE, ReplayResult.ALREADY_DONE):
        return result
    if entry is not None:
        tables.audit(closing_entry(entry, letter, "replayed", result), now)
    if result is ReplayResult.ALREADY_DONE:
        return _give_up(tables, letter, "replayed", now, result)
    # Due by schedule, as a retry is: workers know by this that a key may be let go when it has been settled.
    key = message.partition_key
    lane = lane_of(message.message_id if key is None else key, lanes)
    fresh = replace(message, lane=lane, attempt=0, failed_at=None, due_at=1, stashed=False)
    stored = tables.queue.add(fresh, now)
    if letter.parked:
        tables.hold(stored, stored.position)
    _close(tables, letter, "replayed", now)
    return ReplayResult.DONE


def would_replay(tables: Tables, letter_id: int, *, force: bool) -> ReplayResult:
    """What a replay would do now."""
    row = tables.letters.get(letter_id)
    return ReplayResult.NOT_FOUND if row is None else replay_of(row.letter, _facts(tables, row.letter), force=force)


def _accept_edited(tables: Tables, letter: DeadLetter, message: Envelope, now: int) -> ReplayResult:
    if letter.status != "open" or (message.channel, message.message_id) in tables.inbox:
        return ReplayResult.ALREADY_DONE
    print_ = fingerprint(message.message_type, message.body)
    tables.take(message.channel, message.message_id, InboxRow(print_, message.sent_at))
    return ReplayResult.DONE


def close(tables: Tables, letter_id: int, now: int, entry: Entry | None = None) -> ReplayResult:
    """Discard: the message is given up, and its key goes on."""
    if (row := tables.letters.get(letter_id)) is None:
        return ReplayResult.NOT_FOUND
    if row.letter.status != "open":
        return ReplayResult.ALREADY_DONE
    if entry is not None:
        tables.audit(closing_entry(entry, row.letter, "discarded", ReplayResult.DONE), now)
    return _give_up(tables, row.letter, "discarded", now, ReplayResult.DONE)


def _facts(tables: Tables, letter: DeadLetter) -> Facts:
    envelope = letter.envelope
    row = tables.inbox.get((envelope.channel, envelope.message_id))
    has_copy = row is not None and row.fingerprint == fingerprint(envelope.message_type, envelope.body)
    return Facts(has_copy, _was_replaced(tables, letter), tables.is_too_old(envelope.channel, envelope.sent_at))


def _was_replaced(tables: Tables, letter: DeadLetter) -> bool:
    """A timer whose name was set again after it died."""
    envelope = letter.envelope
    if envelope.timer is None or envelope.partition_key is None:
        return False
    newer = tables.queue.timers(envelope.channel, envelope.partition_key)
    return any(timer.timer == envelope.timer for timer in newer)


def _give_up(tables: Tables, letter: DeadLetter, status: str, now: int, answer: ReplayResult) -> ReplayResult:
    _close(tables, letter, status, now)
    if letter.parked:
        let_go(tables, (letter.envelope.channel, letter.envelope.partition_key or ""))
    return answer


def let_go(tables: Tables, address: KeyLike) -> bool:
    """Let a parked key go on, unless an open letter parks it; whether it has been parked, and goes on now."""
    if address not in tables.holds or is_parked(tables, address):
        return False
    tables.journal.drop(tables.holds, address)
    tables.crew += 1  # what waits behind it may stand before the cursors of its lane: workers look at all of it again
    return True


def is_parked(tables: Tables, address: KeyLike) -> bool:
    """Whether an open letter parks a key."""
    letters = (row.letter for row in tables.letters.values())
    return any(each.parked and (each.envelope.channel, each.envelope.partition_key) == address for each in letters)


def _close(tables: Tables, letter: DeadLetter, status: str, now: int) -> None:
    tables.journal.put(tables.letters, letter.id, LetterRow(replace(letter, status=status, parked=False), now))
