"""The first look at the user's own SQL, in the words of MySQL: other quotes and comments than elsewhere."""

from __future__ import annotations

import re

from sagabus.errors import StatementRefused
from sagabus.stores.sql import vetting

_TOKEN = re.compile(
    r"""
    (?P<gap>\s+|--(?=[\s\x00-\x1f]|$)[^\n]*|\#[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)
    | (?P<text>'(?:[^'\\]|''|\\.)*'|"(?:[^"\\]|""|\\.)*")
    | (?P<name>`(?:[^`]|``)*`|[\w$]+)
    | (?P<end>;)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_ALLOWED = frozenset(["delete", "insert", "replace", "select", "table", "update", "values", "with"])
"""Everything else commits by itself, ends the transaction, or has no business in it."""


def vet(sql: str, prefix: str) -> None:
    """Raise StatementRefused for more than one statement, for what only the bus may do, and for its own tables."""
    vetting.vet(sql, prefix, _TOKEN)
    first = next((found[0].lower() for found in _TOKEN.finditer(sql) if found.lastgroup == "name"), "")
    if first not in _ALLOWED:
        raise StatementRefused(
            f"not allowed inside the bus's transaction: {first.upper()} (in {sql[:80]!r}); there are "
            f"{', '.join(sorted(_ALLOWED)).upper()}",
            statement=sql,
        )
