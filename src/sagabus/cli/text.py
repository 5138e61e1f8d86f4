"""What came from outside, made fit to be shown: bodies, ids, keys and error texts are written by strangers.

A terminal obeys control characters wherever they come from, so none of them gets there: each is written as its escape.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click
import msgspec

from sagabus.clock import moment
from sagabus.text import printable as printable  # noqa: PLC0414  # what commands import it from here
from sagabus.text import printable_lines as printable_lines  # noqa: PLC0414  # likewise
from sagabus.text import span_text as span_text  # noqa: PLC0414  # likewise


def readable_body(body: bytes) -> object:
    """The message body as JSON data; where it is none, as text with what is no UTF-8 escaped."""
    try:
        found: object = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return body_text(body)
    return found


def body_text(body: bytes) -> str:
    """The message body as text, exactly as it is stored; bytes that are no UTF-8 are escaped."""
    return body.decode("utf-8", errors="backslashreplace")


def time_text(at: int | datetime | None) -> str | None:
    """An instant of a store or an aware datetime as ISO 8601 in UTC; None where there is none."""
    if at is None:
        return None
    try:
        found = moment(at) if isinstance(at, int) else at.astimezone(UTC)
    except OverflowError:
        return "beyond the year 9999"
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")


_SPAN = re.compile(r"(\d{1,6})(s|min|h|d)")
_UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days"}


def span_of(text: str) -> timedelta | None:
    """A duration as people type it, such as `90s`, `15min`, `2h` or `3d`; None for anything else."""
    found = _SPAN.fullmatch(text)
    return None if found is None else timedelta(**{_UNITS[found[2]]: int(found[1])})


class Moment(click.ParamType[datetime]):
    """An instant as people type it: ISO 8601 with a zone, or so long ago (`90s`, `15min`, `2h`, `3d`)."""

    name = "time"

    def __init__(self, direction: int = -1) -> None:
        """`direction`: 1 where a span leads from now into the future."""
        self._direction = direction

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The instant; UsageError for anything else."""
        if isinstance(value, datetime):
            return value
        text = str(value)
        span = span_of(text)
        found = _instant(text) if span is None else self._from_now(span)
        if found is None:
            self.fail(f"{printable(text)} is no time: write 2h, or 2026-11-29T09:41:00Z with its zone", param, ctx)
        return found

    def _from_now(self, span: timedelta) -> datetime | None:
        try:
            return datetime.now(UTC) + self._direction * span
        except OverflowError:  # before the year 1
            return None


def _instant(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
        return None if found.utcoffset() is None else found.astimezone(UTC)
    except (ValueError, OverflowError):  # the latter: it is in none of the years 1 to 9999 of UTC
        return None


MOMENT = Moment()
LATER = Moment(1)
"""The same, but spans lead into the future."""
