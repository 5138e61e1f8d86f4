"""From the hosts of a URL to a connection with the one of them that can be written to."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

from sagabus.errors import ConfigurationError, TransportError
from sagabus.transports.lifetime import Lifetime
from sagabus.transports.redis import answers
from sagabus.transports.redis.connection import Pipe
from sagabus.transports.redis.driver import RedisError, connections
from sagabus.transports.redis.options import Host, Options

_PATIENCE = 5.0
"""Seconds for one host."""
_OLDEST = (7, 0)
_VERSION = re.compile(r"(\d+)\.(\d+)")


async def first_pipe(options: Options, life: Lifetime) -> tuple[Pipe, Host]:
    """A connection to the first host that can be written to. TransportError, with what each of them said."""
    said: list[str] = []
    for host in options.hosts:
        try:
            return await _checked(options, host, life), host
        except TransportError as error:
            said.append(str(error) if len(options.hosts) == 1 else f"{host[0]}:{host[1]}: {error}")
    raise TransportError("; ".join(said), transport=options.place)


async def pipe_to(options: Options, host: Host, life: Lifetime) -> Pipe:
    """A connection to one host. ConfigurationError for a login that it does not accept."""
    connection = _connection(options, host)
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


async def _checked(options: Options, host: Host, life: Lifetime) -> Pipe:
    pipe = await pipe_to(options, host, life)
    try:
        _check(await _facts(pipe), options.place)
    except BaseException as error:
        await pipe.close()
        if isinstance(error, RedisError):
            raise answers.raised(error, options.place) from None
        raise
    return pipe


def _check(facts: Mapping[str, str], place: str) -> None:
    version = _VERSION.match(facts.get("redis_version", ""))
    if version is not None and (int(version[1]), int(version[2])) < _OLDEST:
        raise ConfigurationError(f"{place}: Redis {version[0]} is too old: use Redis 7.0 or newer, or Valkey")
    if facts.get("loading", "0") != "0":
        raise TransportError("the server is loading its data", transport=place)
    if facts.get("role", "master") != "master":
        raise TransportError("the server is a replica, which cannot be written to", transport=place)


async def _facts(pipe: Pipe) -> dict[str, str]:
    """What the server says of itself; nothing where that is not permitted."""
    try:
        found = await pipe.ask("INFO")
    except RedisError as error:
        if answers.code(error) != "NOPERM":
            raise
        return {}
    lines = (line.partition(":") for line in bytes(found).decode(errors="replace").splitlines())
    return {name: value for name, colon, value in lines if colon}


def _connection(options: Options, host: Host) -> Any:
    given: dict[str, Any] = {
        "host": host[0],
        "port": host[1],
        "db": options.database,
        "username": options.user,
        "password": options.password,
        "client_name": f"sagabus-{options.prefix}",
        "protocol": 2,
        "socket_timeout": None,  # a task of its own reads, for as long as the connection lasts
        "socket_connect_timeout": _PATIENCE,
        "driver_info": None,
    }
    if not options.is_encrypted:
        return connections.Connection(**given)
    files = options.files  # the driver's own rules are ours: the system's certificates, and the name of the host
    return connections.SSLConnection(
        **given, ssl_ca_certs=files.get("ca"), ssl_certfile=files.get("cert"), ssl_keyfile=files.get("key")
    )
