"""Ids as ever, chance as its longest."""

from __future__ import annotations

from sagabus.clock import Clock
from sagabus.identity import SystemIdentity

_NEARLY_ONE = 1 - 2**-53


class LongestWaits(SystemIdentity):
    """Jitter always takes (all but) the whole of what it may: a test knows how far to advance."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)

    def fraction(self) -> float:
        """The largest number below 1."""
        return _NEARLY_ONE
