"""Adapters of brokers, and from a URL to one of them: ours by name, those of others by their scheme."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sagabus.transport import Transport
from sagabus.url.adapters import TRANSPORTS, adapter
from sagabus.url.transport import parsed_transport

__all__ = ["TransportFactory", "transport_from_url"]


class TransportFactory(Protocol):
    """What an entry point of the group `sagabus.transports` names: it makes a transport and connects nothing."""

    def __call__(self, url: str) -> Transport:
        """The transport at a URL of the factory's scheme. ConfigurationError for one that it cannot use, with no part
        of it that may be secret: take it apart with `sagabus.url.transport.parsed_transport`.
        """
        ...


def transport_from_url(url: str) -> Transport:
    """The transport that a URL names, not connected yet; ConfigurationError for a URL that names none."""
    scheme = parsed_transport(url).scheme
    make: TransportFactory = _OURS.get(scheme) or adapter(TRANSPORTS, scheme)
    return make(url)


def _memory(url: str) -> Transport:
    from sagabus.transports.memory import MemoryTransport  # an adapter is loaded only when it is used

    return MemoryTransport.at(url)


def _nats(url: str) -> Transport:
    from sagabus.transports.nats import NatsTransport

    return NatsTransport(url)


def _rabbitmq(url: str) -> Transport:
    from sagabus.transports.rabbitmq import RabbitMQTransport

    return RabbitMQTransport(url)


def _redis(url: str) -> Transport:
    from sagabus.transports.redis import RedisTransport

    return RedisTransport(url)


_OURS: Mapping[str, TransportFactory] = {
    "memory": _memory,
    **dict.fromkeys(("amqp", "amqps"), _rabbitmq),
    **dict.fromkeys(("nats", "tls"), _nats),
    **dict.fromkeys(("redis", "rediss", "valkey", "valkeys"), _redis),
}
