"""The mailboxes of keys that a worker knows: those with something in flight, and idle ones, kept for the state in them.

One of the worker's books. `in_flight` asks for a mailbox by its key, and has the idle ones bounded.
"""

from __future__ import annotations

from collections.abc import Iterable

from sagabus.engine.mailbox import Mailbox
from sagabus.refs import KeyLike

_CACHED_BYTES = 64 << 20
_CACHED = 20_000
"""Idle mailboxes kept for the state in them."""


class KnownKeys:
    """Mailboxes by channel and key."""

    def __init__(self) -> None:
        self.mailboxes: dict[KeyLike, Mailbox] = {}
        self.state_bytes = 0
        """Of the states that mailboxes keep. Since the last look, all that was written is counted as well."""

    def know(self, mailbox: Mailbox, key: str) -> None:
        """From now on this is the mailbox of its key."""
        self.mailboxes[(mailbox.place[0], key)] = mailbox

    def let_go(self, mailbox: Mailbox) -> None:
        """Its key is known no more, unless another mailbox is that of the key by now."""
        if mailbox.key is not None and self.mailboxes.get((mailbox.place[0], mailbox.key)) is mailbox:
            del self.mailboxes[(mailbox.place[0], mailbox.key)]

    def note_states(self, size: int) -> None:
        """So many bytes of states were kept at most."""
        self.state_bytes += size

    def forget(self, mailbox: Mailbox, fetch: int) -> None:
        """Let go of a mailbox that is idle and has no state worth keeping: of a handler, or of a finished saga. It
        stays until a later fetch if this one may not have known of a hold.
        """
        cell = mailbox.cell
        if mailbox.idle and mailbox.held_through < fetch and (cell is None or cell.completed):
            self.let_go(mailbox)

    def tidy(self, fetch: int) -> None:
        """Keep the number of idle mailboxes bounded; those without state are not kept at all."""
        mailboxes = self.mailboxes
        if len(mailboxes) <= _CACHED and self.state_bytes <= _CACHED_BYTES:
            return
        idle = [name for name, mailbox in mailboxes.items() if mailbox.idle and mailbox.held_through < fetch]
        if len(mailboxes) > _CACHED:
            for name in idle[: len(idle) // 2 + 1]:
                del mailboxes[name]
        self._tidy_states(name for name in idle if name in mailboxes)

    def _tidy_states(self, idle: Iterable[KeyLike]) -> None:
        """Let go of idle states, those first that were there first, until half of the bytes are left."""
        self.state_bytes = sum(_state_size(mailbox) for mailbox in self.mailboxes.values())
        for name in idle:
            if self.state_bytes <= _CACHED_BYTES // 2:
                return
            self.state_bytes -= _state_size(self.mailboxes.pop(name))


def _state_size(mailbox: Mailbox) -> int:
    cell = mailbox.cell
    return 0 if cell is None or cell.body is None else len(cell.body)
