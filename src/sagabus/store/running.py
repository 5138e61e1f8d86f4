"""What workers say of runs that last, for people to see: a value that crosses the port of stores."""

from __future__ import annotations

import msgspec

MOST_NOTED = 100
"""Runs of one worker in one channel that a store keeps."""


class Running(msgspec.Struct, frozen=True, gc=False):
    """One run that has not ended."""

    message_id: str
    message_type: str
    key: str | None
    lasted: int
    """Since it began, in microseconds."""
    position: int
    """Where its message stands in the store."""
