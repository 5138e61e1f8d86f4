"""Rows that cannot be read any more: what there is of each is kept, and says that it is damaged.

A manual repair, a lost page of the file or a failed restore leaves such a row. It costs only itself: the message goes
to the dead letters with its bytes, and other rows are read as usual.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, SupportsIndex, overload

import msgspec

from sagabus.stores.texts import text_or_bytes

Row = Sequence[Any]


class DamagedRow(tuple[Any, ...]):
    """A row with a text that is no UTF-8: such a one stands in it as bytes."""

    __slots__ = ()

    @overload
    def __getitem__(self, place: SupportsIndex, /) -> Any: ...

    @overload
    def __getitem__(self, place: slice, /) -> DamagedRow: ...

    def __getitem__(self, place: SupportsIndex | slice, /) -> Any:
        """A part of it counts as damaged too."""
        found = super().__getitem__(place)
        return DamagedRow(found) if isinstance(place, slice) else found


def row_of(raw: Row) -> Row:
    """A row whose texts came as bytes: with texts, and with bytes where they are none."""
    try:
        return [value.decode() if type(value) is bytes else value for value in raw]
    except UnicodeDecodeError:
        return DamagedRow([text_or_bytes(value) if type(value) is bytes else value for value in raw])


def readable(value: Any) -> Any:
    """A text whatever it is, for people: bytes that are none are written as escapes."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def what_is_wrong(values: Mapping[str, Any], checks: Mapping[str, tuple[Callable[[str], object], str]]) -> str:
    """A sentence on each value that cannot be read. `checks`: what else a text has to be, and how that is called."""
    found = [f"{name} is not UTF-8" for name, value in values.items() if isinstance(value, bytes)]
    for name, (check, kind) in checks.items():
        value = values[name]
        if value and isinstance(value, str):
            try:
                check(value)
            except msgspec.DecodeError as error:
                found.append(f"{name} is not {kind} ({error})")
    return ", ".join(found)
