"""What passes between a store and a worker: lanes, cursors, what was due, and what came of it.

A part of the contract in `store`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from sagabus.envelope import Envelope, Instance
from sagabus.outcome import Outcome
from sagabus.refs import LaneLike
from sagabus.store.journal import JournalRow


class Lane(msgspec.Struct, frozen=True, gc=False):
    """A share of one channel that this worker owns until its lease ends."""

    channel: str
    lane: int
    epoch: int
    """Rises with each change of owner; a commit with an older one is fenced off."""
    suspect_until: int = 0
    """A crashed worker may have had envelopes up to this position in flight."""
    suspect_keys: Mapping[str, int] = {}
    """The same for the keys that the worker fetched by separate cursors."""

    def is_suspect(self, key: str | None, position: int) -> bool:
        """Whether a crashed worker may have had the envelope in flight."""
        until = self.suspect_until if key is None else self.suspect_keys.get(key, self.suspect_until)
        return position <= until


class Cursor(msgspec.Struct, frozen=True, gc=False):
    """Where to go on fetching in one lane."""

    channel: str
    lane: int
    after: int
    """The worker has received the envelopes that are due at once, up to this position."""


class Loaded(msgspec.Struct, frozen=True, gc=False):
    """What is stored under one saga key: the instance, and the messages that wait for it."""

    key: str
    instance: Instance | None
    stashed: tuple[Envelope, ...] = ()


class Fetched(msgspec.Struct, frozen=True, gc=False):
    """What was due, per lane in order of position; and how long until the next envelope of these lanes is."""

    envelopes: tuple[Envelope, ...]
    next_due_in: int | None
    """Microseconds, by the store's clock; None when nothing is scheduled."""
    loaded: tuple[tuple[str, Loaded], ...] = ()
    """Saga (channel) and what is stored under some of the envelopes' keys, read at the same moment: it need not be
    loaded again. A store may leave out any or all of it."""
    crew: int | None = None
    """Changes when a worker came, went or died, or gave up lanes: time to lease again. None: not read."""
    reached: int = 0
    """Of a sift with fewer envelopes than the limit: no further wanted envelope stands up to this position."""


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Outcomes to commit together. Outcomes of one (channel, partition key) stand in the order in which they ran."""

    outcomes: Sequence[Outcome]
    routing: int
    """The routing version that their sent messages were addressed with."""
    epochs: Mapping[LaneLike, int]
    """Epoch of each lane that the outcomes come from."""
    journal: Mapping[int, JournalRow] = {}
    """The journal's row of each outcome that is to have one, by the position of its envelope. It commits with the
    outcome; a `Marked` has none.
    """


def by_place(envelopes: Iterable[Envelope]) -> dict[LaneLike, list[Envelope]]:
    """Envelopes by their lane, in their order."""
    found: dict[LaneLike, list[Envelope]] = {}
    channel, lane = "", -1
    same: list[Envelope] = []
    for envelope in envelopes:
        if envelope.lane != lane or envelope.channel != channel:
            channel, lane = envelope.channel, envelope.lane
            same = found.setdefault((channel, lane), [])
        same.append(envelope)
    return found
