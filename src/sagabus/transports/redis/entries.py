"""Messages as entries of a stream: one field for each header, and the field `body`.

An entry of a stranger may have no body. Then its fields are the body, as a JSON object of texts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from sagabus.transport import WireMessage
from sagabus.transports import wire

BODY = "body"
ENTRY_ID = "redis-entry-id"
STREAM = "redis-stream"
_OURS = "sagabus-"
LARGEST = 64 << 20
"""Bytes of one entry. The server takes more, but holds every connection up meanwhile."""
_MOST_FIELDS = 1000


def fields(message: WireMessage) -> list[bytes]:
    """The fields of an entry, each a name and a value. A header called `body` stands before the body, which is last.

    ValueError, in words, for what no entry can be.
    """
    headers = wire.written(message)
    if len(headers) > _MOST_FIELDS:
        raise ValueError(f"it has {len(headers)} headers, more than {_MOST_FIELDS}: send fewer")
    try:
        found = [part.encode() for header in headers.items() for part in header]
    except UnicodeEncodeError:
        raise ValueError("a header is no text that UTF-8 can write: correct it") from None
    found += (BODY.encode(), message.body)
    if (size := sum(map(len, found))) > LARGEST:
        raise ValueError(f"it has {size} bytes, more than the {LARGEST} of an entry: send a reference to its content")
    return found


def message(stream: str, entry: str, found: Sequence[bytes]) -> WireMessage:
    """The message in an entry, whatever it is. Its id says when the server got it."""
    pairs = list(zip(found[::2], found[1::2], strict=True))
    at = next((at for at in reversed(range(len(pairs))) if pairs[at][0] == BODY.encode()), None)
    body = None if at is None else pairs.pop(at)[1]
    texts = {name: text for name, text in map(_texts, pairs) if name is not None and text is not None}
    headers = texts if body is not None else {name: text for name, text in texts.items() if name.startswith(_OURS)}
    if wire.ID not in texts:
        headers = headers | {ENTRY_ID: entry, STREAM: stream}
    if body is None:
        body = _as_json(pairs)
    return wire.read(headers, body, broker_time=_time(entry))


def _as_json(pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Bytes that are no text stay what they are, and then so is the whole."""
    found = {_escaped(name): _escaped(value) for name, value in pairs if not name.startswith(_OURS.encode())}
    return json.dumps(found, ensure_ascii=False).encode(errors="surrogateescape")


def _escaped(found: bytes) -> str:
    return found.decode(errors="surrogateescape")


def _texts(pair: tuple[bytes, bytes]) -> tuple[str | None, str | None]:
    return _text(pair[0]), _text(pair[1])


def _text(found: bytes) -> str | None:
    try:
        return found.decode()
    except UnicodeDecodeError:
        return None


def _time(entry: str) -> int | None:
    """Microseconds since 1970; None for an id that a stranger has made up."""
    milliseconds = int(entry.partition("-")[0])
    return milliseconds * 1000 if milliseconds * 1000 <= wire.LATEST else None
