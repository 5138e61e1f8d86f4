"""Log records as lines of text for people, safe to show in a terminal."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sagabus.envelope import Envelope
from sagabus.observer import Commit
from sagabus.telemetry.message_record import is_visible, lines_of
from sagabus.text import printable_lines

__all__ = ["TextLines"]


class TextLines(logging.Formatter):
    """Writes the time, the level, the logger and the message.

    Control characters are written as escapes, because records quote errors, and errors quote messages.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        return printable_lines(super().format(record))

    def format_messages(self, commit: Commit, base: logging.LogRecord) -> str:
        """See `sagabus.telemetry.line_handler.WritesMessages`."""
        head = f"{self.formatTime(base)} {base.levelname} {base.name}:"

        def quick(envelope: Envelope, took: float) -> str:
            return (
                f"{head} {envelope.channel} {envelope.partition_key}: {envelope.message_type} {envelope.message_id}"
                f" completed in {took:.6f} s, attempt {envelope.attempt + 1}"
            )

        return lines_of(commit, base, quick, _is_plain, self)


def _is_plain(lines: str, about: Sequence[Envelope]) -> bool:
    return is_visible(lines)
