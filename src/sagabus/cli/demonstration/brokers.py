"""From `--transport` to a broker to talk through: a part of a user's, or a private one.

Everything has the same name at every broker, below a prefix that is this demonstration's own. So two demonstrations at
one broker do not meet, and what was made is known and removed.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from sagabus.cli.demonstration.broker_removal import REMOVERS, remove
from sagabus.cli.demonstration.target import OwnServer, Venue, own_server
from sagabus.cli.output import Refused, one_line
from sagabus.errors import SagaBusError
from sagabus.transport import Topology
from sagabus.transports import transport_from_url
from sagabus.url import with_option
from sagabus.url.transport import parsed_transport

if TYPE_CHECKING:
    from sagabus.testing.servers import PrivateServer

_SURVIVES = (2, 10)
"""Seen: NATS 2.9.10 loses messages of half of the demonstrations with 300 orders, 2.15.1 of none."""
PRIVATE = ("rabbitmq:private", "nats:private", "redis:private")
_REMOVING = 20.0
_LEASED = ("redis", "rediss", "valkey", "valkeys")
"""Where a killed worker's right to receive ends with a lease: it is to end soon."""
_WRITE_QUEUES = "[dets:sync(Table) || Table <- dets:all()]."


@dataclass(frozen=True, slots=True)
class BrokerPlace:
    """A part of a broker that belongs to one demonstration."""

    url: str
    server: OwnServer | None = None
    """A broker that is the demonstration's own to end."""
    topologies: list[Topology] = field(default_factory=list[Topology])
    """What was made there, to be removed."""


def is_private(transport: str | None) -> bool:
    """Whether `--transport` asks for a broker of the demonstration's own."""
    return transport in PRIVATE


def check_survives(transport: str | None) -> None:
    """Refused for a private broker that loses confirmed messages when it is killed, whatever its clients do."""
    if transport != "nats:private":
        return
    from sagabus.testing.brokers import PrivateNats

    if PrivateNats.available() and (version := PrivateNats.version()) < _SURVIVES:
        shown = ".".join(map(str, version))
        raise Refused(
            f"NATS {shown} loses confirmed messages when it is killed: name a newer nats-server by "
            "SAGABUS_NATS_SERVER, or add --restarts 0"
        )


@asynccontextmanager
async def broker_at(transport: str, venue: Venue) -> AsyncGenerator[BrokerPlace]:
    """The broker that `--transport` names, which has answered. Refused where there is none, or none that processes can
    share.
    """
    if is_private(transport):
        async with own_server(*_private(transport)) as server:
            yield BrokerPlace(own_part(server.url, venue), server)
        return
    place = BrokerPlace(own_part(transport, venue))
    await _try(place.url)
    try:
        yield place
    finally:
        await _remove(place)


def own_part(url: str, venue: Venue) -> str:
    """The URL with a prefix of this demonstration's, behind the one that it names.

    With stores that are kept the prefix stays the same. So what a killed demonstration has left at the broker still
    comes to them.
    """
    found = parsed_transport(url)
    if found.scheme == "memory":
        raise Refused(
            "--transport: memory://… is a broker within one process, and a demonstration has several. "
            f"Name a RabbitMQ, NATS or Redis, or write {' or '.join(PRIVATE)}"
        )
    if found.scheme not in REMOVERS:
        raise Refused(f"--transport: the demonstration cannot remove what it makes at a broker of {found.scheme}:")
    token = secrets.token_hex(4)
    if venue.is_kept:
        token = sha256("\n".join((socket.gethostname(), *venue.urls)).encode()).hexdigest()[:8]
    prefix = f"{dict(found.options).get('prefix', 'demo')}-{token}"
    if found.scheme in _LEASED and "lease" not in dict(found.options):
        url = with_option(url, "lease", "1")
    return with_option(url, "prefix", quote(prefix, safe=""))


async def _try(url: str) -> None:
    # Of a program without a handler Python prints what drivers log, though the error says it too.
    logging.getLogger("aiormq").addHandler(logging.NullHandler())
    link = await transport_from_url(url).connect()
    await link.close()


async def _remove(place: BrokerPlace) -> None:
    try:
        async with asyncio.timeout(_REMOVING):
            await remove(place.url, place.topologies)
    except (SagaBusError, TimeoutError) as error:
        prefix = dict(parsed_transport(place.url).options)["prefix"]
        why = one_line(str(error)) or "no answer"
        click.echo(f"sagabus: what begins with {prefix} at the broker could not be removed: {why}", err=True)


def _private(transport: str) -> tuple[PrivateServer, Callable[[], object] | None]:
    """A private broker, and what has it write its queues."""
    try:
        from sagabus.testing import brokers
    except ImportError as error:
        raise Refused(f"a private broker needs a POSIX system ({error})") from error

    if transport != "rabbitmq:private":
        return brokers.PrivateRedis() if transport == "redis:private" else brokers.PrivateNats(), None
    rabbitmq = brokers.PrivateRabbitMQ()
    # RabbitMQ 3.10 writes every three minutes which quorum queues it has. Killed before, it has lost those queues.
    return rabbitmq, lambda: rabbitmq.control("eval", _WRITE_QUEUES)
