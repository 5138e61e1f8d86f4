"""How stores keep which runs of a worker last: as one text for each channel, bounded whatever the worker does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, TypeAlias

import msgspec

from sagabus.store.running import MOST_NOTED, Running

_Number: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]
"""A damaged one could be no time."""


class _Noted(msgspec.Struct, frozen=True, gc=False, array_like=True):
    count: _Number
    runs: list[tuple[str, str, str | None, _Number, _Number]]
    """Message id, message type, key, since when, and position."""


_NOTHING = _Noted(0, [])
_decode: msgspec.json.Decoder[_Noted] = msgspec.json.Decoder(_Noted)


def running_text(running: Sequence[Running], now: int) -> str | None:
    """The text at this instant of the store's clock; None where nothing runs."""
    if not running:
        return None
    runs = [
        (each.message_id, each.message_type, each.key, now - each.lasted, each.position)
        for each in running[:MOST_NOTED]
    ]
    return msgspec.json.encode(_Noted(len(running), runs)).decode()


def running_of(text: str | None, now: int) -> tuple[tuple[Running, ...], int]:
    """The runs that a text names, and how many there are; none where it cannot be read."""
    noted = _read(text)
    return tuple(Running(*each[:3], max(now - each[3], 0), each[4]) for each in noted.runs), noted.count


def positions_of(text: str | None) -> Iterator[tuple[int, int]]:
    """Where the messages of these runs stand, each with since when it runs."""
    return ((each[4], each[3]) for each in _read(text).runs)


def is_damaged(text: str | bytes | None) -> bool:
    """Whether there is a text that cannot be read."""
    return text is not None and _read(text) is _NOTHING


def without_runs_of(text: str | None, is_theirs: Callable[[str | None, str], bool]) -> str | None:
    """The text without some runs, by their key and message id."""
    noted = _read(text)
    runs = [each for each in noted.runs if not is_theirs(each[2], each[0])]
    if len(runs) == len(noted.runs):
        return text
    count = noted.count - len(noted.runs) + len(runs)
    return msgspec.json.encode(_Noted(count, runs)).decode() if count else None


def _read(text: str | bytes | None) -> _Noted:
    if text is None:
        return _NOTHING
    try:
        return _decode.decode(text)
    except ValueError:  # no UTF-8, no JSON, or of a later release: the worker writes it again
        return _NOTHING
