"""How results look to a person: tables in a terminal, plain aligned columns in a pipe, where nothing is wrapped or cut.

Everything shown passes through `printable`, so what strangers wrote cannot move the cursor or hide itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import click

from sagabus.cli.output import console
from sagabus.cli.text import printable


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
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")  # folded, never cut: an id that lost its end is no id
    for row in rows:
        table.add_row(*map(Text, row))
    console().print(table)


def _align(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    lines = [[name.upper() for name in columns], *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        padded = [cell.ljust(width) for cell, width in zip(line[:-1], widths[:-1], strict=True)]
        click.echo("  ".join([*padded, line[-1]]))
