"""What a line about a message says, as a record of `logging`: for `MessageLog`, and for formatters that write many.

All records of one commit have the same place, time, process and thread. So they are copies of one blank record.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import TypeAlias

from sagabus.envelope import Envelope
from sagabus.observer import Commit, Handled
from sagabus.telemetry.fields import Redact, redacted
from sagabus.text import printable

__all__ = ["LEVEL", "blank", "is_visible", "lines_of", "message_record"]

LEVEL = logging.INFO
_TEMPLATE = "%s: %s %s in %.6f s, attempt %d"
_Quick: TypeAlias = Callable[[Envelope, float], str]
"""The line about a completed message that has a key and is no timer, and how long its run took. Nothing is escaped."""
_VISIBLE = bytes(range(ord(" "), ord("~") + 1))


def is_visible(text: str) -> bool:
    """Whether it is ASCII that can be printed as it is: for a long text four times as quick as `str.isprintable`."""
    return text.isascii() and not text.encode().translate(None, _VISIBLE)


def blank(name: str) -> logging.LogRecord:
    """A record of the logger of this name, now, to be filled by `message_record`."""
    # Made here: what `Logger.info` would look up, which is where it was called, is always this line.
    return logging.getLogRecordFactory()(name, LEVEL, __file__, 0, _TEMPLATE, (), None)


def message_record(handled: Handled, base: logging.LogRecord, redact: Redact | None = None) -> logging.LogRecord:
    """A record about this message."""
    fields = redacted(_fields_of(handled), redact)
    where = " ".join(str(fields[name]) for name in ("subscription", "key") if name in fields)
    what = " ".join(str(fields[name]) for name in ("message_type", "timer", "message_id") if name in fields)
    found = type(base).__new__(type(base))
    found.__dict__.update(base.__dict__)
    found.__dict__.update(fields)
    found.args = (where, what, handled.result, handled.took, handled.attempt)
    return found


def lines_of(
    commit: Commit,
    base: logging.LogRecord,
    quick: _Quick,
    is_plain: Callable[[str, Sequence[Envelope]], bool],
    formatter: logging.Formatter,
) -> str:
    """The lines of a formatter about all messages of a commit.

    `quick` makes those that most are. `is_plain` says of lines, put together, and of what they are about that there was
    nothing to escape. All others are made of records, as they are for any handler of `logging`.
    """
    envelopes = commit.envelopes
    found: list[str | None] = [
        quick(envelope, took)
        if result == "completed" and envelope.partition_key is not None and envelope.timer is None
        else None
        for envelope, result, took in zip(envelopes, commit.results, commit.took or repeat(0.0), strict=False)
    ]
    made = [line for line in found if line is not None]
    about = envelopes
    if len(made) < len(found):
        about = [envelope for line, envelope in zip(found, envelopes, strict=True) if line is not None]
    if not is_plain("".join(made), about):
        found = [
            line if line is not None and is_plain(line, [envelope]) else None
            for line, envelope in zip(found, envelopes, strict=True)
        ]
    lines = [
        formatter.format(message_record(commit.handled[place], base)) if line is None else line
        for place, line in enumerate(found)
    ]
    return "\n".join([*lines, ""])


def _fields_of(handled: Handled) -> dict[str, object]:
    found: dict[str, object] = {
        "message_id": printable(handled.message_id),
        "message_type": printable(handled.message_type),
        "correlation_id": printable(handled.correlation_id),
        "subscription": handled.subscription,
        "result": handled.result,
        "attempt": handled.attempt,
        "duration": handled.took,
    }
    if handled.saga is not None:
        found["saga"] = handled.saga
    if handled.key is not None:
        found["key"] = printable(handled.key)
    if handled.timer is not None:
        found["timer"] = handled.timer
    if handled.cause is not None:
        found["cause"] = handled.cause.value
    return found
