"""The named statements as the server is given them: prepared once for each connection, values sent apart from the text.

A set of rows to look up is one text parameter, read by JSON_TABLE. A set of rows to write is a list of VALUES whose
length is a power of two. So a few prepared statements serve sets of any size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from sagabus.errors import StoreError
from sagabus.stores.sql.dialect import QUESTION_MARKS, Ready, Statement, Style, ready
from sagabus.stores.sql.steps import Query

_encode = msgspec.json.Encoder().encode
_VALUES = "/* values */"
_MOST_ROWS = 256
_MOST_LOOKED_UP = 4096
_WIDTH = re.compile(r"VARBINARY\((\d+)\)")

Rows = Sequence[tuple[Any, ...]]


class Form(NamedTuple):
    """One named statement."""

    ready: Ready
    row: str = ""
    """The place holders of one row, for a statement that writes a list of them."""
    widths: tuple[int, ...] = ()
    """How many bytes each column of a set to look up has room for; 0 for a number."""

    def with_values(self, count: int) -> str:
        """The text that writes so many rows."""
        return self.ready.sql.replace(_VALUES, ", ".join([self.row] * count))

    def parameters(self, ask: Query) -> Iterator[tuple[object, ...]]:
        """The parameters in the order of their place holders; more than once when a set of rows is too large."""
        if ask.rows is None:
            yield self._placed(ask.parameters)
            return
        rows = [row for row in ask.rows if None not in row]  # what has no key equals nothing
        for begin in range(0, len(rows), _MOST_LOOKED_UP) or (0,):
            yield self._placed((self._packed(rows[begin : begin + _MOST_LOOKED_UP]), *ask.parameters))

    def _placed(self, parameters: tuple[object, ...]) -> tuple[object, ...]:
        return tuple([parameters[place] for place in self.ready.order])

    def _packed(self, rows: Rows) -> str:
        for row in rows:
            for value, width in zip(row, self.widths, strict=True):
                # MariaDB would cut it, and take it for another.
                if width and len(value) * 4 > width and len(value.encode()) > width:
                    raise StoreError(f"{value[:40]!r}… is longer than the {width} bytes that there is room for")
        return _encode([row[0] for row in rows] if len(self.widths) == 1 else rows).decode()


def forms(
    statements: Mapping[str, Statement], names: Mapping[str, str], style: Style = QUESTION_MARKS
) -> dict[str, Form]:
    """All statements, with the tables named."""
    made = ready(statements, {**names, "values": _VALUES}, rows_of, style)
    return {name: _form(made[name], statement.columns, style) for name, statement in statements.items()}


def _form(made: Ready, columns: str, style: Style) -> Form:
    if _VALUES in made.sql:
        return Form(made, row=f"({', '.join(style.placeholder(place) for place in range(len(made.names)))})")
    found = (_WIDTH.search(column) for column in columns.split(", ")) if columns else ()
    return Form(made, widths=tuple(int(width[1]) if width else 0 for width in found))


def rows_of(columns: str) -> str:
    """A set of rows out of one text parameter."""
    if not columns or ("VAR" not in columns and "INT" not in columns):
        return ""
    each = columns.split(", ")
    if len(each) == 1:
        described = f"{columns} PATH '$' ERROR ON ERROR"
    else:
        described = ", ".join(f"{column} PATH '$[{place}]' ERROR ON ERROR" for place, column in enumerate(each))
    return f"JSON_TABLE(?1, '$[*]' COLUMNS ({described})) AS r"


def portions(rows: Rows, most_characters: int) -> Iterator[Rows]:
    """A set of rows cut into sets whose sizes are powers of two, and whose texts fit in one packet."""
    begin = 0
    while begin < len(rows):
        size = min(_MOST_ROWS, 1 << ((len(rows) - begin).bit_length() - 1))
        while size > 1 and _characters(rows[begin : begin + size]) > most_characters:
            size //= 2
        yield rows[begin : begin + size]
        begin += size


def _characters(rows: Rows) -> int:
    return sum(len(value) for row in rows for value in row if type(value) is str)
