"""Which facts metrics are about: their names, units, labels and texts, decided once for every exporter.

A name is that of OpenTelemetry, and Prometheus gets it as OpenTelemetry's own exporter would write it. The values come
out of the counts of a process (`tally`), of its health, and of a look at its store (`look`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from operator import attrgetter
from typing import Literal, NamedTuple, Protocol, TypeAlias

__all__ = [
    "COUNTED",
    "HISTOGRAMS",
    "OF_HEALTH",
    "OF_STORE",
    "OLDEST_TRANSACTION",
    "STORE_UP",
    "Counted",
    "Fact",
    "Samples",
]

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
Samples: TypeAlias = Iterable[tuple[Sequence[str], float]]
"""Values of the labels in their order, and the value."""


class Fact(NamedTuple):
    """One metric, the same for every exporter."""

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    unit: str = "1"
    """As UCUM writes it: `s`, or a word in braces."""
    bounds: tuple[float, ...] = ()
    """Upper bounds of the classes of a histogram."""


_RECEIVED = ("subscription", "message_type")
_KINDS = ("ready", "running", "held", "scheduled", "timers", "retrying", "stashed")
_LIKELY = ("failed", "permanent", "worker died")
_NOT_ACCEPTED = ("collision", "too old", "damaged")
_SHORT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

HANDLED = Fact("sagabus.handled_messages", "counter", "Runs with a committed outcome.", (*_RECEIVED, "result"), "{run}")
FAILED = Fact("sagabus.failed_runs", "counter", "Runs that ended with an error.", _RECEIVED, "{run}")
RUN_DURATION = Fact(
    "sagabus.run_duration",
    "histogram",
    "How long runs of handlers took, without the commit.",
    _RECEIVED,
    "s",
    (0.001, 0.0025, *_SHORT, 60.0, 300.0, 600.0),
)
CRITICAL_TIME = Fact(
    "sagabus.critical_time",
    "histogram",
    "From the sending of a message to the commit of its effect.",
    _RECEIVED,
    "s",
    (*_SHORT, 60.0, 300.0, 900.0, 3_600.0, 86_400.0),
)
DEAD = Fact("sagabus.dead_letters", "counter", "New dead letters.", ("subscription", "cause"), "{message}")
LOST = Fact(
    "sagabus.lost_runs",
    "counter",
    "Runs whose outcome a commit refused; conflicts run again.",
    ("subscription", "verdict"),
    "{run}",
)
REFUSED = Fact(
    "sagabus.refused_messages",
    "counter",
    "Messages that the store did not accept, duplicates by what is done about them.",
    ("subscription", "answer", "reaction"),
    "{message}",
)
UNHEARD = Fact(
    "sagabus.unheard_events", "counter", "Events that no subscription receives.", ("message_type",), "{event}"
)
FLUSH_SIZE = Fact(
    "sagabus.flush_size",
    "histogram",
    "Messages whose outcomes went to the store together.",
    (),
    "{message}",
    (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0),
)
COMMIT_DURATION = Fact(
    "sagabus.commit_duration",
    "histogram",
    "How long the store took for a flush.",
    (),
    "s",
    (0.0005, 0.001, 0.0025, *_SHORT),
)
HISTOGRAMS = (RUN_DURATION, CRITICAL_TIME, FLUSH_SIZE, COMMIT_DURATION)
STORE_UP = Fact("sagabus.store_up", "gauge", "Whether the store answered.")
OLDEST_TRANSACTION = Fact(
    "sagabus.oldest_transaction", "gauge", "How long the oldest open transaction of the database has lasted.", (), "s"
)


# --- what this process has counted ------------------------------------------------------------------------------------


class Counted(Protocol):
    """The part of a `Tally` that is counts."""

    dead: Counter[tuple[str, str]]
    lost: Counter[tuple[str, str]]
    refused: Counter[tuple[str, str, str]]
    unheard: Counter[str]

    def results(self) -> Mapping[tuple[str, str], Mapping[str, int]]:
        """By subscription and message type, then by result."""
        ...

    def failures(self) -> Mapping[tuple[str, str], int]:
        """By subscription and message type."""
        ...


def _dead(tally: Counted, names: Iterable[str]) -> Samples:
    # From 0, because Prometheus sees no increase where a series begins.
    return [*({(name, cause): 0 for name in names for cause in _LIKELY} | tally.dead.copy()).items()]


def _refused(tally: Counted, names: Iterable[str]) -> Samples:
    return [*({(name, answer, ""): 0 for name in names for answer in _NOT_ACCEPTED} | tally.refused.copy()).items()]


def _handled(tally: Counted, names: Iterable[str]) -> Samples:
    return [((*place, result), count) for place, found in tally.results().items() for result, count in found.items()]


COUNTED: Mapping[Fact, Callable[[Counted, Iterable[str]], Samples]] = {
    HANDLED: _handled,
    FAILED: lambda tally, names: tally.failures().items(),
    DEAD: _dead,
    LOST: lambda tally, names: tally.lost.copy().items(),
    REFUSED: _refused,
    UNHEARD: lambda tally, names: [((name,), count) for name, count in tally.unheard.copy().items()],
}
"""Counters, of a tally and the names of the subscriptions that are known."""


# --- how this process is ----------------------------------------------------------------------------------------------


class Part(Protocol):
    """As `Health`."""

    @property
    def is_healthy(self) -> bool: ...
    @property
    def waits(self) -> tuple[str, ...]: ...


class Whole(Part, Protocol):
    """As `Health`."""

    @property
    def parts(self) -> Mapping[str, Part]: ...
    @property
    def abandoned_threads(self) -> int: ...
    @property
    def stuck(self) -> Mapping[str, int]: ...
    @property
    def orphan_timers(self) -> Mapping[str, int]: ...
    @property
    def recent_dead_letters(self) -> Mapping[str, int]: ...
    @property
    def long_runs(self) -> Mapping[str, int]: ...


OF_HEALTH: Mapping[Fact, Callable[[Whole], Samples]] = {
    Fact("sagabus.part_healthy", "gauge", "Whether a part of the bus does its work.", ("part",)): (
        lambda health: [((name,), int(each.is_healthy)) for name, each in health.parts.items()]
    ),
    Fact("sagabus.part_waiting", "gauge", "Whether a part waits for what comes back without a restart.", ("part",)): (
        lambda health: [((name,), int(bool(each.waits))) for name, each in health.parts.items()]
    ),
    Fact(
        "sagabus.stuck_sagas",
        "gauge",
        "Instances that have not changed for longer than their saga allows.",
        ("saga",),
        "{instance}",
    ): lambda health: [((name,), count) for name, count in health.stuck.items()],
    Fact(
        "sagabus.orphan_timers", "gauge", "Timers that are set for no instance, up to 100 in all.", ("saga",), "{timer}"
    ): lambda health: [((name,), count) for name, count in health.orphan_timers.items()],
    Fact(
        "sagabus.recent_dead_letters",
        "gauge",
        "Open dead letters that failed within 15 minutes.",
        ("subscription",),
        "{message}",
    ): lambda health: [((name,), count) for name, count in health.recent_dead_letters.items()],
    Fact(
        "sagabus.long_runs", "gauge", "Runs that last for longer than Settings.warn_after.", ("subscription",), "{run}"
    ): lambda health: [((name,), count) for name, count in health.long_runs.items()],
    Fact(
        "sagabus.abandoned_threads",
        "gauge",
        "Threads of handlers that reached their time limit and have not returned.",
        (),
        "{thread}",
    ): lambda health: [((), health.abandoned_threads)],
}


# --- what waits in the store ------------------------------------------------------------------------------------------


class Waiting(Protocol):
    """What waits for one subscription; as `sagabus.bus.inspection.SubscriptionStatus`."""

    @property
    def name(self) -> str: ...
    @property
    def oldest_age(self) -> timedelta | None: ...
    @property
    def longest_run(self) -> timedelta | None: ...
    @property
    def dead(self) -> int: ...
    @property
    def workers(self) -> int: ...
    @property
    def lanes(self) -> int: ...
    @property
    def owned_lanes(self) -> int: ...


def _seconds(age: timedelta | None) -> float:
    return 0.0 if age is None else age.total_seconds()


def _each(value_of: Callable[[Waiting], float]) -> Callable[[Sequence[Waiting]], Samples]:
    return lambda found: [((each.name,), value_of(each)) for each in found]


_OF_ONE = ("subscription",)
OF_STORE: Mapping[Fact, Callable[[Sequence[Waiting]], Samples]] = {
    Fact("sagabus.backlog_oldest_age", "gauge", "Age of the oldest message that is ready to run.", _OF_ONE, "s"): (
        _each(lambda each: _seconds(each.oldest_age))
    ),
    Fact("sagabus.longest_run", "gauge", "How long the longest run has lasted in any worker.", _OF_ONE, "s"): (
        _each(lambda each: _seconds(each.longest_run))
    ),
    Fact("sagabus.open_dead_letters", "gauge", "Open dead letters, up to 10,000 in all.", _OF_ONE, "{message}"): (
        _each(attrgetter("dead"))
    ),
    Fact("sagabus.workers", "gauge", "Live workers.", _OF_ONE, "{worker}"): _each(attrgetter("workers")),
    Fact("sagabus.lanes", "gauge", "Lanes.", _OF_ONE, "{lane}"): _each(attrgetter("lanes")),
    Fact("sagabus.owned_lanes", "gauge", "Lanes with a live worker.", _OF_ONE, "{lane}"): (
        _each(attrgetter("owned_lanes"))
    ),
    Fact(
        "sagabus.backlog_messages",
        "gauge",
        "Messages that wait, up to 10,000 of a kind.",
        ("subscription", "kind"),
        "{message}",
    ): lambda found: [((each.name, kind), getattr(each, kind)) for each in found for kind in _KINDS],
}
