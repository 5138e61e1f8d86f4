"""From the URL of a broker to its bare client."""

from __future__ import annotations

from sagabus.cli.benchmark.brokers.work import Bare
from sagabus.cli.output import Refused
from sagabus.url.transport import parsed_transport


def bare(url: str) -> Bare:
    """The client of the broker at a URL; refused for what has none."""
    scheme = parsed_transport(url).scheme
    if scheme in {"amqp", "amqps"}:
        from sagabus.cli.benchmark.brokers.bare_rabbitmq import BARE as RABBITMQ

        return RABBITMQ
    if scheme in {"redis", "rediss", "valkey", "valkeys"}:
        from sagabus.cli.benchmark.brokers.bare_redis import BARE as REDIS

        return REDIS
    if scheme in {"nats", "tls"}:
        from sagabus.cli.benchmark.brokers.bare_nats import BARE as NATS

        return NATS
    raise Refused(f"--transport: the benchmark has no client for {scheme}:, only for amqp:, nats: and redis:")
