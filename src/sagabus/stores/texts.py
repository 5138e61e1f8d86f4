"""Texts that no database can keep, refused by one error of the library wherever they come in."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from sagabus.errors import StoreError


@contextmanager
def storable(place: str | None = None) -> Generator[None, None, None]:
    """Turn Python's error on half a character, and on bytes that are no text, into the store's."""
    try:
        yield
    except (UnicodeEncodeError, UnicodeDecodeError) as error:
        raise unstorable(error, place) from error


def unstorable(error: UnicodeEncodeError | UnicodeDecodeError, place: str | None = None) -> StoreError:
    """The store's error for Python's. The text itself is not in it: it may be a whole message."""
    found = error.object[error.start : error.start + 1]
    what = "half of a character" if isinstance(error, UnicodeEncodeError) else "which is not UTF-8"
    where = f"{place}: " if place else ""
    return StoreError(f"{where}a text contains {found!r}, {what}: no database can keep it", store=place)
