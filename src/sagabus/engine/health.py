"""Whether the parts of a bus can do their work, for the health check of the process around it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from sagabus.text import discreet


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is wrong with a bus, and what it waits for.

    As `bus.health()` returns it, it is what this process knows at once. Awaited, it has asked the store, too.
    """

    reasons: tuple[str, ...] = ()
    """Each says what is wrong and what to do."""
    waits: tuple[str, ...] = ()
    """What the bus waits for that comes back without a restart, such as a broker. Each says what rests meanwhile."""
    abandoned_threads: int = 0
    """Threads of handlers that reached their time limit and have not returned."""
    stuck: Mapping[str, int] = field(default_factory=dict[str, int])
    """How many instances of each saga have not changed for longer than it allows, at the last look of this process."""
    orphan_timers: Mapping[str, int] = field(default_factory=dict[str, int])
    """How many timers of each saga are set for no instance, at most 100 in all, at the last look of this process."""
    oldest_messages: Mapping[str, timedelta] = field(default_factory=dict[str, timedelta])
    """How long the oldest message of each subscription has been ready, at the last look of this process. What leaves
    by a broker is ready until the broker has it.
    """
    unowned_lanes: Mapping[str, int] = field(default_factory=dict[str, int])
    """How many lanes of each subscription no live worker has, at the last look of this process."""
    recent_dead_letters: Mapping[str, int] = field(default_factory=dict[str, int])
    """How many open dead letters of each subscription failed within 15 minutes before the last look of this process."""
    long_runs: Mapping[str, int] = field(default_factory=dict[str, int])
    """How many runs of each subscription have lasted for longer than `Settings.warn_after`, and last."""
    parts: Mapping[str, Health] = field(default_factory=dict[str, "Health"])
    """The same of each part by its name: `worker`, `housekeeping`, a bridge, and `store` once it was asked."""
    answers: bool | None = None
    """Whether the bus is open and its store answers; None unless the store was asked. False also while a worker cannot
    fetch or commit: a full disk, for one, lets others read.
    """
    ask: Callable[[Health], Awaitable[Health]] | None = field(default=None, compare=False, repr=False)
    """Asks the store; what awaiting this does."""

    def __await__(self) -> Generator[Any, None, Health]:
        """The same, and whether the store answers. WrongEventLoop in another loop than that of the bus; errors of the
        store are part of the answer. Twice is harmless, and cancelled, nothing remains of it.
        """
        return (_itself(self) if self.ask is None else self.ask(self)).__await__()

    @property
    def is_healthy(self) -> bool:
        """Whether there is nothing that only a restart of the process would cure."""
        return not self.reasons

    @property
    def is_ready(self) -> bool:
        """Whether the bus accepts messages and handles them: it is healthy, and its store has answered if asked."""
        return self.is_healthy and self.answers is not False


async def _itself(health: Health) -> Health:
    return health


def refused_by_store(health: Health, what: str, error: Exception) -> Health:
    """The health of a part whose last call the store has refused. The part repeats it, so no restart is needed."""
    wait = f"{what}: {type(error).__name__}: {discreet(str(error))}; it tries again by itself"
    return replace(health, waits=(*health.waits, wait), answers=False)
