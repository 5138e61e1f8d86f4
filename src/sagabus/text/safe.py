"""Text from outside, made safe to show: ids, keys, bodies and error texts are written by strangers.

A terminal obeys control characters, and a line break in a log line forges the next one. Everything that the library
logs and all that its command prints goes through here.
"""

from __future__ import annotations

import unicodedata

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# Controls, invisible formatting (such as the marks that turn the direction of writing), surrogates, line separators.
_OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def printable(value: object) -> str:
    """The text on one line, with every character that a terminal would obey or hide written as an escape."""
    text = str(value)
    if text.isascii() and text.isprintable():
        return text
    return "".join(character if _is_plain(character) else _escape(character) for character in text)


def printable_lines(value: object) -> str:
    """As `printable`, keeping line breaks: for tracebacks."""
    return "\n".join(printable(line.replace("\t", "    ")) for line in str(value).split("\n"))


def _is_plain(character: str) -> bool:
    return unicodedata.category(character) not in _OBEYED


def _escape(character: str) -> str:
    code = ord(character)
    if character in _NAMED:
        return _NAMED[character]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
