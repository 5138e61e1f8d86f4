"""The mailboxes of keys that a worker knows: those with something in flight, and idle ones, kept for the state in them.

One of the worker's books. `in_flight` asks for a mailbox by its key, and has the idle ones bounded.
"""

from __future__ import annotations

from sagabus.engine.mailbox import Mailbox
from sagabus.envelope import Envelope, Instance
from sagabus.refs import KeyLike

_OVERHEAD = 1_100
"""What a mailbox takes besides the bytes of its state (measured): the live object, the key, and numbers."""

_COPIES = 2
"""The text of a state, and the same as the live object."""


class KnownKeys:
    """Mailboxes by channel and key."""

    def __init__(self, limit: int) -> None:
        """`limit`: the bytes that all of them may take. Those with something in flight stay even so."""
        self._limit = limit
        self.mailboxes: dict[KeyLike, Mailbox] = {}
        self.state_bytes = 0
        """Of the states that mailboxes keep. Since the last look, all that was written or loaded is counted as well."""

    def know(self, mailbox: Mailbox, key: str) -> None:
        """From now on this is the mailbox of its key."""
        self.mailboxes[(mailbox.place[0], key)] = mailbox

    def let_go(self, mailbox: Mailbox) -> None:
        """Its key is known no more, unless another mailbox is that of the key by now."""
        if mailbox.key is not None and self.mailboxes.get((mailbox.place[0], mailbox.key)) is mailbox:
            del self.mailboxes[(mailbox.place[0], mailbox.key)]

    def note_states(self, size: int) -> None:
        """So many bytes of states were kept at most."""
        self.state_bytes += size * _COPIES

    def believe(self, mailbox: Mailbox, instance: Instance | None, stash: tuple[Envelope, ...]) -> None:
        """Have a mailbox keep the state that is stored, and the messages that wait for it."""
        mailbox.believe(instance, stash)
        self.state_bytes += _state_size(mailbox)

    def forget(self, mailbox: Mailbox, fetch: int) -> None:
        """Let go of a mailbox that is idle and has no state worth keeping: of a handler, or of a finished saga. It
        stays until a later fetch if this one may not have known of a hold.
        """
        cell = mailbox.cell
        if mailbox.idle and mailbox.held_through < fetch and (cell is None or cell.completed):
            self.let_go(mailbox)

    def tidy(self, fetch: int) -> None:
        """Keep the bytes of idle mailboxes bounded: those go first that were there first."""
        mailboxes = self.mailboxes
        room = self._limit - len(mailboxes) * _OVERHEAD
        if self.state_bytes <= room:
            return
        self.state_bytes = sum(map(_state_size, mailboxes.values()))
        if self.state_bytes <= room:
            return
        # A quarter more than must go: it takes a look through all of them to find those that are idle.
        excess = self.state_bytes - room + self._limit // 4
        for name in [name for name, mailbox in mailboxes.items() if mailbox.idle and mailbox.held_through < fetch]:
            if excess <= 0:
                return
            size = _state_size(mailboxes.pop(name))
            self.state_bytes -= size
            excess -= size + _OVERHEAD


def _state_size(mailbox: Mailbox) -> int:
    cell = mailbox.cell
    if cell is None:
        return 0
    copies = 1 if cell.state is None else _COPIES
    return len(cell.body or b"") * copies + sum([len(envelope.body) for envelope in cell.stash])
