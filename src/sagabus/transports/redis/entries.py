"""Messages as entries of a stream: one field for each header, and the field `body`.

An entry of a stranger may have no body. Then its fields are the body, as a JSON object of texts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from typing import TypeAlias, TypeGuard

import msgspec

from sagabus.transport import WireMessage
from sagabus.transports import wire

BODY = "body"
ENTRY_ID = "redis-entry-id"
STREAM = "redis-stream"
_OURS = "sagabus-"
LARGEST = 64 << 20
"""Bytes of one entry. The server takes more, but holds every connection up meanwhile."""
_MOST_FIELDS = 1000
Parts: TypeAlias = Sequence[str] | Sequence[bytes]
"""Names and values in turn."""
_encode = msgspec.msgpack.Encoder().encode
_entries = msgspec.msgpack.Decoder(list[tuple[str, list[str] | bool]])
_raw_pairs = msgspec.msgpack.Decoder(list[tuple[msgspec.Raw, msgspec.Raw]])
_raws = msgspec.msgpack.Decoder(list[msgspec.Raw])
_HEADS = {0xD9: 2, 0xDA: 3, 0xDB: 5}
"""How many bytes tell the length of a text; of a short one it is one."""
_FALSE = b"\xc2"


def packed(key: str, message: WireMessage) -> bytes:
    """A message as the script that sends takes it, for the receivers that a key names.

    ValueError, in words, for what no entry can be.

    It is a pair in MessagePack: one list of the key, the kind, the source and then each name and value, and the body.
    The body is written as text, whatever bytes it has: the server knows no other.
    """
    headers = wire.written(message)
    if len(headers) > _MOST_FIELDS:
        raise ValueError(f"it has {len(headers)} headers, more than {_MOST_FIELDS}: send fewer")
    head = [key, message.kind, message.source, *chain.from_iterable(headers.items())]
    try:
        found = _encode(head)
    except UnicodeEncodeError:
        raise ValueError("a header is no text that UTF-8 can write: correct it") from None
    body = message.body
    if (size := len(found) + len(body)) > LARGEST:
        raise ValueError(f"it has {size} bytes, more than the {LARGEST} of an entry: send a reference to its content")
    return b"\x92%b\xdb%b%b" % (found, len(body).to_bytes(4, "big"), body)


def packed_list(messages: Sequence[bytes]) -> bytes:
    """Such messages in one argument."""
    return b"\xdd%b%b" % (len(messages).to_bytes(4, "big"), b"".join(messages))


def unpacked(found: bytes) -> Sequence[tuple[str, Parts | bool]]:
    """Entries as the script that takes has packed them: the id, and names and values. These are texts where all of them
    are. False stands for what a stranger has deleted.
    """
    try:
        return _entries.decode(found)
    except UnicodeDecodeError:
        return [_entry(pair) for pair in _raw_pairs.decode(found)]


def message(stream: str, entry: str, found: Parts) -> WireMessage:
    """The message in an entry, whatever it is. Its id says when the server got it."""
    if _are_texts(found) and found[-2] == BODY:  # by us, most likely
        texts = dict(zip(found[:-2:2], found[1:-2:2], strict=True))
        if wire.ID in texts:
            broker_time = None if wire.SENT_AT in texts else _time(entry)
            return wire.read_texts(texts, found[-1].encode(), broker_time=broker_time)
    return _of_bytes(stream, entry, [each.encode() if isinstance(each, str) else each for each in found])


def _are_texts(found: Parts) -> TypeGuard[Sequence[str]]:
    return isinstance(found[0], str)


def _of_bytes(stream: str, entry: str, found: Sequence[bytes]) -> WireMessage:
    """The same of a stranger, or with bytes that are no text."""
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


def _entry(pair: tuple[msgspec.Raw, msgspec.Raw]) -> tuple[str, Parts | bool]:
    entry, parts = _content(pair[0]).decode(), bytes(pair[1])
    return entry, parts != _FALSE and [_content(each) for each in _raws.decode(parts)]


def _content(raw: msgspec.Raw) -> bytes:
    """What stands behind the head of a text in MessagePack, be it UTF-8 or not."""
    found = bytes(raw)
    return found[_HEADS.get(found[0], 1) :]


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
