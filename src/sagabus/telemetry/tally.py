"""What one process has counted since it began: the numbers behind its metrics.

All messages of one commit are counted in one go, in a few steps each. So a bus may count every message.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, Self, TypeVar

from sagabus.clock import SECOND
from sagabus.envelope import Cause
from sagabus.observer import Commit, Refused, Unheard
from sagabus.telemetry.facts import COMMIT_DURATION, CRITICAL_TIME, FLUSH_SIZE, RUN_DURATION, Fact

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

    def add_all(self, values: list[float]) -> None:
        """Count them all; the list is sorted afterwards."""
        classes, bounds = self.classes, self.bounds
        if len(values) > 2 * len(bounds):
            values.sort()
            below = 0
            for place, bound in enumerate(bounds):
                here = bisect_right(values, bound, below)
                classes[place] += here - below
                below = here
            classes[-1] += len(values) - below
        else:
            for value in values:
                classes[bisect_left(bounds, value)] += 1
        self.total += sum(values)

    def erring(self, error_type: str) -> Distribution:
        """The one for runs that ended with this error: it makes no difference here."""
        return self

    def copy(self) -> Distribution:
        """As it is now."""
        found = Distribution(self.bounds)
        found.classes, found.total = self.classes.copy(), self.total
        return found


class Collected(Protocol):
    """Where the values of a histogram go."""

    def add(self, value: float) -> None:
        """Take one."""
        ...

    def add_all(self, values: list[float]) -> None:
        """Take them all; the list is not needed afterwards."""
        ...

    def erring(self, error_type: str) -> Self:
        """Where the same of runs goes that ended with an error."""
        ...

    def copy(self) -> Self:
        """As it is now, to be read in another thread."""
        ...


D = TypeVar("D", bound=Collected)


class Received(Generic[D]):
    """One message type at one subscription."""

    __slots__ = ("critical", "failed", "results", "runs")

    def __init__(self, runs: D, critical: D) -> None:
        self.results: dict[str, int] = {}
        self.failed = 0
        """Runs that ended with an error."""
        self.runs, self.critical = runs, critical

    def count(self, result: str, count: int) -> None:
        """Count what became of some."""
        self.results[result] = self.results.get(result, 0) + count


def _by_place(commit: Commit) -> dict[tuple[str, str], tuple[list[float], list[int]]]:
    """How long the completed runs took, and when their messages were sent, by subscription and message type."""
    found: dict[tuple[str, str], tuple[list[float], list[int]]] = {}
    for envelope, took in commit.completed:
        place = envelope.channel, envelope.message_type
        here = found.get(place)
        if here is None:
            here = found[place] = ([], [])
        here[0].append(took)
        here[1].append(envelope.sent_at)
    return found


class Tally(Generic[D]):
    """All of it. Counted in the event loop of a bus, and read in any thread.

    `make` says where the values of a histogram go, by the fact and the values of its labels.
    """

    def __init__(self, make: Callable[[Fact, tuple[str, ...]], D]) -> None:
        self._lock = threading.Lock()
        self._make = make
        self._received: dict[tuple[str, str], Received[D]] = {}
        self.dead: Counter[tuple[str, str]] = Counter()
        """New dead letters, by (subscription, cause)."""
        self.lost: Counter[tuple[str, str]] = Counter()
        """Runs whose outcome a commit refused, by (subscription, verdict)."""
        self.refused: Counter[tuple[str, str, str]] = Counter()
        """Messages that a store did not accept, by (subscription, answer, reaction)."""
        self.unheard: Counter[str] = Counter()
        self.flushes, self.commits = make(FLUSH_SIZE, ()), make(COMMIT_DURATION, ())

    def committed(self, commit: Commit, now: int) -> None:
        """Count what one commit has decided at this instant."""
        with self._lock:
            for place, (runs, sent) in _by_place(commit).items():
                row = self._row(place)
                row.count("completed", len(runs))
                row.runs.add_all(runs)
                row.critical.add_all([(now - at) / SECOND if at < now else 0.0 for at in sent])
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

    def results(self) -> dict[tuple[str, str], dict[str, int]]:
        """How many messages, by (subscription, message type) and then by result."""
        with self._lock:
            return {place: row.results.copy() for place, row in self._received.items()}

    def failures(self) -> dict[tuple[str, str], int]:
        """How many runs ended with an error, by (subscription, message type)."""
        with self._lock:
            return {place: row.failed for place, row in self._received.items()}

    def durations(self, fact: Fact) -> dict[tuple[str, ...], D]:
        """What the histogram of a fact has, by the values of its labels."""
        with self._lock:
            if fact is FLUSH_SIZE or fact is COMMIT_DURATION:
                return {(): (self.flushes if fact is FLUSH_SIZE else self.commits).copy()}
            is_runs = fact is RUN_DURATION
            return {place: (row.runs if is_runs else row.critical).copy() for place, row in self._received.items()}

    def _exceptions(self, commit: Commit) -> None:
        for each in commit.not_completed:
            if each.result == "dead-lettered" and each.cause is not None:
                self.dead[each.subscription, each.cause.value] += 1
            row, runs = self._row((each.subscription, each.message_type)), None
            row.count(each.result, 1)
            is_failure = each.cause in _FAILURES if each.result == "dead-lettered" else each.reason is not None
            if is_failure and each.result in ("retried", "dead-lettered"):
                row.failed += 1
                runs = row.runs.erring(each.error_type or OTHER)
            (runs or row.runs).add(each.took)
        for lost in commit.lost:
            self.lost[lost.subscription, lost.verdict] += 1

    def _row(self, place: tuple[str, str]) -> Received[D]:
        found = self._received.get(place)
        if found is None:
            place = place if len(self._received) < MOST_TYPES else (place[0], OTHER)
            found = self._received.get(place)
        if found is None:
            found = Received(self._make(RUN_DURATION, place), self._make(CRITICAL_TIME, place))
            self._received[place] = found
        return found
