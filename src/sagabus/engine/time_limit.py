"""How long a run may take: it is said that one lasts long, and one that outlasts its limit is cancelled.

Only runs that wait are looked after; a plain function that keeps the event loop to itself cannot be interrupted
(`loop_beat` says that it blocks). One alarm serves all runs, so that a run costs no timer of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from math import inf
from operator import attrgetter
from typing import Protocol

from sagabus.clock import Cancellable, Clock
from sagabus.engine.health import Health
from sagabus.envelope import Envelope, named
from sagabus.errors import TimeLimitExceeded

log = logging.getLogger("sagabus")

_AGAIN = 1.0
"""Seconds between the cancellations of a handler that goes on all the same."""
_MOST_CANCELLATIONS = 10


class Watched(Protocol):
    """One run that waits, and what is known of its limit."""

    envelope: Envelope
    task: asyncio.Task[object] | None
    began: float
    warn_at: float
    cancellations: int
    """How often it was cancelled, because it had reached its limit."""

    @property
    def limit(self) -> float | None:
        """Seconds that it may take; None for the default."""
        ...


class TimeLimits:
    """Looks after the runs of one worker. `default` and `warn_after` are seconds; None for no limit."""

    def __init__(self, clock: Clock, default: float | None, warn_after: float) -> None:
        self._clock = clock
        self._default = inf if default is None else default
        self._warn_after = warn_after
        self._running: dict[int, Watched] = {}
        self._alarm: Cancellable | None = None
        self._due = inf

    def begin(self, run: Watched) -> None:
        """Look after a run of the current task; its time begins now, unless it is on hold."""
        run.task = asyncio.current_task()
        self._running[id(run)] = run
        if run.began != inf:
            self.count(run)

    def end(self, run: Watched) -> None:
        """Look after a run no longer."""
        self._running.pop(id(run), None)

    def hold(self, run: Watched) -> None:
        """Count no time until `count`: the run waits for its turn."""
        run.began = inf

    def count(self, run: Watched) -> None:
        """Count the time of a run from now on."""
        run.began, run.warn_at = self._clock.monotonic(), self._warn_after
        self._wake_at(run.began + min(self._warn_after, self._limit(run)))

    def error(self, run: Watched, error: BaseException | None) -> BaseException | None:
        """What a run has failed by that ended with `error`, or with none: a limit that it exceeded comes first."""
        task = run.task
        if not run.cancellations or task is None:
            return error
        for _ in range(run.cancellations):
            task.uncancel()
        if isinstance(error, asyncio.CancelledError) and task.cancelling():
            return error  # the worker stops: this counts for nothing
        exceeded = TimeLimitExceeded(
            f"it ran for longer than {self._limit(run):g} s and was cancelled: raise its `timeout`, or see what it "
            "waited for in the traceback",
            message_id=run.envelope.message_id,
            subscription=run.envelope.channel,
            key=run.envelope.partition_key,
        )
        exceeded.__context__ = error
        return exceeded

    def lasting(self, seconds: float) -> Mapping[str, Sequence[Watched]]:
        """The runs that have lasted for so long, by channel; the longest first."""
        before, found = self._clock.monotonic() - seconds, dict[str, list[Watched]]()
        for run in sorted(self._running.values(), key=attrgetter("began")):
            if run.began <= before:
                found.setdefault(run.envelope.channel, []).append(run)
        return found

    def health(self) -> Health:
        """How many runs last long."""
        before = self._clock.monotonic() - self._warn_after
        return Health(long_runs=Counter(run.envelope.channel for run in self._running.values() if run.began <= before))

    def gives_up(self, run: Watched) -> bool:
        """Whether a run has swallowed so many cancellations that it is left where it is."""
        return run.cancellations >= _MOST_CANCELLATIONS

    def close(self) -> None:
        """Call off the alarm; calling twice is harmless."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm, self._due = None, inf

    def _limit(self, run: Watched) -> float:
        return self._default if run.limit is None else run.limit

    def _wake_at(self, due: float) -> None:
        if due < self._due:
            self.close()
            self._due = due
            self._alarm = self._clock.call_after(due - self._clock.monotonic(), self._look)

    def _look(self) -> None:
        self._alarm, self._due = None, inf
        upcoming = min((self._look_at(run) for run in list(self._running.values())), default=inf)
        if upcoming < inf:
            self._wake_at(upcoming)

    def _look_at(self, run: Watched) -> float:
        """When to look at it again."""
        lasted, limit = self._clock.monotonic() - run.began, self._limit(run)
        if lasted >= limit:
            self._cancel(run)
            return run.began + lasted + _AGAIN
        if lasted >= run.warn_at:
            run.warn_at *= 2
            until = "it has no limit" if limit == inf else f"its limit is {limit:g} s"
            log.warning("%s has been running for %.0f s; %s", named(run.envelope), lasted, until)
        return run.began + min(run.warn_at, limit)

    def _cancel(self, run: Watched) -> None:
        run.cancellations += 1
        if run.cancellations == _MOST_CANCELLATIONS:
            log.error("%s ignored %d cancellations; abandoned", named(run.envelope), run.cancellations)
        if run.task is not None:
            run.task.cancel()
