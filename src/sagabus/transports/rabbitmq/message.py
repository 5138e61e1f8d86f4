"""A message of the port as one of AMQP, and back. What a stranger says in the properties of AMQP stays readable."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from sagabus.transport import WireMessage
from sagabus.transports import wire
from sagabus.transports.rabbitmq.driver import DeliveredMessage, spec
from sagabus.transports.rabbitmq.mending import UNREADABLE

_PERSISTENT = 2
_MICROS = 1_000_000
_LONGEST_NAME = 128
"""Bytes of the name of a header."""
_ENTRY = 6
"""Bytes of a header besides its name and its text."""
_PROPERTIES = 512
"""Bytes for all else in the frame, and a margin."""
_SMALLEST_FRAME = 4_096
_OF_THE_BROKER = frozenset({"x-acquired-count", "x-delivery-count"})
"""Headers that it adds when it delivers again: a copy would not be like its original."""

Properties = spec.Basic.Properties


def to_amqp(message: WireMessage, largest: int = _SMALLEST_FRAME) -> Properties:
    """The properties and headers of a message. Its id is in a header: the driver needs one of its own for each publish,
    by which it matches what the broker returns.

    ValueError for headers that do not fit into one frame, of so many bytes at most. The broker would end the connection
    for such a frame, and the driver would cut a long name.
    """
    headers = wire.written(message)
    _check(headers, largest)
    sent_at = message.sent_at
    return Properties(
        content_type="application/json",
        delivery_mode=_PERSISTENT,
        headers={**headers},
        message_type=message.type,
        timestamp=None if sent_at is None else datetime.fromtimestamp(sent_at // _MICROS, UTC),
    )


def _check(headers: Mapping[str, str], largest: int) -> None:
    size = _PROPERTIES
    for name, text in headers.items():
        size += len(name) + len(text) + _ENTRY
        if len(name) > _LONGEST_NAME // 4 and len(name.encode()) > _LONGEST_NAME:
            raise ValueError(f"a header has a name of more than {_LONGEST_NAME} bytes")
    if size > largest // 4:  # a character has four bytes at most
        size = _PROPERTIES + sum(len(name.encode()) + len(text.encode()) + _ENTRY for name, text in headers.items())
        if size > largest:
            raise ValueError(f"its headers have {size} bytes, more than the {largest} of a frame")


def from_amqp(delivered: DeliveredMessage) -> WireMessage:
    """What was delivered, whatever it is."""
    properties = delivered.header.properties
    headers: Mapping[str, object] = properties.headers or {}
    if not _OF_THE_BROKER.isdisjoint(headers):
        headers = {name: value for name, value in headers.items() if name not in _OF_THE_BROKER}
    if wire.ID not in headers or wire.TYPE not in headers:
        headers = {**headers, **_of_stranger(delivered, properties)}
    message = wire.read(headers, delivered.body, broker_time=_instant(properties.timestamp))
    if UNREADABLE in message.headers:
        return msgspec.structs.replace(message, problem=message.headers[UNREADABLE])
    return message


def _of_stranger(delivered: DeliveredMessage, properties: Properties) -> dict[str, str]:
    said = {
        "amqp-message-id": properties.message_id,
        "amqp-type": properties.message_type,
        "amqp-correlation-id": properties.correlation_id,
        "amqp-routing-key": delivered.routing_key,
    }
    return {name: value for name, value in said.items() if value}


def _instant(timestamp: datetime | None) -> int | None:
    return None if timestamp is None else int(timestamp.timestamp()) * _MICROS
