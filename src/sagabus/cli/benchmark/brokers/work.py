"""What both halves do: take so many messages from a broker, and send one follow-up for each, confirmed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote

import msgspec

from sagabus.cli.benchmark.costs import Costs
from sagabus.errors import ConfigurationError
from sagabus.transport import Part
from sagabus.transports.login import password_now
from sagabus.url.login import OPTION, Password
from sagabus.url.transport import parsed_transport

WINDOW = 500
"""Messages that a client takes at once, and that wait for their confirms."""
_PATIENCE = 10.0
PING, PONG = "bench.pinged", "bench.ponged"


class BrokerFigures(msgspec.Struct, frozen=True):
    """What one round of a half came to."""

    messages_per_second: float
    costs: Costs
    latencies: list[float] = []
    """Seconds from the broker through the saga to the broker, at low load. None for the loop."""


Loop: TypeAlias = Callable[[str, int], Coroutine[Any, Any, BrokerFigures]]
Tidy: TypeAlias = Callable[[str, list[Part]], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Bare:
    """The client of one broker, without anything around it."""

    title: str
    """The broker and its durability, for the table."""
    loop: Loop
    """Fill a queue of its own, then work it off."""
    tidy: Tidy
    """Remove what a round has made at the broker: the URL has a prefix of the round's own."""


def body(number: int) -> bytes:
    """That of every message."""
    return b'{"order_id":"o%d","amount":%d}' % (number, number)


async def plain(url: str) -> str:
    """The URL without its options, which other clients do not know, and with the password that a file has now."""
    found, problems = parsed_transport(url), list[str]()
    bare = url.partition("?")[0]
    if OPTION not in dict(found.options):
        return bare
    password = Password.of(found, None, problems)
    if problems:
        raise ConfigurationError(*problems)
    secret = quote(await password_now(password, found.place, _PATIENCE) or "", safe="")
    scheme, _, rest = bare.partition("://")
    user, at, place = rest.rpartition("@")
    is_token = not at and scheme in ("nats", "tls")
    user = user if at or scheme not in ("amqp", "amqps") else "guest"
    return f"{scheme}://{secret if is_token else f'{user}:{secret}'}@{place}"


def prefix_of(url: str) -> str:
    """What the names of a round begin with."""
    return dict(parsed_transport(url).options)["prefix"]
