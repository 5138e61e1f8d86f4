"""Texts that no database can keep: refused by one error of the library, but for the body of a message, which is held.

A body comes from anywhere, by a broker, and none of its neighbours can help what it is.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from sagabus.envelope import Envelope
from sagabus.errors import StoreError


@contextmanager
def storable(place: str | None = None) -> Generator[None, None, None]:
    """Turn Python's error on half a character, and on bytes that are no text, into the store's."""
    try:
        yield
    except (UnicodeEncodeError, UnicodeDecodeError) as error:
        raise unstorable(error, place) from error


def unstorable(error: UnicodeEncodeError | UnicodeDecodeError, place: str | None = None) -> StoreError:
    """The store's error for Python's. The text itself is not in it: it may be a whole message."""
    found = error.object[error.start : error.start + 1]
    what = "half of a character" if isinstance(error, UnicodeEncodeError) else "which is not UTF-8"
    where = f"{place}: " if place else ""
    return StoreError(f"{where}a text contains {found!r}, {what}: no database can keep it", store=place)


class RawBody(Exception):  # a signal inside the stores, not an error
    """The body of a message is no text that a database can keep."""


def body_text(body: bytes) -> str:
    """The body of a message as the text that it is stored as; RawBody where it is none."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise RawBody(f"its body is not UTF-8 ({error})") from error
    if "\0" in text:  # JSON writes it as an escape
        raise RawBody("its body contains the character NUL")
    return text


def as_held(envelope: Envelope) -> tuple[Envelope, str] | None:
    """A message with a raw body as its dead letter keeps it, every byte in JSON, and the reason; None for any other."""
    try:
        body_text(envelope.body)
    except RawBody as raw:
        return msgspec.structs.replace(envelope, body=kept({"body": text_or_bytes(envelope.body)})), str(raw)
    return None


def kept(values: Mapping[str, Any]) -> bytes:
    """Values as JSON that holds every byte of them: a text as it is, anything else in hexadecimal digits."""
    return msgspec.json.encode(
        {name: {"hex": value.hex()} if isinstance(value, bytes) else value for name, value in values.items()}
    )


def text_or_bytes(value: bytes) -> str | bytes:
    """The text that the bytes are, or the bytes."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
