"""From the hosts of a URL to a connection with the one of them that can be written to."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from sagabus.errors import TransportError
from sagabus.transports.lifetime import Lifetime
from sagabus.transports.login import password_now
from sagabus.transports.redis import answers
from sagabus.transports.redis.connection import Pipe
from sagabus.transports.redis.driver import MovedError, RedisError, connections, moved_to
from sagabus.transports.redis.facts import Facts
from sagabus.transports.redis.options import Host, Options

_PATIENCE = 5.0
"""Seconds for one host."""
_HOPS = 3


class _Elsewhere(Exception):
    """The keys are at another node of the cluster."""

    def __init__(self, host: Host) -> None:
        super().__init__()
        self.host = host


class Server(NamedTuple):
    """A server that was found."""

    host: Host
    pipe: Pipe
    life: Lifetime
    """Of the connection, and of the link that begins with it."""
    facts: Facts


async def first_server(options: Options) -> Server:
    """The first host that can be written to, with a connection to it. TransportError, with what each of them said."""
    said: list[str] = []
    for host in options.hosts:
        try:
            return await _at(options, host)
        except TransportError as error:
            said.append(str(error) if len(options.hosts) == 1 else f"{host[0]}:{host[1]}: {error}")
    raise TransportError("; ".join(said), transport=options.place)


async def _at(options: Options, host: Host) -> Server:
    """The server that a host is, or that it names: a Sentinel, or a node of a cluster that has other keys."""
    if options.sentinel is not None:
        host = await _named_by_sentinel(options, host, options.sentinel)
    for _ in range(_HOPS):
        try:
            return await _checked(options, host)
        except _Elsewhere as error:
            host = error.host
    raise TransportError("the nodes of the cluster do not agree where the keys are", transport=options.place)


async def _named_by_sentinel(options: Options, host: Host, name: str) -> Host:
    life = Lifetime(options.place)
    sentinel = await _pipe(options, _connection(options, host, None, is_sentinel=True), life)
    try:
        found = await sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)
    except RedisError as error:
        raise answers.raised(error, options.place) from None
    finally:
        await sentinel.close()
    if found is None:
        raise TransportError(f"the Sentinel knows no server {name!r}", transport=options.place)
    return bytes(found[0]).decode(), int(found[1])


async def pipe_to(options: Options, host: Host, life: Lifetime) -> Pipe:
    """A connection to one host. ConfigurationError for a login that it does not accept."""
    password = await password_now(options.password, options.place, _PATIENCE)
    return await _pipe(options, _connection(options, host, password), life)


async def _pipe(options: Options, connection: Any, life: Lifetime) -> Pipe:
    try:
        async with asyncio.timeout(_PATIENCE):
            await connection.connect()
    except BaseException as error:
        await connection.disconnect(nowait=True)
        if isinstance(error, TimeoutError):
            raise TransportError(f"no answer for {_PATIENCE:g} s", transport=options.place) from None
        if isinstance(error, RedisError):
            raise answers.raised(error, options.place) from None
        raise
    return Pipe(connection, life, options.place)


async def _checked(options: Options, host: Host) -> Server:
    life = Lifetime(options.place)
    pipe = await pipe_to(options, host, life)
    try:
        facts = await Facts.of(pipe)
        facts.check(options.place)
        await pipe.ask("EXISTS", options.names.mark)
    except BaseException as error:
        await pipe.close()
        if isinstance(error, MovedError):
            raise _Elsewhere(moved_to(error)) from None
        if isinstance(error, RedisError):
            raise answers.raised(error, options.place) from None
        raise
    return Server(host, pipe, life, facts)


def _connection(options: Options, host: Host, password: str | None, *, is_sentinel: bool = False) -> Any:
    given: dict[str, Any] = {
        "host": host[0],
        "port": host[1],
        "db": 0 if is_sentinel else options.database,
        "username": None if is_sentinel else options.user,
        "password": password,
        "client_name": f"sagabus-{options.prefix}",
        "protocol": 2,
        "socket_timeout": None,  # a task of its own reads, for as long as the connection lasts
        "socket_connect_timeout": _PATIENCE,
        "driver_info": None,
    }
    if not options.is_encrypted:
        return connections.Connection(**given)
    # The driver's own rules are ours: the system's certificates, and the name of the host. It reads the files now.
    files = options.files
    return connections.SSLConnection(
        **given, ssl_ca_certs=files.get("ca"), ssl_certfile=files.get("cert"), ssl_keyfile=files.get("key")
    )
