"""How results look to a person: tables in a terminal, plain aligned columns in a pipe, where nothing is wrapped or cut.

In a terminal only prose is wrapped. A table without room for its ids becomes a block of lines for each row.

Everything shown passes through `printable`, so what strangers wrote cannot move the cursor or hide itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import click
from rich.cells import cell_len

from sagabus.cli.output import console
from sagabus.cli.text import printable

_PROSE = frozenset({"reason", "example", "before", "after", "lanes", "receives", "settings"})
"""Columns that may be wrapped: no command takes what they say."""
_NARROWEST = 20
"""Characters of a column with prose."""
_GAP = 3


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """One row for each, under the names of the columns; None is shown as a dash."""
    cells = [[_cell(value) for value in row] for row in rows]
    if sys.stdout.isatty():
        _draw(columns, cells)
    else:
        _align(columns, cells)


def show_fields(fields: Mapping[str, object]) -> None:
    """One line for each, in the order given."""
    width = max(map(len, fields)) + 2
    for name, value in fields.items():
        click.echo(f"{click.style(f'{name}:'.ljust(width), bold=True)}{_cell(value)}")


def count_text(count: int, noun: str) -> str:
    """A number with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _cell(value: object) -> str:
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value)
        value = ", ".join(f"{name} = {_cell(each)}" for name, each in pairs.items()) or None
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else printable(value)


def _draw(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    screen = console()
    if _least_width(columns, rows) > screen.width:
        if rows:
            _stack(columns, rows)
        else:
            _align(columns, rows)
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column not in _PROSE)  # an id that was cut or folded is none
    for row in rows:
        table.add_row(*map(Text, row))
    screen.print(table)


def _least_width(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Of a table in which nothing but prose is wrapped."""
    widths = [max(map(cell_len, each)) for each in zip(columns, *rows, strict=True)]
    least = [min(width, _NARROWEST) if name in _PROSE else width for name, width in zip(columns, widths, strict=True)]
    return sum(least) + _GAP * len(columns)


def _stack(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A block of lines for each row. The terminal itself wraps a line that is too long, and copies it as one."""
    for place, row in enumerate(rows):
        if place:
            click.echo()
        show_fields(dict(zip(columns, row, strict=True)))


def _align(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    lines = [[name.upper() for name in columns], *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        padded = [cell.ljust(width) for cell, width in zip(line[:-1], widths[:-1], strict=True)]
        click.echo("  ".join([*padded, line[-1]]))
