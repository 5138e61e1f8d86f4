"""A first look at the user's own SQL: what would end the bus's transaction, change a schema or touch its tables.

The text is cut into words without being parsed. Comments and literals are left out, so that no spelling hides a word
and no literal counts as one. What is refused here is refused before anything runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from sagabus.errors import StatementRefused
from sagabus.stores.sql.dialect import TABLES

_FORBIDDEN = frozenset(
    [
        "abort",
        "alter",
        "analyze",
        "attach",
        "begin",
        "call",
        "checkpoint",
        "close",
        "cluster",
        "comment",
        "commit",
        "copy",
        "create",
        "deallocate",
        "declare",
        "detach",
        "discard",
        "do",
        "drop",
        "end",
        "execute",
        "explain",
        "fetch",
        "flush",
        "grant",
        "handler",
        "import",
        "install",
        "kill",
        "listen",
        "load",
        "lock",
        "move",
        "notify",
        "optimize",
        "prepare",
        "reassign",
        "refresh",
        "reindex",
        "release",
        "rename",
        "repair",
        "reset",
        "revoke",
        "rollback",
        "savepoint",
        "security",
        "set",
        "show",
        "shutdown",
        "start",
        "truncate",
        "uninstall",
        "unlisten",
        "unlock",
        "use",
        "vacuum",
        "xa",
    ]  # a list of words reads better as text
)
"""First words that are the bus's own, change the schema, or have no business inside a message's transaction."""

_TOKEN = re.compile(
    r"""
    (?P<gap>\s+|--[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)
    | (?P<dollars>\$(?P<tag>[A-Za-z_]\w*)?\$.*?\$(?(tag)(?P=tag))\$)
    | (?P<text>[eE]?'(?:[^'\\]|''|\\.)*')
    | (?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`|[^\W\d][\w$]*)
    | (?P<end>;)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_THAT_RUNS = re.compile(r"/\*[!+M]")


def vet(sql: str, prefix: str, token: re.Pattern[str] = _TOKEN) -> None:
    """Raise StatementRefused for more than one statement, for what only the bus may do, and for its own tables.

    `token` cuts the text as the database at hand does: its groups are gap, text, name, end and other.
    """
    if _COMMENT_THAT_RUNS.search(sql):
        raise _refused("a comment that the database executes", sql)
    words = [(found.lastgroup, found[0]) for found in token.finditer(sql) if found.lastgroup not in ("gap", "tag")]
    meaning = [(kind, text) for kind, text in words if not text.startswith(("--", "/*"))]
    while meaning and meaning[-1][0] == "end":
        meaning.pop()
    if not meaning:
        raise _refused("nothing", sql)
    if any(kind == "end" for kind, _ in meaning):
        raise StatementRefused(f"one statement at a time, please: {sql[:80]!r} has more", statement=sql)
    first = next((text.lower() for kind, text in meaning if kind == "name"), "")
    if first in _FORBIDDEN:
        raise _refused(first.upper(), sql)
    for kind, text in meaning:
        if kind == "name" and is_own(_unquoted(text), prefix):
            raise _refused(f"the table {text}", sql)


def is_own(table: str, prefix: str) -> bool:
    """Whether a table is one of the bus's, in whatever case it is written."""
    return table.lower().startswith(prefix.lower()) if prefix else table.lower() in TABLES


def _unquoted(name: str) -> str:
    mark = name[0]
    return name[1:-1].replace(mark * 2, mark) if mark in '"`' else name


def _refused(what: str, sql: str) -> StatementRefused:
    return StatementRefused(
        f"not allowed inside the bus's transaction: {what} (in {sql[:80]!r}); begin, commit, rollback, schema changes "
        "and the bus's own tables are the bus's own",
        statement=sql,
    )


_OF_A_LIBRARY = re.compile(
    r"(?i)\s*(?:SET NAMES utf8mb4|(?:SAVEPOINT|RELEASE SAVEPOINT|ROLLBACK TO SAVEPOINT|SHOW)\s[\w\s`\"'%]+);?\s*"
)


def vet_for_library(sql: str, check: Callable[[str], None]) -> None:
    """The same for a library that sets savepoints by itself, and looks at settings."""
    if not _OF_A_LIBRARY.fullmatch(sql):
        check(sql)
