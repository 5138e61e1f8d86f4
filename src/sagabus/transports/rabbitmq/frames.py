"""A message of the port as the frames of AMQP that publish it.

They are written here, since the driver takes longer for one message than a saga does. Its id is in a header: the driver
needs one of its own for each publish, by which it matches what the broker returns.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache

from sagabus.transport import WireMessage
from sagabus.transports import wire

_START = struct.Struct(">BHI")
_END = b"\xce"
_METHOD, _HEADER, _BODY = 1, 2, 3
_AROUND = _START.size + len(_END)
"""Bytes of a frame besides its content."""
_PUBLISH = struct.pack(">HHH", 60, 40, 0)
_MANDATORY = b"\x01"
_SIZES = struct.Struct(">HHQH")
_BASIC = 60
_HAS_TIME = 1 << 6
_FLAGS = 1 << 15 | 1 << 13 | 1 << 12 | 1 << 7 | 1 << 5
"""The kind of content, headers, persistence, an id and a type: the properties stand in this order."""
_PERSISTENT = b"\x02"
_TIME = struct.Struct(">Q")
_SIZE = struct.Struct(">I")
_MICROS = 1_000_000
_LONGEST_TEXT, _LONGEST_NAME = 255, 128
"""Bytes of a short text, and of the name of a header."""


def published(message: WireMessage, exchange: str, channel: int, *, own_id: str, largest: int) -> bytes:
    """The frames of one persistent and mandatory message. `largest`: bytes of a frame, at most.

    ValueError for what AMQP cannot carry. For headers that do not fit into one frame the broker would end the
    connection.
    """
    body = message.body
    header = _header(message, own_id)
    if len(header) + _AROUND > largest:
        raise ValueError(f"its headers have {len(header)} bytes, more than the {largest} of a frame")
    method = _method(channel, exchange, message.type)
    parts = [method, _START.pack(_HEADER, channel, len(header)), header, _END]
    room = largest - _AROUND
    for at in range(0, len(body), room):
        part = body[at : at + room]
        parts += (_START.pack(_BODY, channel, len(part)), part, _END)
    return b"".join(parts)


def _header(message: WireMessage, own_id: str) -> bytes:
    """The sizes and properties of a message."""
    sent_at, flags, time = message.sent_at, _FLAGS, b""
    if sent_at is not None:
        if not 0 <= sent_at <= wire.LATEST:
            raise ValueError(f"it was sent at {sent_at} microseconds, which no other program can read")
        flags, time = flags | _HAS_TIME, _TIME.pack(sent_at // _MICROS)
    table = _table(wire.written(message))
    return b"".join(
        (
            *(_SIZES.pack(_BASIC, 0, len(message.body), flags), _JSON, _SIZE.pack(len(table)), table, _PERSISTENT),
            *(_short(own_id), time, _short(message.type)),
        )
    )


def _table(headers: Mapping[str, str]) -> bytes:
    parts: list[bytes] = []
    for name, text in headers.items():
        raw = text.encode()
        parts += (_name(name), _SIZE.pack(len(raw)), raw)
    return b"".join(parts)


@lru_cache(maxsize=1024)
def _name(name: str) -> bytes:
    """Of a header whose value is a text. The driver would cut a long one."""
    if len(name.encode()) > _LONGEST_NAME:
        raise ValueError(f"a header has a name of more than {_LONGEST_NAME} bytes")
    return _short(name) + b"S"


@lru_cache(maxsize=1024)
def _method(channel: int, exchange: str, key: str) -> bytes:
    content = _PUBLISH + _short(exchange) + _short(key) + _MANDATORY
    return _START.pack(_METHOD, channel, len(content)) + content + _END


def _short(text: str) -> bytes:
    raw = text.encode()
    if len(raw) > _LONGEST_TEXT:
        raise ValueError(f"a name has more than {_LONGEST_TEXT} bytes")
    return bytes((len(raw),)) + raw


_JSON = _short("application/json")
