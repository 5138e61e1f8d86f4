"""One line for each handled message, for those who want it: `Bus(..., observers=[MessageLog()])`."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sagabus.observer import Commit, Observer
from sagabus.telemetry.fields import Redact
from sagabus.telemetry.line_handler import LineHandler
from sagabus.telemetry.message_record import LEVEL, blank, message_record

__all__ = ["MessageLog"]


class MessageLog(Observer):
    """An INFO record of the logger `sagabus.messages` for each message, once its outcome is committed.

    It says what became of which message in how many seconds, and holds the same as fields (`extra`). It never holds
    the body, nor the text of an error. `redact` gets the fields and returns those to write. A `LineHandler` writes the
    lines of a commit in one go, for less.
    """

    times_runs = True

    def __init__(self, redact: Redact | None = None) -> None:
        self._redact = redact
        self._log = logging.getLogger("sagabus.messages")

    def committed(self, commit: Commit) -> None:
        """See `Observer`."""
        if not self._log.isEnabledFor(LEVEL):
            return
        reached = _reached(self._log)
        if reached:
            self._write(commit, reached)

    def _write(self, commit: Commit, reached: Sequence[logging.Handler]) -> None:
        base, log = blank(self._log.name), self._log
        is_plain = self._redact is None and not log.filters
        others = [
            each
            for each in reached
            if not (is_plain and isinstance(each, LineHandler) and each.write_messages(commit, base))
        ]
        for handled in commit.handled if others else ():
            record = message_record(handled, base, self._redact)
            passed: object = log.filter(record)  # since Python 3.12 a filter may give another record
            if isinstance(passed, logging.LogRecord):  # pyright: ignore[reportUnnecessaryIsInstance]  # of the stubs for 3.11
                record = passed
            for each in others if passed else ():
                each.handle(record)


def _reached(logger: logging.Logger) -> Sequence[logging.Handler]:
    """The handlers that a record gets to, as `Logger.callHandlers` finds them for each."""
    found = list[logging.Handler]()
    place: logging.Logger | None = logger
    while place is not None:
        found += [each for each in place.handlers if each.level <= LEVEL]
        place = place.parent if place.propagate else None
    return found
