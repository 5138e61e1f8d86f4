"""One lane of a worker: where fetching goes on, how much of it is in flight, and which of its keys are loud.

A loud key has filled its lane and goes on filling it. From then on a separate cursor fetches it, and the lane's cursor
passes over it. So the keys behind it need not wait for its backlog (decision 0013).
"""

from __future__ import annotations

from collections.abc import Iterable

from sagabus.engine.mailbox import Mailbox
from sagabus.envelope import Envelope
from sagabus.refs import LaneRef
from sagabus.store import Lane
from sagabus.store.loud import MOST_LOUD

_SHARE = 8
"""A key that has more than this part of a lane's window in flight may be loud."""
_QUARTER = 4


class LoudKey:
    """Where fetching goes on for one key, and how much of it is in flight."""

    __slots__ = ("after", "in_flight", "sent_at")

    def __init__(self, after: int, in_flight: int) -> None:
        self.after = after
        self.in_flight = in_flight
        self.sent_at = 0
        """When the latest message was sent that its cursor has passed."""


class HeldLane:
    """One lane that this worker owns. Every key's envelopes up to its cursor were handed out: its own one, or else the
    lane's.
    """

    __slots__ = (
        "after",
        "at_end",
        "epoch",
        "in_flight",
        "is_due_again",
        "lane",
        "large",
        "loud",
        "loud_in_flight",
        "noted",
        "ref",
        "rests_until",
        "whole_again_at",
    )

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.ref = LaneRef(lane.channel, lane.lane)
        self.epoch = lane.epoch
        self.after = 0
        self.in_flight = 0
        self.loud: dict[str, LoudKey] = {}
        self.loud_in_flight = 0
        self.large: set[Mailbox] = set()
        """Those that had more than a share of the window in flight since the lane's cursor has gone on last."""
        self.noted: frozenset[str] = frozenset()
        """The keys that the store knows to be loud: those that are, and some that were."""
        self.at_end: float | None = None
        """When the lane's cursor was at its end last, by the monotonic clock."""
        self.is_due_again = False
        """It is to be looked through from its beginning, when that has not just been done."""
        self.rests_until = 0.0
        self.whole_again_at = 0.0

    @property
    def has_suspects(self) -> bool:
        """Whether a worker that died may have had anything of it in flight."""
        return bool(self.lane.suspect_until or self.lane.suspect_keys)

    @property
    def quiet_in_flight(self) -> int:
        """What is in flight of all keys that are not loud."""
        return self.in_flight - self.loud_in_flight

    @property
    def fullest(self) -> int:
        """The most that is in flight by one cursor."""
        return max([self.quiet_in_flight, *[loud.in_flight for loud in self.loud.values()]])

    def take(self, mailbox: Mailbox, window: int, weight: int = 1) -> None:
        """One more is in flight, which counts as so many."""
        self.in_flight += weight
        mailbox.in_flight += weight
        if self.loud and mailbox.key is not None and (loud := self.loud.get(mailbox.key)) is not None:
            loud.in_flight += weight
            self.loud_in_flight += weight
        elif mailbox.in_flight * _SHARE > window:
            self.large.add(mailbox)

    def put_down(self, mailbox: Mailbox, weight: int) -> None:
        """What counts as so many is no longer in flight."""
        self.in_flight -= weight
        mailbox.in_flight -= weight
        if self.loud and mailbox.key is not None and (loud := self.loud.get(mailbox.key)) is not None:
            loud.in_flight -= weight
            self.loud_in_flight -= weight

    def go_on(self, after: int, window: int) -> None:
        """The lane's cursor goes on; what does not fill the lane any more is forgotten."""
        self.after = after
        if self.large:
            self.large = {mailbox for mailbox in self.large if mailbox.in_flight * _SHARE > window}

    def at_its_end(self, now: float) -> None:
        """The lane's cursor has found all that is due."""
        self.at_end = now

    def is_behind(self, now: float, patience: float) -> bool:
        """Whether the lane's cursor has not been at its end for so long."""
        if self.at_end is None:
            self.at_end = now
        return now - self.at_end >= patience

    def begin_again_in_time(self, now: float) -> None:
        """Begin again if that is due, and has not just been done."""
        if self.is_due_again and now >= self.whole_again_at:
            self.begin_again()
            self.is_due_again = False

    def rest(self, until: float) -> None:
        """Look past its loud keys no sooner than then."""
        self.rests_until = until

    def rest_from_beginning(self, until: float) -> None:
        """Look through it from its beginning, without need, no sooner than then."""
        self.whole_again_at = until

    def note(self, keys: Iterable[str]) -> None:
        """The store knows of these loud keys."""
        self.noted = frozenset(keys) or self.noted

    def key_went_on(self, key: str, after: int, sent_at: int) -> None:
        """The cursor of a loud key goes on, past a message that was sent then."""
        loud = self.loud[key]
        loud.after, loud.sent_at = after, max(loud.sent_at, sent_at)

    def is_before(self, timer: Envelope) -> bool:
        """Whether the cursor of its key, which is loud, may yet come to messages that go before a timer."""
        loud = self.loud.get(timer.partition_key or "")
        return loud is not None and loud.sent_at <= timer.due_at

    def begin_again(self) -> None:
        """Hand out everything from the beginning: what was held back may be free."""
        self.after = 0
        for loud in self.loud.values():
            loud.after = loud.sent_at = 0

    def is_hungry(self, window: int) -> bool:
        """Whether the lane's cursor has room for more."""
        if self.loud:
            return self.quiet_in_flight * _QUARTER <= window
        return self.in_flight * 2 <= window

    def limit(self, window: int) -> int:
        """How much the lane's cursor takes at once."""
        return max(window // (_QUARTER if self.loud else 2), 1)

    def limit_of_key(self, window: int) -> int:
        """How much the cursor of a loud key takes at once: all together have a window."""
        return max(window // (2 * len(self.loud)), 1)

    def hungry_keys(self, window: int) -> list[str]:
        """The loud keys whose cursors have room for more."""
        limit = self.limit_of_key(window)
        return [key for key, loud in self.loud.items() if loud.in_flight <= limit]

    def filling(self) -> list[str]:
        """Which keys fill it; as many as may become loud."""
        found = [m.key for m in self.large if m.key is not None and m.has_stored_key and m.key not in self.loud]
        return sorted(set(found))[: MOST_LOUD - len(self.loud)]

    def make_loud(self, key: str, in_flight: int) -> None:
        """Give a key a cursor of its own, that goes on where the lane's is now."""
        self.loud[key] = LoudKey(self.after, in_flight)
        self.loud_in_flight += in_flight

    def make_quiet(self, key: str) -> None:
        """Take a key back under the lane's cursor: nothing of it stands before that which was not handed out."""
        self.loud_in_flight -= self.loud.pop(key).in_flight
