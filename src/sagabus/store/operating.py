"""PORT: what operators do to a store: look, replay or discard dead letters, and mend. A part of `store`."""

from __future__ import annotations

from typing import Protocol

from sagabus.store.erasing import Erasure, Order, Place, Subject
from sagabus.store.inspection import Inspection
from sagabus.store.mending import Edit, Entry, Mend
from sagabus.store.upkeep import ReplayResult


class Inspected(Protocol):
    """Has a read-only side."""

    @property
    def inspect(self) -> Inspection:
        """The read-only side."""
        ...


class Letters(Inspected, Protocol):
    """Dead letters, replayed or given up. With an entry, each change is in the audit log, in the same commit."""

    async def replay(
        self,
        letter: int,
        *,
        force: bool = False,
        edit: Edit | None = None,
        entry: Entry | None = None,
        dry: bool = False,
    ) -> ReplayResult:
        """Put an open dead letter back into its channel (same id and bytes, no attempts), and close it in one commit.

        One whose effect has committed is closed and ALREADY_DONE; one below the horizon is TOO_OLD, unless forced.
        With `edit`, another message takes its place, sent now. It is ALREADY_DONE if one of its id was accepted before.
        With `dry`, it only says what it would do.
        """
        ...

    async def discard(self, letter: int, *, entry: Entry | None = None) -> ReplayResult:
        """Close an open dead letter for good and let its key go on if it was parked."""
        ...


class Mending(Inspected, Protocol):
    """What an operator changes."""

    async def change(self, mend: Mend, entry: Entry) -> int | None:
        """Make a change, and its entry in the audit log, in one commit; the id of the entry. None, and nothing has
        changed, if what is stored is no longer as it was seen.

        A changed instance that ends is treated as by an ordinary end: its timers go. A save that wakes makes due at
        once what is stashed for its instance, and one that is recorded leaves a row in the history. All workers hear of
        a pause with their next fetch. Calling twice makes a change once.
        """
        ...


class Erasing(Inspected, Protocol):
    """Erases what is kept of a subject."""

    async def traces(self, subject: Subject, place: Place) -> Erasure:
        """What one step of an erasure would find, from a place on. It changes nothing, and no work waits for it."""
        ...

    async def erase(self, subject: Subject, place: Place, order: Order) -> Erasure:
        """Make one step of an erasure, in one commit with what the audit log says of it.

        A step looks at SCANNED rows, and erases ERASED_AT_ONCE. Without `Order.live` it erases no work that is not
        done: it says what it has met, changes nothing and names no next place. An instance goes at the version that
        the step has seen. A run that has begun on an erased message, or on an erased instance, commits nothing. Inbox
        records stay, so a copy of an erased message is still a DUPLICATE. Twice is harmless.
        """
        ...
