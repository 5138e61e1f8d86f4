"""What people ask about the brokers of a bus: what leaves by each, what it needs there, and that it be made."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sagabus.bus.bridging import Bridging, Way
from sagabus.bus.home_loop import HomeLoop
from sagabus.definitions.reading import Definitions
from sagabus.engine.routing import Leaving, bridge_subscriptions, subscriptions_of
from sagabus.errors import TransportError
from sagabus.message import MessageType
from sagabus.settings import Settings
from sagabus.store import Routing, Store
from sagabus.transport import Capability, Part

_PATIENCE = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerView:
    """One broker, as a service uses it."""

    name: str
    """Empty for the only one."""
    place: str
    """Where it is: nothing secret."""
    channel: str
    """The channel of what leaves for it."""
    sends: tuple[str, ...]
    keeps: tuple[str, ...]
    events: tuple[str, ...]
    """Types that it receives besides other services."""
    commands: tuple[str, ...]
    """Types that it alone receives."""
    declares: bool
    """Whether a bus makes what is missing when it opens."""
    stamps: bool
    """Whether a message of a foreign system has a time: that of a rule, or of the broker. True without such rules."""
    parts: tuple[Part, ...]
    """What the service needs there, in the broker's own words."""


class BrokerViews:
    """The brokers of one bus, in the order given. Looking asks neither the store nor a broker."""

    def __init__(
        self, bridging: Bridging, defined: Definitions, store: Store, settings: Settings, home: HomeLoop
    ) -> None:
        self._bridging, self._store, self._home = bridging, store, home
        rules, retention = defined.rules, settings.retention
        found = [each for item in defined.by_name.values() for each in subscriptions_of(item, rules, retention)]
        self._routing = Routing(0, 1, tuple(found))
        self._leaving = Leaving(bridge_subscriptions(bridging.patterns, retention))

    def __len__(self) -> int:
        return len(self._bridging.ways)

    def __iter__(self) -> Iterator[BrokerView]:
        return map(self._view, self._bridging.ways)

    def leaves_by(self, message_type: MessageType) -> str | None:
        """The place of the broker by which messages of a type leave; None if they stay in the service."""
        for route in () if message_type.private else self._leaving.of(message_type.name):
            return next(way.transport.place for way in self._bridging.ways if way.channel == route.channel)
        return None

    async def declare(self, *, move: bool = False, renew: bool = False) -> Sequence[BrokerView]:
        """Make at every broker what is missing there, by all subscriptions of the store. Removes nothing, and twice is
        harmless. The bus is open, be it without a worker.

        `move`: the queue of the service feeds this store from now on. `renew`: the store is a copy, and gets an
        identity of its own first. Raises ConfigurationError with all that a broker refuses, and TransportError where
        one is away. Cancelled, it may have made a part.
        """
        self._home.check("bus.brokers.declare()")
        if renew:
            await self._bridging.renew(self._store)
        for way in self._bridging.ways:
            await self._declare(way, move=move)
        return tuple(self)

    async def _declare(self, way: Way, *, move: bool) -> None:
        topology = await self._bridging.wanted(way, self._store)
        try:
            async with asyncio.timeout(_PATIENCE):
                link = await way.transport.connect()
                try:
                    await link.declare(topology, move=move)
                finally:
                    await link.close()
        except TimeoutError:
            raise TransportError(f"no answer for {_PATIENCE:g} s", transport=way.transport.place) from None

    def _view(self, way: Way) -> BrokerView:
        topology = self._bridging.topology(way, self._routing)
        return BrokerView(
            name=way.name,
            place=way.transport.place,
            channel=way.channel,
            sends=tuple(way.broker.sends),
            keeps=tuple(way.broker.keeps),
            events=topology.events,
            commands=topology.commands,
            declares=way.broker.declare,
            stamps=_stamps(way),
            parts=tuple(way.transport.parts(topology)),
        )


def _stamps(way: Way) -> bool:
    foreign = way.broker.foreign
    return foreign is None or foreign.time_from is not None or Capability.TIMES in way.transport.capabilities
