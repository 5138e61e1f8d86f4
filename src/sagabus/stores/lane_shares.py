"""How the lanes of a channel are divided among its living workers: evenly, and by a rule that all work out alike."""

from __future__ import annotations

from zlib import crc32

BEYOND_LOST = 1_000
"""Epochs and versions that were given in a time of which a store knows nothing any more are fewer, beyond the known."""


def fair_share(channel: str, lanes: int, *, living: int, rank: int) -> int:
    """How many lanes of a channel are the worker's that stands at `rank` among the living by name, from nought.

    Shares differ by one at most and make up the whole. Whose is the larger one differs from channel to channel, so that
    no worker is left without work in all of them.
    """
    share, left = divmod(lanes, living)
    return share + ((rank + crc32(channel.encode())) % living < left)
