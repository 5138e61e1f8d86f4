"""The options of a message, checked once for all ways to publish, outside handlers and inside.

What passes here fits every store: text that UTF-8 can write, within the lengths that the documentation names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from sagabus.errors import MessageInvalid
from sagabus.message.correlation import as_key
from sagabus.message.declaration import message_type_of

MOST_HEADERS = 100


def checked_key(message: object, key: object) -> str:
    """The partition key; MessageInvalid unless it is text of 1 to 500 characters without NUL."""
    name = message_type_of(message).name
    if not isinstance(key, str):
        raise MessageInvalid(name, "partition_key", f"must be text, not {key!r}")
    return as_key(name, "partition_key", key)


def checked_headers(message: object, headers: object) -> dict[str, str] | None:
    """A copy of the headers; MessageInvalid unless they are at most MOST_HEADERS, all of them text."""
    if not headers:
        return None
    name = message_type_of(message).name
    if not isinstance(headers, Mapping):
        raise MessageInvalid(name, "headers", f"must be a mapping of text to text, not {type(headers).__name__}")
    given = cast("Mapping[object, object]", headers)
    if len(given) > MOST_HEADERS:
        raise MessageInvalid(name, "headers", f"a message has at most {MOST_HEADERS} headers, not {len(given)}")
    for key, value in given.items():
        if not (_is_text(key) and _is_text(value)):
            raise MessageInvalid(name, f"headers[{key!r:.60}]", "must be text that UTF-8 can write")
    return dict(cast("Mapping[str, str]", given))


def size_of(headers: Mapping[str, str]) -> int:
    """How many bytes of UTF-8 the headers have."""
    size = 0
    for key, value in headers.items():
        size += len(key) if key.isascii() else len(key.encode())
        size += len(value) if value.isascii() else len(value.encode())
    return size


def _is_text(value: object) -> bool:
    if not isinstance(value, str):
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
