"""Which entries of the audit log and which notes of workers are about a subject, decided once for every store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from sagabus.store.erasing import (
    ERASED,
    ERASED_AT_ONCE,
    Live,
    Order,
    Place,
    Subject,
    Trace,
    is_pseudonym,
    pseudonym,
)
from sagabus.store.mending import Entry
from sagabus.stores.running_text import is_damaged, without_runs_of
from sagabus.stores.suspicion import keys_of, loud_of, loud_text

LETTERS = "dead-letter."


def letter_in_question(entry: Entry) -> int | None:
    """The dead letter that an entry is about, where the letter itself has to be asked whose it was."""
    is_letter = entry.verb.startswith(LETTERS) and entry.target.isdecimal() and len(entry.target) < 19
    return int(entry.target) if is_letter and not _is_blank(entry) else None


def is_about(entry: Entry, subject: Subject) -> bool:
    """Whether an entry of the audit log names a subject, by its target or by what it kept of a message."""
    if _is_blank(entry) or (subject.but is not None and is_about(entry, Subject(key=subject.but))):
        return False
    is_message = entry.verb.startswith((LETTERS, "message."))
    if entry.target == subject.text and (is_message if subject.key is None else entry.verb.startswith("saga.")):
        return True
    if entry.verb.startswith("saga.") or not (is_message or subject.key is not None):
        return False
    return any(_is_of(side, subject) for side in (entry.before, entry.after))


def _is_of(side: str, subject: Subject) -> bool:
    """Whether one side of an entry is of a message of the subject. One that is damaged says it by its text alone."""
    try:
        found: object = msgspec.json.decode(side or "{}")
    except ValueError:
        return mentions(side, subject)
    kept = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    if subject.key is None:
        return subject.correlation_id in {kept.get("correlation_id"), kept.get("message_id")}
    return kept.get("key") == subject.key or ("key" not in kept and _stands_in(kept.get("body"), subject.key))


def mentions(text: str | bytes, subject: Subject) -> bool:
    """Whether a text that cannot be read has the subject in it: of a damaged one, this is all that can be known."""
    readable = text if isinstance(text, str) else text.decode(errors="replace")
    return msgspec.json.encode(subject.text).decode() in readable


def blanked(entry: Entry, subject: Subject) -> Entry:
    """The entry with who, what and when, and nothing of the subject."""
    is_message = entry.verb.startswith((LETTERS, "message."))
    names = entry.target == subject.text or entry.target.startswith(f"{subject.text} ")  # with the name of a timer
    target = entry.target if is_message and not names else pseudonym(subject.text)
    return msgspec.structs.replace(entry, target=target, reason=ERASED, before="{}", after="{}")


def _is_blank(entry: Entry) -> bool:
    return (entry.reason == ERASED and entry.before == "{}") or is_pseudonym(entry.target)


def _stands_in(body: object, key: str) -> bool:
    """Whether a body has the key for a value: entries of older releases do not say of which key a letter was."""
    return isinstance(body, str) and msgspec.json.encode(key).decode() in body


def loud_without(text: str | None, subject: Subject) -> str | None:
    """The loud keys of a lane but for one."""
    keys = loud_of(text)
    if text is not None and not keys:
        return None if mentions(text, subject) else text
    return loud_text([each for each in keys if each != subject.key])


def suspects_without(text: str | None, subject: Subject) -> str | None:
    """The keys of a lane with suspect positions of their own, but for one."""
    keys = keys_of(text)
    if text is not None and not keys:
        return None if mentions(text, subject) else text
    left = {name: position for name, position in keys.items() if name != subject.key}
    return msgspec.json.encode(left).decode() if left else None


def runs_without(text: str | None, subject: Subject) -> str | None:
    """The runs that a worker has noted, but for those of a subject."""
    if text is not None and is_damaged(text):
        return None if mentions(text, subject) else text
    return without_runs_of(text, lambda key, message_id: subject.owns(key, None, message_id))


def keeps(subject: Subject, timer: str | None) -> bool:
    """Whether an envelope stays and only forgets the subject: an instance waits for its timer, and is of its key."""
    return subject.key is None and timer is not None


def is_refused(live: Sequence[Live], order: Order | None) -> bool:
    """Whether there is work that is not to be erased: the step changes nothing then."""
    return bool(live) and order is not None and not order.live


def behind(trace: Trace, numbers: Sequence[int], rest: Place | None) -> Place | None:
    """Where the next step begins: behind the last row of a full page, and else at the rest."""
    return Place(trace, numbers[-1]) if len(numbers) == ERASED_AT_ONCE else rest


def waiting(  # what the row of an envelope says
    channel: str,
    name: str,
    timer: str | None,
    due_at: int,
    failed_at: int | None,
    *,
    stashed: bool,
    is_running: bool,
    now: int,
) -> Live:
    """An envelope as work that is not done. `name`: its type and id."""
    why = _why(now, timer, due_at, failed_at, stashed=stashed, is_running=is_running)
    return Live(why, channel, name if timer is None else timer)


def _why(now: int, timer: str | None, due_at: int, failed_at: int | None, *, stashed: bool, is_running: bool) -> str:
    """Why it waits, in the words of `WHYS`; of one that is held back, that it is due."""
    if stashed:
        return "stashed"
    if due_at <= now:
        return "running" if is_running else "ready"
    if failed_at is not None:
        return "retrying"
    return "scheduled" if timer is None else "timer"
