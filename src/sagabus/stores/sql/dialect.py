"""Named statements in the words of one database, made ready for one driver's way of passing parameters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import msgspec

from sagabus.errors import ConfigurationError
from sagabus.stores.sql.steps import Query

_encode = msgspec.json.Encoder().encode
KEYS = "abcdefghijklmnopqrstuvwxyz"
"""The names that the columns of a set of rows travel under, in their order."""
_PARAMETER = re.compile(r"\?(\d+)")

TABLES = (
    "meta",
    "envelope",
    "instance",
    "history",
    "inbox",
    "horizon",
    "subscription",
    "worker",
    "lane",
    "held_key",
    "dead_letter",
    "journal",
    "audit",
    "paused",
    "schema_version",
)


class Statement(NamedTuple):
    """One statement. `{envelope}` and its like stand for tables, `{rows}` for the set of rows, `?1` for parameters.

    A set of rows is one text parameter, the first: a JSON array of objects (see `packed`), or of plain values for a
    single column.
    """

    sql: str
    columns: str = ""
    """`name type, …` of the set of rows, where it takes one."""
    gives: bool = False
    """It gives rows; otherwise what counts is how many rows it changed."""


class Ready(NamedTuple):
    """A statement made ready for a driver."""

    sql: str
    names: tuple[str, ...]
    gives: bool
    order: tuple[int, ...]
    """Which parameter goes where, for drivers that go by place."""

    def parameters(self, ask: Query) -> tuple[Any, ...]:
        """All parameters by number, the set of rows in front."""
        if ask.rows is None:
            return ask.parameters
        return (packed(ask.rows, len(self.names)), *ask.parameters)


class Style(NamedTuple):
    """How a driver wants its parameters."""

    placeholder: Callable[[int], str]
    by_place: bool
    """Each placeholder takes the next parameter, so one that stands twice is given twice."""
    doubled: str = ""
    """What has to be written twice to stand for itself."""


DOLLARS = Style("${}".format, by_place=False)
PERCENTS = Style("%s".format, by_place=True, doubled="%")
QUESTION_MARKS = Style("?".format, by_place=True)

RowsOf: TypeAlias = Callable[[str], str]


def ready(
    statements: Mapping[str, Statement], tables: Mapping[str, str], rows_of: RowsOf, style: Style
) -> dict[str, Ready]:
    """All statements with their tables and sets of rows written out, for drivers of one style."""
    return {name: _ready(statement, tables, rows_of, style) for name, statement in statements.items()}


def _ready(statement: Statement, tables: Mapping[str, str], rows_of: RowsOf, style: Style) -> Ready:
    sql = statement.sql.replace("{rows}", rows_of(statement.columns)).strip()
    order = tuple(int(number) - 1 for number in _PARAMETER.findall(sql)) if style.by_place else ()
    if style.doubled:
        sql = sql.replace(style.doubled, style.doubled * 2)
        tables = {name: table.replace(style.doubled, style.doubled * 2) for name, table in tables.items()}
    # The tables last: whatever their names look like, nothing in them is a parameter.
    sql = _PARAMETER.sub(lambda found: style.placeholder(int(found[1])), sql).format_map(tables)
    names = tuple(column.split()[0] for column in statement.columns.split(", ")) if statement.columns else ()
    return Ready(sql, names, statement.gives, order)


def packed(rows: Sequence[Sequence[object]], width: int) -> str:
    """A set of rows as the one text that passes it: objects with a letter for each column, without what is NULL.

    The text is most of what a flush sends and the database reads: names would double it.
    """
    if width == 1:
        return _encode([row[0] for row in rows]).decode()
    row_type = _row_type(width)
    return _encode([row_type(*row) for row in rows]).decode()


@cache
def _row_type(width: int) -> type[msgspec.Struct]:
    fields: list[tuple[str, type, Any]] = [(key, object, None) for key in KEYS[:width]]
    return msgspec.defstruct(f"Row{width}", fields, omit_defaults=True, gc=False)


_LONGEST_NAME = 63
_NAME = re.compile(r"[^\x00-\x1f\x7f]+")


def quoted(name: str, mark: str) -> str:
    """An identifier as the database takes it literally, whatever is in it; ConfigurationError for one that cannot be.

    `mark` is the quotation mark: doubled inside, by the SQL standard. The backtick's databases have names in the Basic
    Multilingual Plane that do not end with a blank.
    """
    if not _NAME.fullmatch(name) or len(name.encode()) > _LONGEST_NAME:
        raise ConfigurationError(
            f"the prefix or the schema of the store's URL cannot be part of a table's name: "
            f"write 1 to {_LONGEST_NAME} bytes of printable text"
        )
    if mark == "`" and (max(name) > "\uffff" or name.endswith(" ")):
        raise ConfigurationError(
            "the prefix or the schema of the store's URL cannot be a name on MySQL: "
            "leave out emoji and a blank at its end"
        )
    return mark + name.replace(mark, mark * 2) + mark


def table_names(prefix: str, mark: str, schema: str | None = None) -> dict[str, str]:
    """The tables under a prefix and in a schema, quoted; and `schema.` and each index's prefix for migrations."""
    place = f"{quoted(schema, mark)}." if schema else ""
    return {table: place + quoted(prefix + table, mark) for table in TABLES}
