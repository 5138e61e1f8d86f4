"""Who mends, and why: for the audit log."""

from __future__ import annotations

import getpass

from sagabus.text import printable

LONGEST = 2_000
"""Characters of a reason, or of a name."""
_UNKNOWN = "unknown"


def author(by: str | None) -> str:
    """The caller's word, or the user of the system who runs this process: a strange name of that is kept as escapes."""
    if by is not None:
        return _checked("by", by)
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        return _UNKNOWN
    return printable(user)[:LONGEST] if user.strip() else _UNKNOWN


def checked_reason(reason: str) -> str:
    """The reason; ValueError for none, or for one that is too long, or that no database can keep."""
    return _checked("reason", reason)


def _checked(name: str, text: str) -> str:
    if not text.strip():
        raise ValueError(f"{name} must not be empty: the audit log keeps it for those who ask later")
    if len(text) > LONGEST:
        raise ValueError(f"{name} must have at most {LONGEST} characters, not {len(text)}")
    for place, each in enumerate(text):
        if each == "\0":
            raise ValueError(f"{name} has the character NUL at {place}: leave it out")
        if "\ud800" <= each <= "\udfff":
            raise ValueError(f"{name} has half a character ({each!r}) at {place}: write it as text in UTF-8")
    return text
