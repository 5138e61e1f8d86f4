"""A message of AMQP as one of the port. What a stranger says in the properties of AMQP stays readable."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from sagabus.transport import WireMessage
from sagabus.transports import wire
from sagabus.transports.rabbitmq.driver import DeliveredMessage, spec
from sagabus.transports.rabbitmq.mending import UNREADABLE

_MICROS = 1_000_000
_OF_THE_BROKER = frozenset({"x-acquired-count", "x-delivery-count"})
"""Headers that it adds when it delivers again: a copy would not be like its original."""

Properties = spec.Basic.Properties


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
