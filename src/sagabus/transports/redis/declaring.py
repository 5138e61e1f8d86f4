"""What a service needs at the server: made or checked by one script, and what is wrong with it in words."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from sagabus.errors import ConfigurationError
from sagabus.transport import Part, Topology
from sagabus.transports import wire
from sagabus.transports.redis import scripts
from sagabus.transports.redis.connection import Pipe
from sagabus.transports.redis.names import GROUP
from sagabus.transports.redis.options import Options


async def declared(pipe: Pipe, options: Options, topology: Topology, *, make: bool, move: bool) -> str:
    """Declare it; the mark of the server. ConfigurationError with all problems. Raises the server's error."""
    names, service = options.names, topology.service
    keys = [names.mark, names.queue(service), names.store(service), names.lease(service)]
    keys += [*map(names.event, topology.events), *map(names.command, topology.commands)]
    flags = [b"%d" % flag for flag in (topology.receives, make, move)]
    arguments: tuple[bytes | str | int, ...] = (
        os.urandom(8).hex(),
        GROUP,
        service,
        topology.store,
        *flags,
        len(topology.events),
    )
    mark, problems = await pipe.run(scripts.DECLARE, keys, arguments)
    if problems:
        raise ConfigurationError(*(f"{options.place}: {each}" for each in _words(options, topology, problems)))
    return str(bytes(mark).decode())


def parts(options: Options, topology: Topology) -> Sequence[Part]:
    """The keys that a topology consists of."""
    if not topology.receives:
        return ()
    names, service = options.names, topology.service
    receives = (*(f"event {each}" for each in topology.events), *(f"command {each}" for each in topology.commands))
    store = [Part("string", names.store(service), {"is": topology.store})] if topology.store else []
    return (
        Part("stream", names.queue(service), {"group": GROUP}, receives),
        *(Part("set", names.event(each), {"has": service}) for each in topology.events),
        *(Part("string", names.command(each), {"is": service}) for each in topology.commands),
        *store,
    )


def _words(options: Options, topology: Topology, problems: Sequence[Sequence[bytes]]) -> Iterator[str]:
    names, service = options.names, topology.service
    types = (*topology.events, *topology.commands)
    for code, where, found in ([part.decode(errors="replace") for part in each] for each in problems):
        name = types[int(where) - 1] if where.isdecimal() else ""
        if code == "owner":
            yield f"command {name!r} has a receiver already, service {found!r}"
        elif code == "store":
            yield wire.feeds_another_store(service)
        elif code == "type":
            yield f"the key {where} is a {found} of another program: choose another prefix, such as ?prefix=shop"
        elif code == "no queue":
            yield f"the queue {service!r} is missing: the stream {names.queue(service)} with the group {GROUP}"
        elif code == "no store":
            yield f"the queue {service!r} does not say yet which store it feeds: the key {names.store(service)}"
        else:
            key = names.event(name) if name in topology.events else names.command(name)
            yield f"the queue {service!r} does not receive {name!r} yet: the key {key}"
