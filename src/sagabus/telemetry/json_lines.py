"""Log records as JSON, one object on a line, for those who collect logs."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from sagabus.envelope import Envelope
from sagabus.log import traceback_text
from sagabus.observer import Commit
from sagabus.telemetry.message_record import is_visible, lines_of

__all__ = ["JsonLines"]

_OF_EVERY_RECORD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """Writes `time`, `level`, `logger`, `message`, every field that a record was given, and `exception`.

    A value that is no JSON is written as its text. All of it is ASCII, so no value can break a line or command a
    terminal.
    """

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        found: dict[str, object] = {
            "time": _time_of(record),
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

    def format_messages(self, commit: Commit, base: logging.LogRecord) -> str:
        """See `sagabus.telemetry.line_handler.WritesMessages`."""
        has_more = not vars(base).keys() <= _OF_EVERY_RECORD  # what a factory of the application's gave the record
        head = f'{{"time": "{_time_of(base)}", "level": "{base.levelname.lower()}", "logger": "{base.name}"'
        sagas = commit.sagas

        def quick(envelope: Envelope, took: float) -> str:
            kind, number, key = envelope.message_type, envelope.message_id, envelope.partition_key
            channel, attempt = envelope.channel, envelope.attempt + 1
            text = f"{channel} {key}: {kind} {number} completed in {took:.6f} s, attempt {attempt}"
            names = f'"message_type": "{kind}", "correlation_id": "{envelope.correlation_id or number}"'
            saga = f', "saga": "{channel}"' if channel in sagas else ""
            ended = f'"result": "completed", "attempt": {attempt}, "duration": {took!r}'
            return (
                f'{head}, "message": "{text}", "message_id": "{number}", {names}, '
                f'"subscription": "{channel}", {ended}{saga}, "key": "{key}"}}'
            )

        def is_plain(lines: str, about: Sequence[Envelope]) -> bool:
            # A line has this many quotes, and that of a saga four more. With another one, or with a backslash, a value
            # is to be escaped.
            count = 44 * len(about) + 4 * sum([each.channel in sagas for each in about])
            is_quoted = lines.count('"') == count and "\\" not in lines
            return is_quoted and not has_more and is_visible(lines)

        return lines_of(commit, base, quick, is_plain, self)


def _time_of(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001  # a line is written whatever an object makes of its own text
        return f"<{type(value).__name__} without a text: {type(error).__name__}>"
