"""Whether the parts of a bus can do their work, for the health check of the process around it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is wrong with a bus in this process, and what it waits for; nothing of it is about the database."""

    reasons: tuple[str, ...] = ()
    """Each says what is wrong and what to do."""
    waits: tuple[str, ...] = ()
    """What the bus waits for that comes back without a restart, such as a broker. Each says what rests meanwhile."""
    abandoned_threads: int = 0
    """Threads of handlers that reached their time limit and have not returned."""

    @property
    def is_healthy(self) -> bool:
        """Whether there is nothing that only a restart of the process would cure."""
        return not self.reasons
