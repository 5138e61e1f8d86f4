"""What a store answers to those who look after it: dividing, purging. A part of the contract in `store`."""

from __future__ import annotations

import msgspec


class Divided(msgspec.Struct, frozen=True, gc=False):
    """The result of a change of the number of lanes."""

    before: int
    lanes: int
    moved: int = 0
    """Envelopes that are in another lane now."""


class Purged(msgspec.Struct, frozen=True, gc=False):
    """What one bounded purge removed; `more` when there is more to remove."""

    inbox: int = 0
    instances: int = 0
    dead_letters: int = 0
    history: int = 0
    more: bool = False
