"""Leaves out what the texts of errors quote, and what is not to be read: passwords of URLs, and values of rows.

Databases and drivers repeat what they refuse. Logs, dead letters, reasons and the findings of the doctor keep errors,
so each of them has its texts from here.
"""

from __future__ import annotations

import re

_LOGIN = re.compile(r"://[^\s@]*(?:@(?:[^\s/@]*@)*)?")
"""Also what has no login, up to the next blank: to look there again for each "://" would take hours for a long text."""
_PLACEHOLDERS = ("://user@", "://user:password@")
"""What our own texts show as examples."""
_DETAIL = "DETAIL:"
"""Of PostgreSQL: rows and keys are in it, in the language of the server, so nothing of what follows is kept."""
_QUOTED = (
    ("Duplicate entry ", "'", "' for key"),
    ("ncorrect ", "value: ", " for column"),
    ("syntax to use near ", "'", "'"),
    ("invalid input for query argument ", ": ", " ("),
    ("invalid input syntax for type ", ': "', '"'),
    ("invalid input value for enum ", ': "', '"'),
    ("value out of range", ': "', '"'),
    ("[parameters: ", "", "]"),
)
"""How MySQL, MariaDB, asyncpg, PostgreSQL and SQLAlchemy begin such a text, and what is before and behind the value."""


def hidden(text: str) -> str:
    """A text of others, such as that of an error, without the users and passwords of the URLs in it."""
    return _LOGIN.sub(_without_login, text) if "://" in text else text


def _without_login(found: re.Match[str]) -> str:
    has_login = found[0].endswith("@") and found[0] not in _PLACEHOLDERS
    return "://…@" if has_login else found[0]


def discreet(text: str) -> str:
    """The text of an error: as `hidden`, and without the values of rows that a database or its driver quotes.

    A value may hold what ends it, so all up to the last such place is left out. If there is none, all that follows is.
    """
    said, detail, _ = text.partition(_DETAIL)
    if detail:
        text = f"{said}{_DETAIL} …"
    for begin, before, behind in _QUOTED:
        if begin in text:
            text = _without_value(text, begin, before, behind)
    return hidden(text)


def _without_value(text: str, begin: str, before: str, behind: str) -> str:
    head, _, rest = text.partition(begin)
    named, quotes, value = rest.partition(before) if before else ("", " ", rest)
    if not quotes:
        return text
    _, ends, tail = value.rpartition(behind)
    return f"{head}{begin}{named}{before}…{ends}{tail if ends else ''}"
