"""Log records as JSON, one object on a line, for those who collect logs."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from sagabus.log import traceback_text

__all__ = ["JsonLines"]

_OF_EVERY_RECORD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """Writes `time`, `level`, `logger`, `message`, every field that a record was given, and `exception`.

    A value that is no JSON is written as its text. All of it is ASCII, so no value can break a line or command a
    terminal.
    """

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        found: dict[str, object] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        found |= {name: value for name, value in vars(record).items() if name not in _OF_EVERY_RECORD | found.keys()}
        if record.exc_info and record.exc_info[1] is not None:
            found["exception"] = record.exc_text or traceback_text(record.exc_info[1])
        elif record.exc_text:
            found["exception"] = record.exc_text
        if record.stack_info:
            found["stack"] = record.stack_info
        try:
            return json.dumps(found, default=_text, skipkeys=True, allow_nan=False)
        except (ValueError, RecursionError):  # a number that JSON does not have, or a value that contains itself
            return json.dumps(
                {name: value if isinstance(value, str | int) else _text(value) for name, value in found.items()}
            )


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001  # a line is written whatever an object makes of its own text
        return f"<{type(value).__name__} without a text: {type(error).__name__}>"
