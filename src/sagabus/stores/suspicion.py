"""What workers that died may have had in flight in one lane: a position for most keys, and others for loud ones.

A worker hands a lane out in order, so that what it has in flight of a lane is the first window of it. Loud keys it
hands out by cursors of their own: the first window of each of these, and the first window of everything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from sagabus.store.loud import MOST_LOUD

_MOST = 4 * MOST_LOUD
"""Keys with a position of their own; those of many deaths one after another are taken together."""
_NONE: Mapping[str, int] = {}
_encode = msgspec.json.Encoder().encode
_decode_keys = msgspec.json.Decoder(dict[str, int]).decode
_decode_loud = msgspec.json.Decoder(tuple[str, ...]).decode


class Suspicion(NamedTuple):
    """Envelopes of a lane up to these positions are suspect."""

    until: int = 0
    keys: Mapping[str, int] = _NONE

    @classmethod
    def of(cls, until: int, text: str | None) -> Suspicion:
        """As it is stored."""
        return cls(until, keys_of(text))

    @property
    def text(self) -> str | None:
        """The keys, as they are stored."""
        return _encode(dict(self.keys)).decode() if self.keys else None

    def joined(self, other: Suspicion) -> Suspicion:
        """What is suspect by either, in one lane."""
        named = {*self.keys, *other.keys}
        return _bounded(
            max(self.until, other.until), {key: max(self._until_of(key), other._until_of(key)) for key in named}
        )

    def _until_of(self, key: str) -> int:
        return self.keys.get(key, self.until)


def across(lanes: Iterable[Suspicion]) -> Suspicion:
    """What is suspect in any of several lanes, whose keys may come into any lane now."""
    until, keys = 0, dict[str, int]()
    for lane in lanes:
        until = max(until, lane.until)
        for key, position in lane.keys.items():
            keys[key] = max(position, keys.get(key, 0))
    return _bounded(until, keys)


def keys_of(text: str | bytes | None) -> Mapping[str, int]:
    """The keys with positions of their own, as they are stored; of a damaged text none. The next death names them
    again, and a lane that no worker could lease would stop all of them.
    """
    try:
        return _decode_keys(text) if text else _NONE
    except ValueError:  # of UTF-8, or of JSON
        return _NONE


def loud_of(text: str | bytes | None) -> tuple[str, ...]:
    """The loud keys of a lane, as they are stored; of a damaged text none."""
    try:
        return _decode_loud(text) if text else ()
    except ValueError:
        return ()


def loud_text(keys: Sequence[str]) -> str | None:
    """The loud keys of a lane, as they are to be stored."""
    return _encode(keys).decode() if keys else None


def _bounded(until: int, keys: Mapping[str, int]) -> Suspicion:
    """Too many keys cost some innocent messages their company, never the suspicion of others."""
    kept = sorted(keys, key=lambda key: keys[key])
    until = max([until, *(keys[key] for key in kept[_MOST:])])
    return Suspicion(until, {key: keys[key] for key in kept[:_MOST] if keys[key] != until})
