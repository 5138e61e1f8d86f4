"""A handler of `logging` that writes the lines about all messages of a commit in one go.

Any handler may write them: `MessageLog` then makes a record for each message. To make a record, to format it and to
write it costs more than many handlers of messages take. This one, with a formatter that knows what such lines are like,
writes the same lines without records, and once for a commit.
"""

from __future__ import annotations

import logging
from typing import Protocol, TextIO, runtime_checkable

from sagabus.observer import Commit
from sagabus.telemetry.fields import MessageFields

__all__ = ["LineHandler", "WritesMessages"]


@runtime_checkable
class WritesMessages(Protocol):
    """A formatter that knows the lines about messages: `JsonLines` and `TextLines`."""

    def format_messages(self, commit: Commit, base: logging.LogRecord) -> str:
        """The lines that `format` would make of the records about all messages of a commit.

        `base` is a record with all that they have in common.
        """
        ...


class LineHandler(logging.StreamHandler[TextIO]):
    """As `logging.StreamHandler`, and cheaper for `MessageLog` with a formatter `JsonLines` or `TextLines`.

    With a filter of your own on the handler, or a `format` of your own, each message has its record again.
    """

    def write_messages(self, commit: Commit, base: logging.LogRecord) -> bool:
        """Write a line for each message of the commit; or False, if these lines are to be made of records.

        What goes wrong goes to `handleError`, as in `emit`.
        """
        formatter: object = self.formatter
        if not isinstance(formatter, WritesMessages) or self._differs(type(formatter)):
            return False
        self.acquire()
        try:
            self.stream.write(formatter.format_messages(commit, base))
            self.flush()
        except Exception:  # noqa: BLE001  # as `StreamHandler.emit`
            self.handleError(base)
        finally:
            self.release()
        return True

    def _differs(self, formatter: type) -> bool:
        """Whether an application has made something else of it: lines are then what its own code makes of records."""
        own = type(self)
        return (
            _origin(formatter, "format") is not _origin(formatter, "format_messages")
            or any(getattr(own, name) is not getattr(LineHandler, name) for name in ("handle", "format", "emit"))
            or self.terminator != "\n"
            or any(type(each) is not MessageFields for each in self.filters)  # which adds nothing outside of runs
        )


def _origin(kind: type, name: str) -> type | None:
    return next((each for each in kind.__mro__ if name in vars(each)), None)
