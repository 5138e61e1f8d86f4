"""JSON as text: how deep it is, where it repeats a key, and where an error of a decoder points.

Outside the way of a message: `form` and `codec` call it.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, cast

import msgspec

from sagabus.codec.pydantic_codec import explain as explain_refusal

__all__ = ["explain", "first_repeated_key", "is_as_written", "is_too_deep", "join", "plain"]

# A string, closed or not: an unclosed one must match to the end, or each of its quotes would start another search.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NOT_BRACKET = bytes(set(range(256)) - set(b"[]{}"))


def plain(body: bytes) -> dict[str, Any]:
    """A JSON object as plain data, for upcasters; raises msgspec's errors for what is none."""
    return msgspec.json.decode(body, type=dict[str, Any])


def is_too_deep(body: bytes, limit: int) -> bool:
    """Whether arrays and objects are nested deeper than the limit."""
    depth = 0
    for bracket in _STRING.sub(b"", body).translate(None, _NOT_BRACKET):
        depth += 1 if bracket in b"[{" else -1
        if depth > limit:
            return True
    return False


def first_repeated_key(body: bytes) -> str | None:
    """The path of the first key that stands twice in one object; raises ValueError for what is no JSON."""
    return next(_repeated_keys(json.loads(body, object_pairs_hook=_Pairs), ""), None)


def is_as_written(value: object, body: bytes) -> bool:
    """Whether a body is what is written for the value that was read from it: then no key in it stands twice."""
    try:
        return msgspec.json.encode(value) == body
    except (ValueError, OverflowError):  # it can be read, and not written: an integer of many digits is such
        return False


class _Pairs(list[tuple[str, object]]):
    """A JSON object with its repeated keys."""


def _repeated_keys(value: object, path: str) -> Iterator[str]:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, part in value:
            if key in seen:
                yield join(path, key)
            seen.add(key)
            yield from _repeated_keys(part, join(path, key))
    elif isinstance(value, list):
        for index, part in enumerate(cast("list[object]", value)):
            yield from _repeated_keys(part, join(path, index))


def join(path: str, step: object) -> str:
    """A path, one step longer."""
    return f"{path}[{step}]" if isinstance(step, int) else f"{path}.{step}".removeprefix(".")


_MISSING = re.compile(r"Object missing required field `(?P<field>.*)`", re.DOTALL)
_PATH = re.compile(r"(?P<reason>.*) - at `(?:key` in `)?\$(?P<path>.*)`", re.DOTALL)


def explain(error: Exception) -> tuple[str, str]:
    """Field path and reason, whatever raised the error."""
    if isinstance(error, UnicodeError):
        return "", "text is not valid UTF-8"
    if (explained := explain_refusal(error)) is not None:
        return explained
    text = str(error) or type(error).__name__
    found = _PATH.fullmatch(text)
    path, reason = (found["path"].removeprefix("."), found["reason"]) if found else ("", text)
    if isinstance(error.__cause__, Exception) and (explained := explain_refusal(error.__cause__)) is not None:
        inner, reason = explained  # of a model in a class of another kind: its own text quotes the value
        return f"{path}{inner}" if inner.startswith("[") else ".".join(filter(None, (path, inner))), reason
    if missing := _MISSING.fullmatch(reason):
        return join(path, missing["field"]), "required field is missing"
    return path, reason[:1].lower() + reason[1:].replace("`", "")
