"""Undoing: every change of a table goes through the journal, so that a failing outcome leaves nothing behind."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T", int, tuple[int, int], tuple[int, str])

_ABSENT: Any = object()


class Journal:
    """What to put back, newest last. A savepoint is a length of it."""

    __slots__ = ("_before",)

    def __init__(self) -> None:
        self._before: list[tuple[dict[Any, Any], Any, Any]] = []

    def put(self, table: dict[K, V], key: K, value: V) -> None:
        """Set one row."""
        self._before.append((table, key, table.get(key, _ABSENT)))
        table[key] = value

    def drop(self, table: dict[K, V], key: K) -> None:
        """Remove one row; an absent one is fine."""
        if key in table:
            self._before.append((table, key, table.pop(key)))

    def savepoint(self) -> int:
        """A point to come back to."""
        return len(self._before)

    def rollback(self, savepoint: int = 0) -> None:
        """Put everything back as it was at the savepoint."""
        while len(self._before) > savepoint:
            table, key, before = self._before.pop()
            if before is _ABSENT:
                del table[key]
            else:
                table[key] = before

    def commit(self) -> None:
        """What was done stays."""
        self._before.clear()


class Index(Generic[T]):
    """Sorted entries that point at rows. It may hold dead ones: readers ask the rows, and undoing skips it."""

    __slots__ = ("_entries", "_tidy_at")

    def __init__(self) -> None:
        self._entries: list[T] = []
        self._tidy_at = 64

    def add(self, entry: T) -> None:
        """Put the entry in its place, once."""
        entries = self._entries
        if not entries or entries[-1] < entry:
            entries.append(entry)
        elif entries[bisect_left(entries, entry)] != entry:
            insort(entries, entry)

    def above(self, entry: T) -> Iterator[T]:
        """Entries greater than this one, in order."""
        entries = self._entries
        for i in range(bisect_right(entries, entry), len(entries)):
            yield entries[i]

    def __iter__(self) -> Iterator[T]:
        """All entries, in order."""
        return iter(self._entries)

    def tidy(self, is_alive: Callable[[T], bool]) -> None:
        """Let go of dead entries when there may be many. Only between calls: an undone removal is alive again."""
        if len(self._entries) >= self._tidy_at:
            self._entries = [entry for entry in self._entries if is_alive(entry)]
            self._tidy_at = max(64, 2 * len(self._entries))
