"""Dead letters back into their channel, or closed for good."""

from __future__ import annotations

from msgspec.structs import replace

from sagabus.codec import fingerprint
from sagabus.envelope import DeadLetter, lane_of
from sagabus.store import ReplayResult
from sagabus.stores.memory.tables import LetterRow, Tables


def put_back(tables: Tables, letter_id: int, *, force: bool, now: int, lanes: int) -> ReplayResult:
    """Replay: one more delivery of the same id, attempts at nought."""
    if (answer := _not_open(tables, letter_id)) is not None:
        return answer
    letter = tables.letters[letter_id].letter
    if not force and tables.is_too_old(letter.envelope.channel, letter.envelope.sent_at):
        return ReplayResult.TOO_OLD
    if not force and letter.reason.startswith("id collision"):
        return ReplayResult.COLLISION
    if _has_taken_effect(tables, letter) or _was_replaced(tables, letter):
        return _give_up(tables, letter, now, ReplayResult.ALREADY_DONE)
    # Due by schedule, as a retry is: workers know by this that a key may be let go when it has been settled.
    key = letter.envelope.partition_key
    lane = lane_of(letter.envelope.message_id if key is None else key, lanes)
    fresh = replace(letter.envelope, lane=lane, attempt=0, failed_at=None, due_at=1, stashed=False)
    stored = tables.queue.add(fresh, now)
    if letter.parked:
        tables.hold(stored, stored.position)
    _close(tables, letter, "replayed", now)
    return ReplayResult.DONE


def close(tables: Tables, letter_id: int, now: int) -> ReplayResult:
    """Discard: the message is given up, and its key goes on."""
    if (answer := _not_open(tables, letter_id)) is not None:
        return answer
    return _give_up(tables, tables.letters[letter_id].letter, now, ReplayResult.DONE)


def _not_open(tables: Tables, letter_id: int) -> ReplayResult | None:
    row = tables.letters.get(letter_id)
    if row is None:
        return ReplayResult.NOT_FOUND
    return None if row.letter.status == "open" else ReplayResult.ALREADY_DONE


def _has_taken_effect(tables: Tables, letter: DeadLetter) -> bool:
    """A quarantined copy of a message that was accepted: it has taken effect, or will."""
    envelope = letter.envelope
    row = tables.inbox.get((envelope.channel, envelope.message_id))
    return (
        letter.reason.startswith("too old")
        and row is not None
        and row.fingerprint == fingerprint(envelope.message_type, envelope.body)
    )


def _was_replaced(tables: Tables, letter: DeadLetter) -> bool:
    """A timer whose name was set again after it died."""
    envelope = letter.envelope
    if envelope.timer is None or envelope.partition_key is None:
        return False
    newer = tables.queue.timers(envelope.channel, envelope.partition_key)
    return any(timer.timer == envelope.timer for timer in newer)


def _give_up(tables: Tables, letter: DeadLetter, now: int, answer: ReplayResult) -> ReplayResult:
    _close(tables, letter, "discarded", now)
    if letter.parked and letter.envelope.partition_key is not None:
        tables.journal.drop(tables.holds, (letter.envelope.channel, letter.envelope.partition_key))
    return answer


def _close(tables: Tables, letter: DeadLetter, status: str, now: int) -> None:
    tables.journal.put(tables.letters, letter.id, LetterRow(replace(letter, status=status, parked=False), now))
