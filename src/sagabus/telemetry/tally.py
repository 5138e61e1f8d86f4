"""What one process has counted since it began: the numbers behind its metrics.

All messages of one commit are counted in one go, in a few steps each. So a bus may count every message.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from sagabus.clock import SECOND
from sagabus.envelope import Cause
from sagabus.observer import Commit, Refused, Unheard

RUNS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)
"""Upper bounds of classes of durations of runs, in seconds."""
WAITS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 86_400.0)
"""The same of critical times."""
COMMITS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0)
MOST_TYPES = 1_000
"""Strangers may name any number of message types. What comes after so many is counted as one more."""
OTHER = "other"
_FAILURES = frozenset({Cause.FAILED, Cause.PERMANENT})


class Distribution:
    """How often a value fell into each class, and the sum of all."""

    __slots__ = ("bounds", "classes", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.classes = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.classes[bisect_left(self.bounds, value)] += 1
        self.total += value

    def copy(self) -> Distribution:
        """As it is now."""
        found = Distribution(self.bounds)
        found.classes, found.total = self.classes.copy(), self.total
        return found


class Received:
    """One message type at one subscription."""

    __slots__ = ("critical", "failed", "results", "runs")

    def __init__(self) -> None:
        self.results: dict[str, int] = {}
        self.failed = 0
        """Runs that ended with an error."""
        self.runs = Distribution(RUNS)
        self.critical = Distribution(WAITS)

    def copy(self) -> Received:
        """As it is now."""
        found = Received()
        found.failed = self.failed
        found.results, found.runs, found.critical = self.results.copy(), self.runs.copy(), self.critical.copy()
        return found


class Tally:
    """All of it. Counted in the event loop of a bus, and read in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received: dict[tuple[str, str], Received] = {}
        self.dead: Counter[tuple[str, str]] = Counter()
        """New dead letters, by (subscription, cause)."""
        self.lost: Counter[tuple[str, str]] = Counter()
        """Runs whose outcome a commit refused, by (subscription, verdict)."""
        self.refused: Counter[tuple[str, str, str]] = Counter()
        """Messages that a store did not accept, by (subscription, answer, reaction)."""
        self.unheard: Counter[str] = Counter()
        self.flushes = Distribution(SIZES)
        self.commits = Distribution(COMMITS)

    def committed(self, commit: Commit, now: int) -> None:
        """Count what one commit has decided at this instant."""
        with self._lock:
            place = row = None
            for envelope, result, took in zip(commit.envelopes, commit.results, commit.took, strict=True):
                if (envelope.channel, envelope.message_type) != place or row is None:
                    place = envelope.channel, envelope.message_type
                    row = self._row(place)
                results = row.results
                results[result] = results.get(result, 0) + 1
                row.runs.add(took)
                if result == "completed":
                    row.critical.add(max(now - envelope.sent_at, 0) / SECOND)
            self._exceptions(commit)
            self.flushes.add(len(commit.took) + len(commit.lost))
            self.commits.add(commit.seconds)

    def refuse(self, refused: Refused) -> None:
        """Count a message that a store did not accept."""
        with self._lock:
            self.refused[refused.subscription, refused.answer, refused.reaction or ""] += 1
            if refused.answer != "duplicate":
                self.dead[refused.subscription, refused.answer] += 1

    def not_heard(self, unheard: Unheard) -> None:
        """Count an event without a receiver."""
        with self._lock:
            name = unheard.message_type
            self.unheard[name if name in self.unheard or len(self.unheard) < MOST_TYPES else OTHER] += 1

    def received(self) -> dict[tuple[str, str], Received]:
        """By (subscription, message type), as it is now."""
        with self._lock:
            return {place: row.copy() for place, row in self._received.items()}

    def _exceptions(self, commit: Commit) -> None:
        for each in commit.not_completed:
            if each.result == "dead-lettered" and each.cause is not None:
                self.dead[each.subscription, each.cause.value] += 1
            is_failure = each.cause in _FAILURES if each.result == "dead-lettered" else each.reason is not None
            if is_failure and each.result in ("retried", "dead-lettered"):
                self._row((each.subscription, each.message_type)).failed += 1
        for lost in commit.lost:
            self.lost[lost.subscription, lost.verdict] += 1

    def _row(self, place: tuple[str, str]) -> Received:
        found = self._received.get(place)
        if found is None:
            place = place if len(self._received) < MOST_TYPES else (place[0], OTHER)
            found = self._received.setdefault(place, Received())
        return found
