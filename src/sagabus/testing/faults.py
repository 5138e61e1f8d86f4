"""Failures on cue: of handlers, and of the commit."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

from sagabus.context import Context
from sagabus.middleware import Next

Raised: TypeAlias = BaseException | type[BaseException]


@dataclass(slots=True)
class Cue:
    """That the next `times` calls fail with `error`."""

    error: Raised
    times: int
    afterwards: bool = False
    """Only after the call has done its work: the caller cannot know."""


class Cues:
    """Cues in the order in which they were given."""

    def __init__(self) -> None:
        self._cues: deque[Cue] = deque()

    def add(self, cue: Cue) -> None:
        """Give a cue."""
        if cue.times < 1:
            raise ValueError(f"a failure happens at least once, not {cue.times} times")
        self._cues.append(cue)

    def take(self) -> Cue | None:
        """The cue for the present call, if there is one."""
        if not self._cues:
            return None
        cue = self._cues[0]
        cue.times -= 1
        if cue.times == 0:
            self._cues.popleft()
        return cue


class HandlerFaults:
    """A middleware that raises in place of chosen subscriptions."""

    def __init__(self) -> None:
        self._by_name: dict[str, Cues] = {}

    def add(self, subscription: str, cue: Cue) -> None:
        """Make the next runs of one subscription fail."""
        self._by_name.setdefault(subscription, Cues()).add(cue)

    async def __call__(self, message: object, ctx: Context, call_next: Next) -> None:
        """Raise on cue, else go on."""
        cues = self._by_name.get(ctx.subscription)
        cue = cues.take() if cues is not None else None
        if cue is not None:
            raise cue.error
        await call_next(message, ctx)
