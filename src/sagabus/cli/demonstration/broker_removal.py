"""Removes what a demonstration has made at a broker of others: exactly those names, in each broker's own words.

A transport has no call for that: a service never removes its queue.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from sagabus.errors import TransportError
from sagabus.transport import Topology
from sagabus.url.transport import parsed_transport

Remover: TypeAlias = Callable[[str, Sequence[Topology]], Awaitable[None]]


async def remove(url: str, topologies: Iterable[Topology]) -> None:
    """Remove all that these topologies consist of, below the prefix of the URL. Twice is harmless.

    TransportError where the broker is away.
    """
    await REMOVERS[parsed_transport(url).scheme](url, tuple(topologies))


async def _from_rabbitmq(url: str, topologies: Sequence[Topology]) -> None:
    from sagabus.transports.rabbitmq.dialling import Dialler
    from sagabus.transports.rabbitmq.driver import open_channel
    from sagabus.transports.rabbitmq.faults import translated
    from sagabus.transports.rabbitmq.names import Names
    from sagabus.transports.rabbitmq.options import options

    given = options(parsed_transport(url))
    names = Names(given.prefix)
    connection = await Dialler(given).sending()
    try:
        with translated(given.place):
            channel = await open_channel(connection)
            for part in dict.fromkeys((part.kind, part.name) for each in topologies for part in names.parts(each)):
                kind, name = part
                await (channel.queue_delete(name) if kind == "queue" else channel.exchange_delete(name))
    finally:
        await connection.close()


async def _from_redis(url: str, topologies: Sequence[Topology]) -> None:
    from sagabus.transports.redis.connecting import first_server
    from sagabus.transports.redis.driver import RedisError
    from sagabus.transports.redis.options import read

    given = read(url)
    names = given.names
    keys = {names.mark}
    for each in topologies:
        keys |= {names.queue(each.service), names.lease(each.service), names.store(each.service)}
        keys |= {*map(names.event, each.events), *map(names.command, each.commands)}
    server = await first_server(given)
    try:
        await server.pipe.ask("DEL", *sorted(keys))
    except RedisError as error:
        raise TransportError(str(error), transport=given.place) from None
    finally:
        await server.pipe.close()


async def _from_nats(url: str, _: Sequence[Topology]) -> None:
    from sagabus.transports.lifetime import Lifetime
    from sagabus.transports.nats.address import address
    from sagabus.transports.nats.connection import Connection
    from sagabus.transports.nats.jetstream import JetStream
    from sagabus.transports.nats.names import Names

    given = address(url)
    names = Names(given.prefix)
    connection = Connection(given, Lifetime(given.place))
    await connection.open()
    try:
        jetstream = JetStream(connection, given.place)
        for stream in (names.stream, names.bucket_stream):  # consumers go with their stream
            await jetstream.found(f"STREAM.DELETE.{stream}")
    finally:
        await connection.close()


REMOVERS: Mapping[str, Remover] = {
    **dict.fromkeys(("amqp", "amqps"), _from_rabbitmq),
    **dict.fromkeys(("nats", "tls"), _from_nats),
    **dict.fromkeys(("redis", "rediss", "valkey", "valkeys"), _from_redis),
}
