"""One line for each handled message, for those who want it: `Bus(..., observers=[MessageLog()])`."""

from __future__ import annotations

import logging

from sagabus.observer import Commit, Handled, Observer
from sagabus.telemetry.fields import Redact, redacted
from sagabus.text import printable

__all__ = ["MessageLog"]


class MessageLog(Observer):
    """An INFO record of the logger `sagabus.messages` for each message, once its outcome is committed.

    It says what became of which message in how many seconds, and holds the same as fields (`extra`). It never holds
    the body, nor the text of an error. `redact` gets the fields and returns those to write.
    """

    times_runs = True

    def __init__(self, redact: Redact | None = None) -> None:
        self._redact = redact
        self._log = logging.getLogger("sagabus.messages")

    def committed(self, commit: Commit) -> None:
        """See `Observer`."""
        if self._log.isEnabledFor(logging.INFO):
            for each in commit.handled:
                self._write(each)

    def _write(self, handled: Handled) -> None:
        fields = redacted(fields_of(handled), self._redact)
        where = " ".join(str(fields[name]) for name in ("subscription", "key") if name in fields)
        what = " ".join(str(fields[name]) for name in ("message_type", "timer", "message_id") if name in fields)
        # Made here: what `Logger.info` would look up, which is where it was called, is always this line.
        record = logging.LogRecord(
            *(self._log.name, logging.INFO, __file__, 0),
            "%s: %s %s in %.6f s, attempt %d",
            (where, what, handled.result, handled.took, handled.attempt),
            None,
        )
        record.__dict__.update(fields)
        self._log.handle(record)


def fields_of(handled: Handled) -> dict[str, object]:
    """What a line says of a message."""
    found: dict[str, object] = {
        "message_id": printable(handled.message_id),
        "message_type": printable(handled.message_type),
        "correlation_id": printable(handled.correlation_id),
        "subscription": handled.subscription,
        "result": handled.result,
        "attempt": handled.attempt,
        "duration": handled.took,
    }
    if handled.key is not None:
        found["key"] = printable(handled.key)
    if handled.timer is not None:
        found["timer"] = handled.timer
    if handled.cause is not None:
        found["cause"] = handled.cause.value
    return found
