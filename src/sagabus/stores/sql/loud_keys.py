"""Keys that a statement passes over, as a fixed number of parameters: no set of rows is looked through for each row."""

from __future__ import annotations

from collections.abc import Sequence

from sagabus.errors import StoreError
from sagabus.store.loud import MOST_LOUD


def all_but(first: int) -> str:
    """The condition that an envelope is of none of the keys, whose parameters begin with this number."""
    keys = ", ".join(f"?{number}" for number in range(first, first + MOST_LOUD))
    return f"(e.partition_key IS NULL OR e.partition_key NOT IN ({keys}))"


def padded(keys: Sequence[str]) -> tuple[str, ...]:
    """As many keys as there are parameters, which is any number of times the same."""
    if not 0 < len(keys) <= MOST_LOUD:
        raise StoreError(f"1 to {MOST_LOUD} keys of a lane can be passed over, not {len(keys)}")
    return (*keys, *[keys[0]] * (MOST_LOUD - len(keys)))
