"""An event log as it comes: a CSV file, read into events in the order in which they happened.

The first stop of a replay; next is `replay`, which publishes the events. Each mistake in the file is one clear line
that names the row, the line and the column.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from pathlib import Path
from typing import NoReturn, Protocol, TypeAlias

_DELIMITERS = ",;\t|"
_LONGEST = 200
_BYTE_ORDER_MARK = "\ufeff"

Moment: TypeAlias = datetime | float


class CsvReader(Protocol):
    """What `csv.reader` returns."""

    @property
    def line_num(self) -> int:
        """Lines read so far."""
        ...

    def __next__(self) -> list[str]:
        """The cells of the next row."""
        ...


class MalformedLogError(Exception):
    """Correct the file at the place named; nothing of it was published."""

    def __init__(self, path: Path, reason: str, *, row: int = 0, line: int = 1, column: str | None = None) -> None:
        place = "header (line 1)" if row == 0 else f"row {row} (line {line})"
        super().__init__(f"{path}: {place}{f', column {column!r}' if column is not None else ''}: {reason}")
        self.row = row
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class Event:
    """One row: which case it belongs to, what happened, and which row of the file it is (the header is row 0)."""

    row: int
    case: str
    activity: str


@dataclass(frozen=True, slots=True)
class EventLog:
    """All events of a file in order of time; equal times keep the order of the file."""

    path: Path
    events: tuple[Event, ...]

    def by_case(self) -> dict[str, list[Event]]:
        """The events of each case, in order; cases in order of their first event."""
        found: dict[str, list[Event]] = {}
        for event in self.events:
            found.setdefault(event.case, []).append(event)
        return found

    def paths(self) -> Counter[tuple[str, ...]]:
        """How many cases took each way through the activities."""
        return Counter(tuple(event.activity for event in events) for events in self.by_case().values())


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of the file say what."""

    key: str
    activity: str
    time: str | None = None

    @property
    def needed(self) -> tuple[str, ...]:
        """The names that the header must have."""
        return tuple(dict.fromkeys(name for name in (self.key, self.activity, self.time) if name is not None))


def read_log(path: Path, columns: Columns) -> EventLog:
    """Read the whole file. Raises MalformedLogError for the first fault found, OSError when the file cannot be read."""
    # A byte that is no UTF-8 becomes a lone surrogate, so that its cell can be named.
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        first = file.readline()
        delimiter = _delimiter(path, first, columns)
        file.seek(0)
        timed = list(_events(path, csv.reader(file, delimiter=delimiter, strict=True), columns))
    if not timed:
        raise MalformedLogError(path, "there are no rows below the header")
    if columns.time is not None:
        timed.sort(key=lambda pair: pair[0])
    return EventLog(path, tuple(event for _, event in timed))


def _delimiter(path: Path, first: str, columns: Columns) -> str:
    if not first.strip(_BYTE_ORDER_MARK + " \r\n"):
        raise MalformedLogError(path, "the file is empty" if not first else "the header is empty")
    for delimiter in _DELIMITERS:
        names = next(csv.reader([first], delimiter=delimiter))
        if set(columns.needed) <= {_plain(name) for name in names}:
            return delimiter
    return ","


def _events(path: Path, reader: CsvReader, columns: Columns) -> Iterator[tuple[Moment, Event]]:
    rows = _Rows(path, reader)
    header = rows.header()
    places = {name: rows.place_of(name, header) for name in columns.needed}
    kind: str | None = None
    for cells in rows.below(header):
        key = rows.text(cells[places[columns.key]], columns.key)
        activity = rows.text(cells[places[columns.activity]], columns.activity)
        moment: Moment = 0.0
        if columns.time is not None:
            moment = rows.moment(cells[places[columns.time]], columns.time)
            kind = rows.same_kind(moment, kind, columns.time)
        yield moment, Event(rows.row, key, activity)


class _Rows:
    """Rows of the file, each checked, with the place to blame."""

    def __init__(self, path: Path, reader: CsvReader) -> None:
        self._path = path
        self._reader = reader
        self.row = 0
        self._line = 1
        self._below = False

    def header(self) -> list[str]:
        cells = self._next() or []
        names = [_plain(cell) for cell in cells]
        for number, cell in enumerate(cells, start=1):
            self._check_encoding(cell, f"#{number}")
        return names

    def place_of(self, name: str, header: list[str]) -> int:
        if name not in header:
            listed = ", ".join(header)
            raise MalformedLogError(self._path, f"there is no such column; the file has: {listed}", column=name)
        if header.count(name) > 1:
            raise MalformedLogError(self._path, "there is more than one column of this name", column=name)
        return header.index(name)

    def below(self, header: list[str]) -> Iterator[list[str]]:
        self._below = True
        while (cells := self._next()) is not None:
            if not cells:
                continue  # a blank line
            self.row += 1
            for index, (name, cell) in enumerate(zip_longest(header, cells)):
                if name is None:
                    self._blame(f"the row has {len(cells)} cells, the header {len(header)}", f"#{index + 1}")
                if cell is None:
                    self._blame(f"missing: the row has {len(cells)} cells, the header {len(header)}", name)
                self._check_encoding(cell, name)
            yield cells

    def text(self, cell: str, column: str) -> str:
        if not cell.strip():
            self._blame("is empty", column)
        if len(cell) > _LONGEST:
            self._blame(f"has {len(cell)} characters; {_LONGEST} are allowed", column)
        if "\0" in cell:
            self._blame("has a NUL character", column)
        return cell

    def moment(self, cell: str, column: str) -> Moment:
        try:
            number = float(cell)
        except ValueError:
            try:
                return datetime.fromisoformat(cell.strip())
            except ValueError:
                self._blame(f"{cell[:60]!r} is not a time (ISO 8601, or a number)", column)
        if not math.isfinite(number):
            self._blame(f"{cell!r} is not a time (ISO 8601, or a number)", column)
        return number

    def same_kind(self, moment: Moment, before: str | None, column: str) -> str:
        kind = _kind(moment)
        if before is not None and kind != before:
            self._blame(f"is {kind}, the rows before have {before}: they cannot be put in order", column)
        return kind

    def _next(self) -> list[str] | None:
        self._line = self._reader.line_num + 1
        try:
            return next(self._reader)
        except StopIteration:
            return None
        except csv.Error as error:
            self.row += self._below
            self._blame(f"cannot be read as CSV: {error}", None)

    def _check_encoding(self, cell: str, column: str) -> None:
        for character in cell:
            if "\ud800" <= character <= "\udfff":
                self._blame(f"byte 0x{ord(character) - 0xDC00:02x} is not UTF-8: save the file as UTF-8", column)

    def _blame(self, reason: str, column: str | None) -> NoReturn:
        raise MalformedLogError(self._path, reason, row=self.row, line=self._line, column=column)


def _kind(moment: Moment) -> str:
    if not isinstance(moment, datetime):
        return "a number"
    return "a time without a zone" if moment.tzinfo is None else "a time with a zone"


def _plain(name: str) -> str:
    return name.strip(_BYTE_ORDER_MARK).strip()
