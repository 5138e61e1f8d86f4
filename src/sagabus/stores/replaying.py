"""What replaying a dead letter does, decided once for every store. Pure: a store finds the facts and obeys."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from sagabus.envelope import Cause, DeadLetter, Envelope
from sagabus.store import ReplayResult
from sagabus.store.mending import Edit, Entry

EDITED_FROM = "sagabus-edited-from"
"""The header that names the message in whose place an edited one stands."""


class Facts(NamedTuple):
    """What a store knows in addition to the letter."""

    has_copy: bool = False
    """A message of the same id and content was accepted: its inbox record is there."""
    was_replaced: bool = False
    """A timer of the same name and key was set again."""
    is_below_horizon: bool = False
    """Records as old as the message's stamp are forgotten: whether a copy took effect is no longer known."""


def replay_of(letter: DeadLetter, facts: Facts, *, force: bool) -> ReplayResult:
    """DONE: close an open letter and put its message back. ALREADY_DONE: an open one is closed, its message stays out,
    its key goes on. Anything else changes nothing.
    """
    if letter.status != "open":
        return ReplayResult.ALREADY_DONE
    if letter.cause is Cause.DAMAGED:
        return ReplayResult.DAMAGED
    if facts.was_replaced or (letter.cause is Cause.TOO_OLD and facts.has_copy):
        return ReplayResult.ALREADY_DONE
    if force:
        return ReplayResult.DONE
    if letter.cause is Cause.COLLISION:
        return ReplayResult.COLLISION
    return ReplayResult.TOO_OLD if facts.is_below_horizon else ReplayResult.DONE


def edited(letter: DeadLetter, edit: Edit, now: int) -> Envelope:
    """The message that takes the place of a letter's, sent now and in the same conversation."""
    before = letter.envelope
    return msgspec.structs.replace(
        before,
        message_id=edit.message_id,
        body=edit.body,
        headers={**(before.headers or {}), EDITED_FROM: before.message_id},
        correlation_id=_conversation_of(before),
        sent_at=max(before.sent_at, now),
        guarded=True,
    )


def closing_entry(entry: Entry, letter: DeadLetter, status: str, result: ReplayResult) -> Entry:
    """The entry of the audit log about a letter that was closed."""
    before: dict[str, object] = {
        "key": letter.envelope.partition_key, "status": letter.status, "parked": letter.parked,
    }  # fmt: skip
    if (conversation := _conversation_of(letter.envelope)) is not None:
        before["correlation_id"] = conversation  # the letter is forgotten before the entry
    after = {"status": status, "result": result.value}
    texts = [msgspec.json.encode(each).decode() for each in (before, after)]
    return msgspec.structs.replace(
        entry, channel=letter.envelope.channel, before=entry.before or texts[0], after=entry.after or texts[1]
    )


def _conversation_of(message: Envelope) -> str | None:
    """Its id, which is that of the message that began it; None for a timer of no conversation."""
    return message.correlation_id or (message.message_id if message.timer is None else None)
