"""The logger `sagabus`: makes records safe to write before any handler gets them.

Strangers write ids, keys, reasons and error texts. A line break would forge a line of the log, and an escape sequence
would command the terminal that shows it. It is decided here, for all records of the library at once; a handler or a
formatter of the application's need do nothing. Records keep their template and their arguments.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence

from sagabus.text import discreet, printable

NAME = "sagabus"
_CAUSED = "The above exception was the direct cause of the following exception:"
_MEANWHILE = "During handling of the above exception, another exception occurred:"


class SafeText(logging.Filter):
    """Lets every record pass, with what it holds made printable."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Make the message, its arguments and the traceback printable."""
        if isinstance(record.args, Mapping):
            record.args = {name: _safe(value) for name, value in record.args.items()}
        elif record.args:
            record.args = tuple(map(_safe, record.args))
        else:
            record.msg = _safe(record.msg)
        if record.exc_info and record.exc_info[1] is not None and not record.exc_text:
            record.exc_text = traceback_text(record.exc_info[1])
        return True


def traceback_text(error: BaseException) -> str:
    """A traceback in which no text of an error begins a line of its own."""
    return "\n".join(printable(discreet(line)) for line in _lines(error, set()))


def make_safe() -> None:
    """Give the logger its filter. Calling twice is harmless."""
    logger = logging.getLogger(NAME)
    if not any(isinstance(each, SafeText) for each in logger.filters):
        logger.addFilter(SafeText())


class _Shown:
    """Stands in for an argument: shows it printable, and is asked only if the record is written."""

    __slots__ = ("_value",)

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        return printable(discreet(_said(str, self._value)))

    def __repr__(self) -> str:
        return printable(discreet(_said(repr, self._value)))


def _said(way: Callable[[object], str], value: object) -> str:
    try:
        return way(value)
    except Exception as error:  # noqa: BLE001  # a log line is written whatever an object makes of its own text
        return f"<{type(value).__name__} without a text: {type(error).__name__}>"


def _safe(value: object) -> object:
    if isinstance(value, str):
        return printable(discreet(value))
    return value if value is None or isinstance(value, (int, float)) else _Shown(value)


def _lines(error: BaseException, seen: set[int]) -> Generator[str]:
    """As Python writes it: what led to the error, its frames, its text, its notes, and what a group is made of."""
    seen.add(id(error))
    origin = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if origin is not None and id(origin) not in seen:
        yield from _lines(origin, seen)
        yield _CAUSED if error.__cause__ is not None else _MEANWHILE
    yield "Traceback (most recent call last):"
    for frame in traceback.format_tb(error.__traceback__):
        yield from frame.rstrip("\n").split("\n")
    yield f"{_name(type(error))}: {printable(_said(str, error))}"
    yield from (printable(note) for note in getattr(error, "__notes__", ()))
    parts: Sequence[BaseException] = getattr(error, "exceptions", ())
    for number, part in enumerate(parts, 1):
        yield f"  {number} of {len(parts)}:"
        if id(part) not in seen:
            yield from (f"    {line}" for line in _lines(part, seen))


def _name(kind: type[BaseException]) -> str:
    place = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return printable(place + kind.__qualname__)
