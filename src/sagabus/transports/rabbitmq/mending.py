"""Messages of strangers that the driver cannot read, made readable: what is in the way is left out, the body is kept.

Such a message would end every connection that receives it, and come again on the next one. A time in microseconds is
enough, or a name that is no UTF-8. To look at every message first costs time, so a connection does it only after
another one of its transport has ended for that reason.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from sagabus.transports.rabbitmq.driver import URL, ContentHeader, TransportFactory, decode, spec

UNREADABLE = "sagabus-unreadable"
"""The header of a message that was mended, with the reason."""

_START = struct.Struct(">BHI")
_METHOD, _HEADER = 1, 2
_DELIVER = struct.pack(">I", spec.Basic.Deliver.index)
_SIZES = 12
"""Bytes of a content header before its properties."""
_TAG_AND_AGAIN = 9
_LONGEST_NAME = 255


class _Kind(NamedTuple):
    """One kind of value among the properties."""

    read: Callable[[bytes], object]
    size: Callable[[bytes], int]


def _size_of_text(raw: bytes) -> int:
    return 1 + raw[0]


def _size_of_table(raw: bytes) -> int:
    return 4 + int.from_bytes(raw[:4], "big")


def _size_of_octet(_: bytes) -> int:
    return 1


def _size_of_time(_: bytes) -> int:
    return 8


_TEXT, _TABLE = _Kind(decode.short_str, _size_of_text), _Kind(decode.field_table, _size_of_table)
_OCTET, _TIME = _Kind(decode.octet, _size_of_octet), _Kind(decode.timestamp, _size_of_time)
_HEADERS = 13
_PROPERTIES = (
    *((15, _TEXT), (14, _TEXT), (_HEADERS, _TABLE), (12, _OCTET), (11, _OCTET), (10, _TEXT), (9, _TEXT), (8, _TEXT)),
    *((7, _TEXT), (6, _TIME), (5, _TEXT), (4, _TEXT), (3, _TEXT), (2, _TEXT)),
)
"""Those of AMQP by the bits that say which are there, in order."""


class Mending(TransportFactory):
    """Makes what the driver reads from, for one connection."""

    def __init__(self, below: TransportFactory) -> None:
        self._below = below

    async def create(self, url: URL, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """As the factory below, with a reader that mends."""
        reader, writer = await self._below.create(url, **options)
        return cast("asyncio.StreamReader", MendingReader(reader)), writer


class MendingReader:
    """Reads whole frames, and hands them out as the driver asks for them."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._rest = b""

    def at_eof(self) -> bool:
        """See `asyncio.StreamReader`, as the others."""
        return not self._rest and self._reader.at_eof()

    async def readexactly(self, count: int) -> bytes:
        """The next so many bytes."""
        if not self._rest:
            self._rest = await self._frame()
        found, self._rest = self._rest[:count], self._rest[count:]
        return found

    async def read(self, count: int = -1) -> bytes:
        """The next bytes."""
        return await self._reader.read(count)

    async def _frame(self) -> bytes:
        start = await self._reader.readexactly(_START.size)
        kind, channel, size = _START.unpack(start)
        if start.startswith(b"AMQP"):  # no frame: the broker speaks another version
            return start + await self._reader.readexactly(1)
        rest = await self._reader.readexactly(size + 1)
        payload = mended(kind, rest[:-1])
        return _START.pack(kind, channel, len(payload)) + payload + rest[-1:]


def mended(kind: int, payload: bytes) -> bytes:
    """The content of a frame; if the driver cannot read it, without what is in the way."""
    try:
        if kind == _HEADER:
            ContentHeader().unmarshal(payload)
        elif kind == _METHOD and payload.startswith(_DELIVER):
            spec.Basic.Deliver().unmarshal(payload[len(_DELIVER) :])
    except Exception as error:  # noqa: BLE001  # whatever a strange message does to the driver
        return _header(payload, error) if kind == _HEADER else _deliver(payload)
    return payload


def _header(payload: bytes, error: Exception) -> bytes:
    """Without the properties that cannot be read. Headers that cannot be read are replaced by the reason."""
    flags, kept = 0, b""
    given, rest = int.from_bytes(payload[_SIZES : _SIZES + 2], "big"), payload[_SIZES + 2 :]
    for bit, kind in _PROPERTIES:
        if given & 1 << bit:
            raw, rest = rest[: (size := kind.size(rest))], rest[size:]
            if not _is_readable(kind, raw):
                raw = _reason(error) if bit == _HEADERS else b""
            flags |= bool(raw) << bit
            kept += raw
    return payload[:_SIZES] + flags.to_bytes(2, "big") + kept


def _is_readable(kind: _Kind, raw: bytes) -> bool:
    try:
        kind.read(raw)
    except (ValueError, ArithmeticError, OSError, struct.error):
        return False
    return True


def _reason(error: Exception) -> bytes:
    reason = f"its headers cannot be read: {error}".encode()
    table = _name(UNREADABLE.encode()) + b"S" + struct.pack(">I", len(reason)) + reason
    return struct.pack(">I", len(table)) + table


def _deliver(payload: bytes) -> bytes:
    at = len(_DELIVER)
    at += 1 + payload[at] + _TAG_AND_AGAIN  # the name of the consumer is ours
    exchange = payload[at + 1 : at + 1 + payload[at]]
    key = payload[at + 1 + len(exchange) + 1 :]
    return payload[:at] + _name(exchange) + _name(key)


def _name(raw: bytes) -> bytes:
    name = raw.decode("ascii", "replace").replace("\ufffd", "?").encode()[:_LONGEST_NAME]
    return bytes([len(name)]) + name
