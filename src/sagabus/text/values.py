"""Leaves values out of a text of others: what people do not get to see of a message may be repeated by an error.

A value is found as itself and as Python, JSON and URLs write it, but not if the author of the text has changed it.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Collection, Iterable, Iterator
from datetime import date, datetime
from itertools import islice
from json import dumps
from urllib.parse import quote, quote_plus

HIDDEN = "(hidden)"
"""Shown in place of a value."""
_SHORTEST = 4
_LONG = 8
"""What has so many characters is no common word and no small number: it is left out inside of others, too."""
_LONGEST_TEXT = 1 << 18
_MOST_VALUES = 100_000
_MOST_LOOKS = 1 << 27
"""Characters to look through, for all values together: 20 milliseconds."""
_MOST_TRIES = 1 << 24
"""Characters at which one of the forms may begin: a tenth of a second."""
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_LETTER = r"[^\W_]"
_RUN = re.compile("[A-Za-z0-9]+")


class Values:
    """Values that no text may repeat: texts of at least 4 characters, and numbers of at least 4 digits."""

    def __init__(self, values: Iterable[object]) -> None:
        self._values = {*islice((each for each in values if not isinstance(each, bool)), _MOST_VALUES + 1)}

    def among(self, texts: Iterable[str]) -> Values:
        """Those that one of the texts may repeat: to look through a few of them takes less time."""
        text = "\n".join(texts)
        if not self._values or self._are_too_many_for(text):
            return self
        return Values(value for value in self._values if _may_be_in(text, value))

    def left_out(self, text: str) -> str:
        """The text with "(hidden)" in their place; that alone where a look through it would take too long."""
        if not self._values or not text:
            return text
        if self._are_too_many_for(text):
            return HIDDEN
        forms = {form for value in self._values if _may_be_in(text, value) for form in _forms(value)}
        found = [form for form in forms if len(form) >= _SHORTEST and form in text]
        if len(found) * len(text) > _MOST_TRIES:
            return HIDDEN
        return re.sub(_pattern(found), HIDDEN, text) if found else text

    def _are_too_many_for(self, text: str) -> bool:
        count, length = len(self._values), len(text)
        return count > _MOST_VALUES or length > _LONGEST_TEXT or count * length > _MOST_LOOKS


def _may_be_in(text: str, value: object) -> bool:
    """Whether it is worth the time to look for all forms of a value: in most, its letters and digits stay together."""
    if not isinstance(value, str):
        return True
    run = max(_RUN.findall(value), key=len, default="")
    return run in text or _DATE.match(value) is not None or _BASE64.fullmatch(value) is not None


def _pattern(forms: Collection[str]) -> str:
    """Longer forms first: a shorter one may be a part of them."""
    return "|".join(_anywhere(form) for form in sorted(forms, key=len, reverse=True))


def _anywhere(form: str) -> str:
    if len(form) >= _LONG:
        return re.escape(form)
    return f"(?<!{_LETTER}){re.escape(form)}(?!{_LETTER})"


def _forms(value: object) -> Iterator[str]:
    """As a text may write it."""
    if value is None:
        return
    if isinstance(value, int | float):
        text = repr(abs(value))
        if sum(map(str.isdigit, text)) >= _SHORTEST:
            yield from (text, f"{abs(value):,}", f"{abs(value):_}")
        return
    text = str(value)
    yield text
    if text.isalnum() and text.isascii() and len(text) % 4:
        return  # the same in all forms
    yield from (text.strip(), repr(text)[1:-1], ascii(text)[1:-1])
    yield from (dumps(text)[1:-1], dumps(text, ensure_ascii=False)[1:-1])
    encodable = text.encode("utf-8", "replace")
    yield repr(encodable)[2:-1]
    yield from (way(encodable, safe=safe) for way in (quote, quote_plus) for safe in ("", "/"))
    if "\n" in text or "\r" in text:
        yield from (line for line in text.splitlines() if len(line) >= _LONG)  # a text may be indented
    if _DATE.match(text):
        yield from _of_time(text)
    if _BASE64.fullmatch(text):
        yield from _of_bytes(b64decode(text))


def _of_time(text: str) -> Iterator[str]:
    for kind in (datetime, date):
        try:
            found = kind.fromisoformat(text)
        except ValueError:
            continue
        yield from (str(found), repr(found), found.isoformat())


def _of_bytes(content: bytes) -> Iterator[str]:
    """JSON has bytes as such a text."""
    if len(content) >= _SHORTEST:
        yield from (repr(content)[2:-1], content.hex())
        yield content.decode("utf-8", "ignore")
