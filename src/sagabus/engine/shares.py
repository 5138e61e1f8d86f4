"""How much of a flush to try next, by what became of the parts before: pure, so that a table can test it.

`flush` asks, commits, and reports. A commit that fails may be too much for one call, so the next part is half as long.
One outcome that is lost alone again and again, while the store takes others, is hopeless.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from enum import Enum
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

SHORTEST_PAUSE = 0.05
LONGEST_PAUSE = 5.0
SMALL = 8
"""So many outcomes at once, where one of them may cost the connection each time."""


class Loss(Enum):
    """What follows from a commit that was lost."""

    AGAIN = "again"
    """Try again after the pause."""
    ASIDE = "aside"
    """The same, and this single one behind its neighbours: it may be the one at fault."""
    HOPELESS = "hopeless"
    """It was lost alone as often as it may be. It is refused."""


class Shares(Generic[T]):
    """The parts of one flush of so many items."""

    def __init__(self, count: int) -> None:
        self.pause = SHORTEST_PAUSE
        """Seconds to wait before the next part, where the last one was lost."""
        self._share = self._most = count
        self._alone: Counter[T] = Counter()
        """How often in a row each was lost alone, while the store took others."""

    def next(self, items: Sequence[T]) -> Sequence[T]:
        """The part to try; an item that was lost alone before is tried alone again."""
        part = items[: self._share]
        if not self._alone:
            return part
        first = next((at for at, item in enumerate(part) if self._alone.get(item)), len(part))
        return part[: max(first, 1)]

    def times(self, item: T) -> int:
        """How often in a row an item was lost alone."""
        return self._alone[item]

    def answered(self, part: Sequence[T], *, is_refused: bool) -> None:
        """The store has taken a part. `is_refused`: but for its last item, which says nothing of a part of one."""
        if not is_refused or len(part) > 1:
            self.pause, self._share = SHORTEST_PAUSE, min(self._share * 2, self._most)

    def taken_apart(self) -> None:
        """A part cannot be committed together: one by one."""
        self._share = 1

    def lost(self, part: Sequence[T], *, takes_others: bool, costs_connection: bool, tries: int) -> Loss:
        """A commit was lost. `takes_others`: the store commits other things meanwhile, so that it is the part's own
        doing. `costs_connection`: it may lose the connection each time. `tries`: how often a single item may be lost.
        """
        if not takes_others:
            self._alone.clear()
        elif len(part) == 1:
            self._alone[part[0]] += 1
            if self._alone[part[0]] >= tries:
                self.pause = SHORTEST_PAUSE
                return Loss.HOPELESS
        self._share = max(len(part) // 2, 1)
        if takes_others and costs_connection:
            self._share, self._most = 1, SMALL
        return Loss.ASIDE if takes_others and len(part) == 1 else Loss.AGAIN

    def paused(self) -> None:
        """The pause is over; the next one is twice as long."""
        self.pause = min(self.pause * 2, LONGEST_PAUSE)
