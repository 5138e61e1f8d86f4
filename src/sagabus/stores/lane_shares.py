"""How the lanes of a channel are divided among its live workers: evenly, by one rule that all of them compute alike.

Workers of several releases may live side by side. Only the workers that know most get lanes, so no message stays with a
worker that cannot read it while another can.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

import msgspec

from sagabus.evolution import says_a_version

BEYOND_LOST = 1_000
"""Epochs and versions that were given in a time of which a store knows nothing any more are fewer, beyond the known."""

_decode: msgspec.json.Decoder[list[str]] = msgspec.json.Decoder(list[str])


class Crew(NamedTuple):
    """The live workers of a channel that know the same message types."""

    knows: str | None
    """Those types, as `knowledge` writes them; None where a release does not say."""
    live: int
    before: int
    """How many of them stand before the worker that asks, by name."""
    first: str
    """The one of them that stands before all others. Names sort by the time of their start."""


def share_of(channel: str, lanes: int, knows: str | None, crews: Sequence[Crew]) -> int:
    """How many lanes of a channel are due to the worker that asks: its fair share, or none while others know more."""
    at_work = [crew for crew in crews if crew.knows == knows] if _all_declare(crews) else crews
    if _all_declare(crews) and knows != _ruling(crews):
        return 0
    live, rank = sum(crew.live for crew in at_work), sum(crew.before for crew in at_work)
    return fair_share(channel, lanes, live=live, rank=rank)


def _all_declare(crews: Sequence[Crew]) -> bool:
    """Whether all say what they know. A worker that does not say what it knows gives up no lane, and then no other
    worker does.
    """
    return all(crew.knows is not None for crew in crews)


def _ruling(crews: Sequence[Crew]) -> str | None:
    """What those know that work: more than any other. Where two know what the other does not, those that know more
    versions, and else the later ones.
    """
    if len(crews) == 1:
        return crews[0].knows
    known = {crew: declared_types(crew.knows) or frozenset[str]() for crew in crews}
    best = [crew for crew, types in known.items() if not any(types < others for others in known.values())]
    return max(best, key=lambda crew: (sum(map(says_a_version, known[crew])), crew.first)).knows


def knowledge(types: Sequence[str] | None) -> str | None:
    """Message types as a worker says them: equal texts for equal sets."""
    return None if types is None else msgspec.json.encode(sorted(set(types))).decode()


@lru_cache(maxsize=1024)
def declared_types(knows: str | None) -> frozenset[str] | None:
    """The message types that a text says; None where there is no text."""
    return None if knows is None else frozenset(_decode.decode(knows))


def fair_share(channel: str, lanes: int, *, live: int, rank: int) -> int:
    """How many lanes of a channel belong to the worker at `rank` among the live ones by name, from 0.

    Shares differ by one at most and make up the whole. Whose is the larger one differs from channel to channel, so that
    no worker is left without work in all of them.
    """
    share, left = divmod(lanes, live)
    return share + ((rank + crc32(channel.encode())) % live < left)
