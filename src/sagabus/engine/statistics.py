"""The counts of `bus.statistics`, kept by an observer."""

from __future__ import annotations

from collections import Counter

from sagabus.envelope import Cause
from sagabus.observer import Commit, Observer, Refused, Unheard

UNHEARD = "unheard"
"""The status and the count of an event that no subscription receives."""


class Statistics(Observer):
    """Counts by (subscription, what became of the message); unheard events by their type."""

    def __init__(self, counts: Counter[tuple[str, str]]) -> None:
        self._counts = counts

    def committed(self, commit: Commit) -> None:
        """See `Observer`."""
        self._counts.update(commit.counts)
        for each in commit.not_completed:
            if each.cause is Cause.NO_KEY:
                self._counts[each.subscription, Cause.NO_KEY.value] += 1

    def refused(self, refused: Refused) -> None:
        """See `Observer`."""
        self._counts[refused.subscription, refused.answer] += 1

    def unheard(self, unheard: Unheard) -> None:
        """See `Observer`."""
        self._counts[unheard.message_type, UNHEARD] += 1
