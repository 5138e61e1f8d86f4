"""Loud keys as they cross the port of a store: those that fill a lane, so that it is fetched past them."""

from __future__ import annotations

import msgspec

MOST_LOUD = 16
"""So many keys of one lane have cursors of their own at most."""


class Sift(msgspec.Struct, frozen=True, gc=False):
    """Where to go on fetching in one lane, but for some keys, or for one key alone."""

    channel: str
    lane: int
    after: int
    """As in a cursor, of the envelopes that this leaves over."""
    without: tuple[str, ...] = ()
    """At most MOST_LOUD keys to pass over."""
    only: str | None = None
    """The one key that is wanted."""


class Loud(msgspec.Struct, frozen=True, gc=False):
    """Keys of one lane that its owner fetches by cursors of their own."""

    channel: str
    lane: int
    epoch: int
    keys: tuple[str, ...]
