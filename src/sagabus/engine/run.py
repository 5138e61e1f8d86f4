"""One run under way: what is called, on what, and what it gathers."""

from __future__ import annotations

import asyncio
import contextvars

import msgspec

from sagabus.context import Context
from sagabus.definitions.reaction import Reaction
from sagabus.definitions.saga import Saga
from sagabus.engine.mailbox import BelievedState
from sagabus.engine.observers import Entered
from sagabus.envelope import Envelope


class Run(msgspec.Struct, eq=False):
    """Made by a consumer once there is something to call; it becomes an outcome when the call has ended."""

    reaction: Reaction
    message: object
    ctx: Context
    envelope: Envelope
    state: Saga | None = None
    cell: BelievedState | None = None
    """Where the state came from, and where the next one goes; None for a handler, which has no state."""
    context: contextvars.Context | None = None
    """The context variables that it sees."""
    given: object = None
    """The message as the handler got it of a middleware that may have replaced it."""
    returned: object = None
    """What the handler returned at once; it is still to be awaited."""
    entered: Entered | None = None
    """What observers returned when it began."""
    started: float = 0.0
    """When it began, if an observer asks how long runs take."""
    task: asyncio.Task[object] | None = None
    began: float = 0.0
    warn_at: float = 0.0
    cancellations: int = 0

    @property
    def limit(self) -> float | None:
        """See `Watched`, as for the four fields above; seconds."""
        return self.reaction.timeout
