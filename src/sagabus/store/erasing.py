"""What it takes to erase all that a store keeps of a subject, step by step. A part of the contract in `store`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from sagabus.store.mending import Entry

ERASED_AT_ONCE = 1_000
"""So many rows go in one step at most."""
ERASED = "erased"
"""Stands in the audit log in the place of a reason."""
_PSEUDONYM = re.compile(r"subject-[0-9a-f]{16}")


class Trace(Enum):
    """Where a store keeps something of a subject: a closed set, in the order in which it is erased.

    Messages go before the instance that they would change. The audit log goes before the dead letters by which it is
    known that an entry is about the subject.
    """

    MESSAGES = "messages and timers"
    INSTANCES = "saga instances"
    HISTORY = "steps of histories"
    AUDIT = "entries of the audit log"
    """Blanked: who did what and when stays."""
    LETTERS = "dead letters"
    JOURNAL = "rows of the journal"
    NOTES = "notes of workers and held keys"


class Subject(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Whose rows are meant: those of one key, or of one conversation; exactly one of the two is given."""

    key: str | None = None
    correlation_id: str | None = None
    """Of messages, dead letters and rows of the journal. The message that began the conversation is meant, too.

    A timer belongs to its instance: of a conversation it loses the ids and the headers, and runs all the same.
    """
    channel: str | None = None
    """Only what this saga or handler has of it."""
    but: str | None = None
    """Of a conversation: the key that the same call erases. What is of both is of the key, and counted once."""

    @property
    def text(self) -> str:
        """The key or the correlation id."""
        return self.key if self.key is not None else self.correlation_id or ""

    def owns(self, key: str | None, correlation_id: str | None, message_id: str) -> bool:
        """Whether a message is of it."""
        if self.key is not None:
            return key == self.key
        return self.correlation_id in {correlation_id, message_id} and (self.but is None or key != self.but)


class Place(NamedTuple):
    """How far the work has come."""

    trace: Trace
    after: int
    """The position or the id behind which the next step looks."""


FIRST = Place(next(iter(Trace)), 0)


class Live(msgspec.Struct, frozen=True, gc=False):
    """Work that is not done: without it, something that was promised would not happen."""

    what: str
    """`instance`, or why a message waits: one of `WHYS`."""
    channel: str
    name: str
    """The type and id of a message, the name of a timer, or the status of an instance."""


class Erasure(msgspec.Struct, frozen=True, gc=False):
    """What one step has found, or erased."""

    counts: Mapping[Trace, int] = {}
    live: tuple[Live, ...] = ()
    """At most ERASED_AT_ONCE. Where it is not to be erased, the step has changed nothing."""
    next: Place | None = None
    """Where the next step begins; None at the end."""
    audit: int | None = None
    """The id of the entry in the audit log, once there is one."""


class Order(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What one step of an erasure is asked to do."""

    entry: Entry
    """Its `after` is written by the store: how many rows of each kind went, in all steps so far."""
    live: bool = False
    """Erase work that is not done, too."""
    so_far: Mapping[Trace, int] = {}
    """What the steps before have erased."""
    audit: int | None = None
    """The id of the entry that the steps before have written; None before the first that erased something."""


def pseudonym(*texts: str) -> str:
    """What stands in the audit log in the place of a key: the same for the same key, in every store.

    It is a digest. Who can guess the key can check the guess.
    """
    return f"subject-{blake2b(msgspec.json.encode(texts), digest_size=8).hexdigest()}"


def is_pseudonym(text: str) -> bool:
    """Whether a key has been erased here."""
    return _PSEUDONYM.fullmatch(text) is not None


def following(trace: Trace) -> Place | None:
    """Where the next kind begins; None behind the last one."""
    every = list(Trace)
    number = every.index(trace) + 1
    return Place(every[number], 0) if number < len(every) else None


def counts_text(so_far: Mapping[Trace, int], counts: Mapping[Trace, int]) -> str:
    """What the entry of the audit log says: how many rows of each kind went."""
    total = {trace.value: so_far.get(trace, 0) + counts.get(trace, 0) for trace in Trace}
    return msgspec.json.encode({"erased": {name: count for name, count in total.items() if count}}).decode()
