"""Has observers around runs: they enter right before user code is called, and leave once its outcome is known.

A part of `processing`, made only if an observer asks. Both happen in the context of the run.
"""

from __future__ import annotations

from sagabus.context import Context
from sagabus.definitions.saga import Saga
from sagabus.engine.consumer import Consumer
from sagabus.engine.mailbox import Mailbox
from sagabus.engine.observers import Entered, Observers
from sagabus.engine.run import Run
from sagabus.envelope import Envelope
from sagabus.outcome import Outcome


class Watch:
    """Of one `Processing`. What it calls at once begins and ends before anything else does."""

    def __init__(self, observers: Observers) -> None:
        self._enter, self._exit, self._enter_only = observers.enter, observers.exit, observers.enter_only
        self._enters_only = not observers.are_leaving
        """None of them listens to the end of runs."""
        self._entered: Entered | None = None
        """Of the run that is called just now, with its context in `_ctx`."""
        self._ctx: Context | None = None

    def begin(self, consumer: Consumer, mailbox: Mailbox, envelope: Envelope) -> Run | Outcome:
        """As the consumer's own, which calls what it can."""
        if self._enters_only:
            begun = consumer.begin(mailbox, envelope, True)  # by position
            if type(begun) is Run and begun.returned is None:  # it is called later: in a thread, or as a timer
                self.enter(begun)
            return begun
        try:
            begun = consumer.begin(mailbox, envelope, True)  # by position
        except BaseException as error:
            self._left(error)
            raise
        if type(begun) is not Run:
            self._left(None)
            return begun
        entered, self._entered = self._entered, None
        if entered is None:  # it is called later: in a thread, or as a timer
            self.enter(begun)
        else:
            begun.entered = entered
        return begun

    def enter_now(self, state: Saga | None, ctx: Context) -> None:
        """A run is about to be called by its consumer."""
        ctx.observed = state
        if self._enters_only:
            self._enter_only(ctx)
        else:
            self._ctx, self._entered = ctx, self._enter(ctx)

    def enter(self, run: Run) -> None:
        """A run is about to be called."""
        run.ctx.observed = run.state
        run.entered = self._enter(run.ctx)

    def leave(self, run: Run, error: BaseException | None) -> None:
        """A run has ended; the second time, nothing happens."""
        entered, run.entered = run.entered, None
        if entered is not None:
            self._exit(entered, run.ctx, error)

    def _left(self, error: BaseException | None) -> None:
        entered, self._entered = self._entered, None
        if entered is not None and self._ctx is not None:
            self._exit(entered, self._ctx, error)
